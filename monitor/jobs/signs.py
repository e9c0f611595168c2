"""Signs: when each job of a daemon last stirred, and last did what it is for."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

HUNG: Final = timedelta(minutes=30)
"""A job that has not stirred for so long hangs, whatever it works on."""
FRUITLESS: Final = timedelta(minutes=2)
"""A job that for so long got nothing done is not to be trusted."""
_TICKS: Final = 3
"""So many ticks may pass before a silence means anything."""


class Signs:
    """Signs of life of the jobs at hand, by a clock that never jumps."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._stirred: dict[str, float] = {}
        self._worked: dict[str, float] = {}

    def expect(self, *jobs: str) -> None:
        """These jobs, and no others, are at hand from now on."""
        now = self._monotonic()
        self._stirred = dict.fromkeys(jobs, now)
        self._worked = dict.fromkeys(jobs, now)

    def stirred(self, job: str) -> None:
        """A job began, or failed: it does not hang."""
        self._stirred[job] = self._monotonic()

    def worked(self, job: str) -> None:
        """A job got something done."""
        self._stirred[job] = self._worked[job] = self._monotonic()

    def hung(self, tick: timedelta) -> dict[str, timedelta]:
        """The jobs that hang, with how long they have not stirred."""
        return self._older(self._stirred, max(HUNG, _TICKS * tick))

    def fruitless(self, tick: timedelta) -> dict[str, timedelta]:
        """The jobs that get nothing done, with since how long."""
        return self._older(self._worked, max(FRUITLESS, _TICKS * tick))

    @property
    def ages(self) -> dict[str, timedelta]:
        """How long ago each job last got something done."""
        return self._older(self._worked, timedelta.min)

    def _older(
        self, marks: Mapping[str, float], bound: timedelta
    ) -> dict[str, timedelta]:
        now = self._monotonic()
        ages = {job: timedelta(seconds=now - at) for job, at in marks.items()}
        return {job: age for job, age in ages.items() if age > bound}
