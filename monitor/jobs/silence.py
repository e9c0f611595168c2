"""Silence: since when asking about an app's tokens has brought nothing conclusive."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from monitor.core.tokens import Cause, Inconclusive, Introspection
from monitor.core.vitals import BLIND_AFTER
from monitor.probe.heard import Heard

_CALL_AFTER: Final = BLIND_AFTER / 2


class Silence:
    """What one sweep learns of it; replicas share what is noted.

    Args:
        since: What was noted before.
    """

    def __init__(self, since: datetime | None) -> None:
        self._since = since
        self._asked = False
        self._broken = False

    def hear(self, heard: Sequence[Heard], known: Sequence[int | None]) -> None:
        """Take note of a call's answers; hardly any of them is read for it."""
        self._asked = True
        if not self._broken:
            said = {print_ for print_ in known if print_ is not None}
            self._broken = any(each.print in said for each in heard) or any(
                isinstance(each.answer, Introspection) for each in heard
            )

    def needs_witness(self, now: datetime) -> bool:
        """Whether it lasts, as far as those tell who were asked."""
        lasts = self._since is not None and now - self._since >= _CALL_AFTER
        return self._asked and not self._broken and lasts

    def change(self, trouble: Inconclusive | None, now: datetime) -> dict[str, object]:
        """What to note about the app when the sweep is over; mostly nothing.

        A spent quota is no silence of Meta's.
        """
        if self._broken:
            return {} if self._since is None else {"silent_since": None}
        throttled = trouble is not None and trouble.cause is Cause.THROTTLED
        tried = self._asked or trouble is not None
        if throttled or not tried or self._since is not None:
            return {}
        return {"silent_since": now}
