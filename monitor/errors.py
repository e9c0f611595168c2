"""What the operator did wrong, with the way out and the exit code that says so.

What the world does is a value, never an exception; a bug is a traceback.
"""

from collections.abc import Iterable, Sequence


class OperatorError(Exception):
    """Something the operator can mend; the text says where, what and how.

    The text never contains a secret.
    """

    exit_code = 2


class UnknownIdError(OperatorError):
    """A token, entry or app that does not exist was named."""

    exit_code = 2


class RefusedInputError(OperatorError):
    """An inventory was refused as a whole; `faults` names every bad place."""

    exit_code = 65

    def __init__(self, message: str, faults: Sequence[str] = ()) -> None:
        super().__init__("\n".join([*faults, message]))
        self.faults = tuple(faults)


class UnavailableError(OperatorError):
    """The database or a port of ours cannot be had."""

    exit_code = 69


class AlreadyRunningError(OperatorError):
    """Another `run` owns this SQLite file."""

    exit_code = 73


class ConfigurationError(OperatorError):
    """Configuration, policy, template, key or schema is not usable.

    `faults` are lines `file:line:column: what was found, what is expected`,
    all of them at once.
    """

    exit_code = 78

    def __init__(self, *faults: str) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def did_you_mean(found: str, known: Iterable[str]) -> str:
    """The end of a message that names the nearest known word, or nothing.

    >>> did_you_mean("starttsl", ["starttls", "implicit", "none"])
    " — did you mean 'starttls'?"
    """
    near = nearest(found, known)
    return f" — did you mean '{near}'?" if near else ""


def nearest(found: str, known: Iterable[str]) -> str | None:
    """The known word that was most likely meant; `None`: none is near."""
    from difflib import get_close_matches  # noqa: PLC0415 - only a fault needs it

    near = get_close_matches(found.lower(), list(known), n=1, cutoff=0.6)
    return near[0] if near else None
