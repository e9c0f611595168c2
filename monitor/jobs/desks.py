"""Desks: the apps that may be asked during one sweep."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Self

from monitor.core.tokens import Cause
from monitor.jobs.callers import AppDesk
from monitor.jobs.charter import Charter
from monitor.jobs.watch import Watch
from monitor.store import Store


class Desks:
    """The desks of all apps that may be asked."""

    def __init__(self, desks: dict[str, AppDesk]) -> None:
        self._desks = desks

    @classmethod
    async def opened(
        cls,
        store: Store,
        charter: Charter,
        clock: Callable[[], datetime],
        app_ids: Collection[str],
        *,
        forced: bool,
        watch: Watch | None = None,
    ) -> Self:
        """Open a desk for each app; a resting one stays closed unless forced."""
        states = await store.apps.states(app_ids)
        now = clock()
        desks = {}
        for app_id in app_ids:
            state = states[app_id]
            paused = state.paused_until
            if not forced and paused is not None and paused > now:
                continue
            # Whoever runs a check by hand wants to know: the caller is proved anew.
            if forced:
                state = replace(state, proved_at=None)
            app = charter.apps[app_id]
            desks[app_id] = AppDesk(store, charter, app, state, clock, watch)
        return cls(desks)

    def __contains__(self, app_id: str) -> bool:
        """Whether the app has a desk."""
        return app_id in self._desks

    def of(self, app_id: str) -> AppDesk:
        """The desk of an app that was open when its tokens were claimed."""
        return self._desks[app_id]

    def open_ids(self) -> list[str]:
        """The apps that may be asked now."""
        return [desk.id for desk in self._desks.values() if desk.open]

    def touched(self) -> Iterator[str]:
        """The apps that were asked anything."""
        return (desk.id for desk in self._desks.values() if desk.touched)

    def unasked(self) -> dict[str, Cause]:
        """The apps that were called and told nothing about any token, and why."""
        return {
            desk.id: desk.trouble.cause if desk.trouble else Cause.UNKNOWN
            for desk in self._desks.values()
            if desk.touched and not desk.answered
        }

    async def close(self) -> None:
        """Remember what the sweep taught."""
        for desk in self._desks.values():
            await desk.close()
