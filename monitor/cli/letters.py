"""What `status` says of letters: whether what is due leaves, and reaches us."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from monitor.store import Store


async def letters_ail(
    store: "Store", operators: "Collection[str]", now: datetime
) -> list[str]:
    """Why letters do not leave, beside a mail server that is shut.

    By the same bounds as the daemon's own caretaker.
    """
    from monitor.core.vitals import Signs, ailments

    post = await store.vitals.post(now, operators)
    signs = Signs(
        began_at=datetime(1970, 1, 1, tzinfo=UTC),
        checked_at=now,
        delivered_at=now,
        stored_at=now,
        # It is named at once, with its reply.
        post=replace(post, shut_since=None),
    )
    if post.shut_since is not None:
        signs = replace(signs, post=replace(signs.post, owed_since=None))
    return [each.what for each in ailments(signs, now)]
