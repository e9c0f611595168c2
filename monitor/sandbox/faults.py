"""What can go wrong at the simulated Graph itself, beside the tokens."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from monitor.sandbox.duration import duration
from monitor.sandbox.states import name_and_argument

CALL_FAULTS: Mapping[str, str] = {
    "http_500": "status 500 with an error object, code 1",
    "html_200": "status 200 with the HTML error page",
    "html_500": "status 500 with the HTML error page",
    "empty": "status 200 without a body",
    "cut_json": "the right answer, cut off in the middle",
    "wrong_type": "JSON of the wrong types in every place",
    "slow": "the right answer, late: `slow(3s)`",
    "hang": "no answer until the client gives up",
    "reset": "the connection is reset",
    "redirect": "status 302 to another address of this server",
    "throttle": "status 403, code 4, X-App-Usage at 100",
    "code_1": "status 500, code 1, transient",
    "code_2": "status 503, code 2, transient",
    "blocked": "status 403, code 200, `API access blocked.`",
    "huge": "status 200 with 64 MiB of JSON",
    "deep_json": "status 200 with 100,000 nested lists",
    "skewed_date": "the right answer with a `Date` that is off: `skewed_date(20m)`",
}
"""Faults of a whole call; `share` counts calls."""

ITEM_FAULTS: Mapping[str, str] = {
    "null_items": "the item is null",
    "item_500": "the item has code 500 and the error object of code 1",
    "item_960": "the item has code 500 and error 960",
    "all_460": "the token is answered as password_changed",
}
"""Faults of single batch items; `share` counts items."""

FAULTS: Mapping[str, str] = {**CALL_FAULTS, **ITEM_FAULTS}
"""Every fault with its meaning; docs/sandbox.md repeats this table."""

_DEFAULTS = {"slow": timedelta(seconds=3), "skewed_date": timedelta(minutes=20)}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong for a while."""

    kind: str
    span: timedelta = timedelta(0)
    """How late, or how far off; zero where it means nothing."""
    after: timedelta = timedelta(0)
    """When it begins, on the event clock."""
    lasting: timedelta | None = None
    """For how long; `None`: to the end."""
    app: str | None = None
    """The app whose calls it strikes; `None`: all."""
    share: float = 1.0
    """Which part of calls or items it strikes, evenly spread, not at random."""

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """Read `kind` or `kind(duration)`.

        >>> Fault.parse("slow(1s)").span
        datetime.timedelta(seconds=1)

        Raises:
            ValueError: no such fault, or its argument is no duration.
        """
        kind, argument = name_and_argument(text)
        if kind not in FAULTS:
            raise ValueError(f"no fault {text!r}")
        if argument and kind not in _DEFAULTS:
            raise ValueError(f"{kind} takes no argument")
        span = duration(argument) if argument else _DEFAULTS.get(kind, timedelta(0))
        return cls(kind, span=span)

    @property
    def of_items(self) -> bool:
        """Whether it strikes single items rather than whole calls."""
        return self.kind in ITEM_FAULTS

    def active(self, elapsed: timedelta) -> bool:
        """Whether it is on at this point of the event clock."""
        since = elapsed - self.after
        return since >= timedelta(0) and (self.lasting is None or since < self.lasting)
