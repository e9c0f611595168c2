"""Damage: rows that cannot be read are told apart from those that can."""

from collections.abc import Callable, Iterable
from typing import TypeVar

import structlog

from monitor.core.incident import Incident
from monitor.store.codec import decode_incident
from monitor.store.transactions import AnyRow

_Value = TypeVar("_Value")

log = structlog.stdlib.get_logger("monitor.store")


def readable(
    rows: Iterable[AnyRow], read: Callable[[AnyRow], _Value]
) -> tuple[list[_Value], list[AnyRow]]:
    """What the rows hold, and the rows that cannot be read."""
    values: list[_Value] = []
    damaged: list[AnyRow] = []
    for row in rows:
        try:
            values.append(read(row))
        except Exception as error:  # noqa: BLE001 - whatever lies in a row
            # The text of the error would repeat what lies there.
            log.error("row.damaged", id=row.id, fault=type(error).__name__)
            damaged.append(row)
    return values, damaged


def incident_in(row: AnyRow) -> Incident | None:
    """The incident of a row with `id` and `state`; `None`: it cannot be read."""
    incidents, _ = readable([row], lambda row: decode_incident(row.state))
    return incidents[0] if incidents else None
