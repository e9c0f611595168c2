"""What `status` says of quotas: what the policies need, and what Meta lets us ask."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from monitor.cli.shared import instant
from monitor.core.quota import coverage

NO_DEMAND: Final = {
    "tokens": 0,
    "needs": 0.0,
    "oldest_look_at": None,
    "never_looked": 0,
}
"""Of an app without tokens."""


def quota_of(
    demand: Mapping[str, Any], hourly: int | None, spent: int, now: datetime
) -> dict[str, Any]:
    """How far the calls of one app go.

    Args:
        demand: A row of `Reports.demand`.
        hourly: The calls its operator allows it in any hour.
        spent: The calls of the hour before now.
        now: The present instant.
    """
    oldest = demand["oldest_look_at"]
    covered = coverage(demand["tokens"], demand["needs"], hourly)
    sweep = covered.sweep
    return {
        "tokens": demand["tokens"],
        "needs_per_hour": round(covered.needs),
        "carries_per_hour": (
            None if covered.carries is None else round(covered.carries)
        ),
        "enough": covered.enough,
        "spent_last_hour": spent,
        "hourly_calls": hourly,
        "full_sweep_seconds": None if sweep is None else round(sweep.total_seconds()),
        "oldest_look_at": instant(oldest),
        "oldest_look_seconds": (
            None if oldest is None else round((now - oldest).total_seconds())
        ),
        "never_looked": demand["never_looked"],
    }


def quota_words(quota: Mapping[str, Any], usage: int | None) -> str:
    """The same in a line."""
    parts: list[str] = []
    if quota["full_sweep_seconds"] is not None:
        parts.append(f"full sweep {span(quota['full_sweep_seconds'])}")
    if quota["oldest_look_seconds"] is not None:
        parts.append(f"oldest look {span(quota['oldest_look_seconds'])}")
    if quota["never_looked"]:
        parts.append(f"{quota['never_looked']:,} never looked at")
    spent, hourly = quota["spent_last_hour"], quota["hourly_calls"]
    if hourly is not None:
        parts.append(f"{100 * spent / hourly:.0f} % of hourly_calls used")
    else:
        parts.append(f"{spent:,} calls in the last hour")
    if usage is not None:
        parts.append(f"Meta says {usage} % of its quota is used")
    line = ", ".join(parts)
    line += f"; policy needs {quota['needs_per_hour']:,} calls/h"
    if quota["carries_per_hour"] is not None:
        line += f", quota carries {quota['carries_per_hour']:,}"
    return line


def span(seconds: float) -> str:
    """A length of time in its two largest units: `3 h 10 m`."""
    left = max(round(seconds), 0)
    parts: list[str] = []
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")):
        count, left = divmod(left, size)
        if count or (name == "s" and not parts):
            parts.append(f"{count} {name}")
        elif parts:
            break
        if len(parts) == 2:  # noqa: PLR2004 - more would be noise
            break
    return " ".join(parts)
