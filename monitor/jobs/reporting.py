"""Reporter: the operator's regular report, once a period whatever happens."""

from collections.abc import Sequence
from datetime import datetime

import structlog

from monitor.core.delivery import Item, Role
from monitor.core.incident import Reason
from monitor.core.report import Appointment, Digest, is_due, last_appointment
from monitor.core.vitals import Ailment
from monitor.jobs.charter import Charter
from monitor.jobs.planning import OPERATOR_PRODUCT
from monitor.store import Store
from monitor.store.codec import encode
from monitor.store.entries import Entry

_PRODUCT = f"{OPERATOR_PRODUCT} report"
"""Keeps the report in a letter of its own."""

log = structlog.stdlib.get_logger("monitor.caretaker")


class Reporter:
    """Plans the report of every appointment, late rather than never."""

    def __init__(self, store: Store, charter: Charter) -> None:
        self._store = store
        self._charter = charter
        self._done: Appointment | None = None
        """The appointment that needs nothing more, so that ticks cost nothing."""

    async def report(self, ailing: Sequence[Ailment], now: datetime) -> None:
        """Plan what is due; a database that never had a report begins with the next."""
        rota = self._charter.report
        if rota is None:
            return
        appointment = last_appointment(rota, now)
        if appointment == self._done:
            return
        digests = self._store.digests
        last = await digests.last()
        if last is None:
            await digests.begin(appointment)
        elif is_due(appointment, last.at, last.period, now):
            digest = await digests.read(now, last.at, ailing)
            planned = await digests.plan(
                appointment,
                lambda incident: self._entries(
                    _item(appointment, incident, digest, now), rota.timezone
                ),
                now,
            )
            if planned:
                log.info("report.planned", period=appointment.period)
        self._done = appointment

    def _entries(self, item: Item, timezone: str) -> list[Entry]:
        return [
            Entry(
                incident_id=item.incident,
                recipient=reader,
                role=Role.OPERATOR,
                product=_PRODUCT,
                app_id="",
                item=item,
                due_at=item.opened_at,
                timezone=timezone,
            )
            for reader in self._charter.operators
        ]


def _item(
    appointment: Appointment, incident: str, digest: Digest, now: datetime
) -> Item:
    return Item(
        subject=f"report:{appointment.period}",
        incident=incident,
        number=1,
        reason=Reason.REPORT,
        findings=(),
        app_id="",
        app_name="",
        opened_at=now,
        facts={"period": appointment.period, "digest": encode(digest)},
    )
