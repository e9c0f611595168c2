"""What the operator wants: one YAML file, read whole or refused whole.

`load` gives frozen `Settings` or a `ConfigurationError` that names every fault with
its line and column.
"""

from monitor.config.addresses import Listen, Mailbox
from monitor.config.load import find, load
from monitor.config.model import (
    App,
    Graph,
    Hold,
    Hours,
    Key,
    Log,
    Mail,
    Operator,
    Report,
    Retention,
    Schedule,
    Settings,
    Sudden,
    Web,
)
from monitor.config.policies import Match, Policy
from monitor.config.schema import schema
from monitor.config.show import show
from monitor.config.starter import new_key, write_starter
from monitor.config.times import Appointment

__all__ = [
    "App",
    "Appointment",
    "Graph",
    "Hold",
    "Hours",
    "Key",
    "Listen",
    "Log",
    "Mail",
    "Mailbox",
    "Match",
    "Operator",
    "Policy",
    "Report",
    "Retention",
    "Schedule",
    "Settings",
    "Sudden",
    "Web",
    "find",
    "load",
    "new_key",
    "schema",
    "show",
    "write_starter",
]
