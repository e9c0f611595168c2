"""The story: ask, decide, remember, tell."""

from monitor.jobs.charter import App, Charter
from monitor.jobs.checker import Checker, Tally
from monitor.jobs.courier import Courier, Delivered
from monitor.jobs.supply import Pause

__all__ = ["App", "Charter", "Checker", "Courier", "Delivered", "Pause", "Tally"]
