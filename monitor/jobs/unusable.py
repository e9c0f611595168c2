"""Unusable: what is stored and cannot be read is one matter of the operator."""

from datetime import datetime
from typing import Final

from monitor.core.tokens import Code
from monitor.jobs.charter import Charter
from monitor.jobs.planning import advance_matter, plan_matter
from monitor.store import Store
from monitor.store.poison import unusable

SUBJECT: Final = "rows"


async def tell_unusable(store: Store, charter: Charter, now: datetime) -> bool:
    """Open, remind of or close the operator's incident about rows nobody can use.

    Args:
        store: Where the rows are.
        charter: Whose rules hold.
        now: The present instant.

    Returns:
        Whether there was something to say.
    """
    found = await unusable(store.database)
    wrong = bool(found.tokens or found.entries)
    if not wrong and not await store.apps.open_matter(SUBJECT):
        return False
    counts = {
        "secrets": found.secrets,
        "damaged": found.damaged,
        "failed": found.failed,
        "entries": found.entries,
    }
    facts = {name: str(count) for name, count in counts.items() if count}
    if found.ids:
        facts["ids"] = ", ".join(found.ids)
        if found.tokens > len(found.ids):
            facts["more"] = str(found.tokens - len(found.ids))
    step = await store.apps.matter(
        SUBJECT,
        None,
        advance_matter(charter, (Code.ROWS_UNUSABLE,) if wrong else (), now),
        plan_matter(charter, SUBJECT, None, facts, now),
        now,
    )
    return step.notice is not None
