"""Mismatch: tokens said to be another app's, so many that the app id is the mistake."""

from datetime import datetime

from monitor.core.tokens import Code
from monitor.jobs.charter import Charter
from monitor.jobs.planning import advance_matter, plan_matter
from monitor.store import Store


async def tell_mismatch(
    store: Store,
    charter: Charter,
    now: datetime,
    app_id: str,
    *,
    foreign: bool,
) -> None:
    """Open, remind of or close the operator's incident about an app's id.

    Args:
        store: Where incidents are.
        charter: Whose rules hold.
        now: The present instant.
        app_id: The app.
        foreign: Whether a token of it was just said to be another app's.
    """
    subject = f"app_id:{app_id}"
    is_open = await store.apps.open_matter(subject)
    if not foreign and not is_open:
        return  # counting a large app takes long
    kin = await store.apps.kinship(app_id)
    settled = (
        kin.foreign_since is not None
        and now - kin.foreign_since >= charter.house_rule.confirm_after
    )
    mismatch = kin.foreign > 0 and kin.foreign >= kin.own and settled
    if not mismatch and not is_open:
        return
    codes = (Code.APP_MISMATCH,) if mismatch else ()
    facts = {"foreign": str(kin.foreign), "own": str(kin.own)}
    await store.apps.matter(
        subject,
        app_id,
        advance_matter(charter, codes, now),
        plan_matter(charter, subject, charter.apps.get(app_id), facts, now),
        now,
    )
