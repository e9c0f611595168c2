"""Watch: whether the wall clock is believed now; asked by whoever is about to act."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

from monitor.core.clockwork import Doubt, Heard, Reading, doubt

log = structlog.stdlib.get_logger("monitor.clock")

CLOCK: Final = "clock"
"""The subject of the operator's matter."""
_NEVER: Final = timedelta()


class Watch:
    """Two clocks side by side; reading both costs a microsecond, so ask it often.

    Without a steady clock, as in a rehearsal, whatever the wall clock says is right.
    """

    def __init__(
        self,
        clock: Callable[[], datetime],
        steady: Callable[[], timedelta] | None = None,
    ) -> None:
        self._clock = clock
        self._steady = steady
        self._before: Reading | None = None
        self.doubt: Doubt | None = None
        self.doubted_since: datetime | None = None
        """As far as we know: by the wall clock as it was before."""
        self.heard_last: Heard | None = None
        """What Meta said while it was not believed, if anything."""

    def read(self) -> Reading:
        """Both clocks."""
        steady = self._steady
        return Reading(self._clock(), _NEVER if steady is None else steady())

    def trusted(self) -> bool:
        """Whether the wall clock may be gone by at this very moment."""
        if self.doubt is None and self._steady is not None:
            now = self.read()
            found = doubt(now, before=self._before)
            if found is not None:
                self.distrust(found, now)
        return self.doubt is None

    def heard(self, date: datetime | None, sent: Reading) -> None:
        """Hold what Meta's reply says against our clock.

        A doubt is not ended here: what was written meanwhile is to be mended first.
        """
        if date is None or self._steady is None:
            return
        heard = Heard(date, sent, self.read())
        found = doubt(heard.received, heard=heard)
        if found is not None:
            self.heard_last = heard
            self.distrust(found, heard.received)
        elif self.trusted():
            self._before = heard.received

    def distrust(self, why: Doubt, now: Reading) -> None:
        """From now on nothing is claimed, until somebody vouches for the clock."""
        if self.doubt is None:
            before = self._before
            self.doubted_since = now.wall
            if before is not None:
                self.doubted_since = before.wall + (now.steady - before.steady)
        if why is not self.doubt and why is not Doubt.UNPROVEN:
            log.error("clock.doubted", why=why, wall=now.wall.isoformat())
        self.doubt = why

    def believe(self, now: Reading) -> None:
        """From now on the wall clock is gone by, for as long as it keeps pace."""
        self._before = now
        self.doubt = self.doubted_since = self.heard_last = None
