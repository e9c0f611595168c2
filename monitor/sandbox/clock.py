"""Virtual time: a wall clock that stands still until it is told to move."""

from datetime import datetime, timedelta


class VirtualClock:
    """A clock for rehearsals and tests, called like the real one.

    >>> from datetime import UTC
    >>> clock = VirtualClock(datetime(2026, 11, 24, tzinfo=UTC))
    >>> clock.advance(timedelta(hours=6))
    >>> clock().isoformat()
    '2026-11-24T06:00:00+00:00'
    """

    def __init__(self, now: datetime) -> None:
        self.now = now
        """What it shows: aware, UTC."""

    def __call__(self) -> datetime:
        """The instant it shows."""
        return self.now

    def advance(self, by: timedelta) -> None:
        """Move it; a negative span sets it back."""
        self.now += by
