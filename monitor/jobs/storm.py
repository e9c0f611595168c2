"""Storm: the brake of a charter, and how the operator hears of it."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import structlog

from monitor.core.tokens import Code
from monitor.jobs.charter import Charter
from monitor.jobs.planning import advance_matter, plan_matter
from monitor.store.apps import Advance, PlanMatter
from monitor.store.brake import Storm
from monitor.store.waiters import Pass

log = structlog.stdlib.get_logger("monitor.courier")


def storm_of(charter: Charter, clock: Callable[[], datetime]) -> Storm:
    """The brake, with the operator's matters under this charter."""

    def tell(
        subject: str,
        app_id: str | None,
        codes: Sequence[Code],
        facts: Mapping[str, str],
    ) -> tuple[Advance, PlanMatter]:
        now = clock()
        app = charter.apps.get(app_id or "")
        return (
            advance_matter(charter, codes, now, silently=not codes),
            plan_matter(charter, subject, app, facts, now),
        )

    return Storm(charter.brake, tell, charter.sweep)


def tell_holds(done: Pass) -> None:
    """Log the holds a pass opened or ended."""
    for held in done.held:
        log.warning(
            "hold.opened",
            hold=held.id,
            app=held.app_id,
            users=held.wave.users,
            tokens=held.wave.tokens,
            looked_at=held.wave.looked_at,
            until=held.until.isoformat(),
        )
    for ended in done.ended:
        log.info("hold.ended", hold=ended.id, app=ended.app_id, how=ended.how)
    if done.paced:
        log.info("letters.paced", letters=done.paced)
