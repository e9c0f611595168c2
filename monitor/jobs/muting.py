"""Muting: a reader comes by the link of his letter, and stops its reminders."""

from collections.abc import Callable
from datetime import datetime

import structlog

from monitor.core.mute import Scope, Sheet, Wish, sheet
from monitor.errors import UnavailableError
from monitor.notify.leaflets import Leaflets
from monitor.store import Store

log = structlog.stdlib.get_logger("monitor.mute")


class Desk:
    """Where the visitors of one house are served."""

    def __init__(
        self,
        store: Store,
        leaflets: Leaflets,
        clock: Callable[[], datetime],
        locale: str = "en",
    ) -> None:
        self._locale = locale
        self._store = store.mutes
        self._leaflets = leaflets
        self._clock = clock

    async def serve(
        self, link: str, wish: Wish, language: str, nonce: str
    ) -> tuple[Sheet, str]:
        """What becomes of a wish, and the page that says so.

        Args:
            link: The last part of the link, which is all the visitor need show.
            wish: What he wants.
            language: What his browser speaks, if we do not know who reads.
            nonce: By which the browser knows the page's own style.
        """
        try:
            scope = await self._done(link, wish)
        except UnavailableError:
            return later(self._leaflets, language, nonce)
        shown = sheet(scope, wish)
        # A reader for whom no language is known has letters in that of the house.
        locale = language if scope is None else scope.locale or self._locale
        return shown, self._leaflets.page(shown, scope, locale, nonce)

    async def _done(self, link: str, wish: Wish) -> Scope | None:
        if wish is Wish.LOOK:
            return await self._store.scope(link)
        scope, changed = await self._store.change(link, wish, self._clock())
        if scope is not None and changed:
            facts = {"letter": scope.letter_id, "incidents": changed}
            if wish is Wish.STOP:
                log.info("reminders.stopped", **facts)
            else:
                log.info("reminders.resumed", **facts)
        return scope


def later(leaflets: Leaflets, language: str, nonce: str) -> tuple[Sheet, str]:
    """What a visitor is told while nothing can be done for him."""
    return Sheet.LATER, leaflets.page(Sheet.LATER, None, language, nonce)
