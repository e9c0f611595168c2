"""The story: ask, decide, remember, tell."""

from monitor.jobs.charter import App, Charter
from monitor.jobs.checker import Checker
from monitor.jobs.courier import Courier
from monitor.jobs.delivered import Delivered
from monitor.jobs.guard import ClockGuard
from monitor.jobs.supply import Pause
from monitor.jobs.tally import Tally
from monitor.jobs.watch import Watch

__all__ = [
    "App",
    "Charter",
    "Checker",
    "ClockGuard",
    "Courier",
    "Delivered",
    "Pause",
    "Tally",
    "Watch",
]
