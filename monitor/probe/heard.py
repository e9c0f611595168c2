"""Heard: what Meta said about one token, word for word, read when somebody asks."""

import re
from typing import Final

from msgspec import MsgspecError, Struct, json
from xxhash import xxh3_64_intdigest

from monitor.core.tokens import Answer
from monitor.probe.interpret import OK, by_status, interpret
from monitor.probe.rows import Position

_USUAL: Final = (b'"{\\"data\\":{', b'"{\\"data\\": {')
_ESCAPED: Final = re.compile(rb"\\u00[267]")
"""A letter or a quote as JSON may spell it, but Meta does not: it could hide a key."""
_TEXT: Final = json.Decoder(str)


class Heard(Struct, gc=False, eq=False):
    """An answer, and a print of the words it was given in.

    Most tokens of a fleet are answered word for word as the time before. Equal words
    have equal prints, and what words mean depends on nothing but the words, so the
    store need not have them read to know that nothing changed. A print is of what
    stands between a batch's quotes, with its escapes, and of nothing around it.
    """

    print: int | None
    """63 bits, so it fits a column; `None`: the answer was read already."""
    spelt: bytes
    """The words as a JSON string. They may hold anything, so they are never shown."""
    read: Answer | None = None

    def __repr__(self) -> str:
        return f"Heard(print={self.print})"

    @property
    def answer(self) -> Answer:
        """What the words mean."""
        if self.read is None:
            self.read = _meaning(OK, self.spelt)
        return self.read


def told(answer: Answer) -> Heard:
    """An answer that was read at once."""
    return Heard(None, b"", answer)


def print_of(spelt: bytes) -> int:
    """A number of 63 bits that only the same words have, but for chance.

    No secret depends on it, so a hash that is merely fast will do. It is the same in
    every release: it is kept for months.
    """
    return xxh3_64_intdigest(spelt) >> 1


def is_text(spelt: bytes) -> bool:
    """Whether this is one JSON string and nothing else."""
    try:
        _TEXT.decode(spelt)
    except (MsgspecError, UnicodeDecodeError):
        return False
    return True


def heard(status: int, spelt: bytes) -> Heard:
    """One item of a batch: left unread if it is about the token and about it alone.

    Whatever may concern the call, the caller or the quota is read at once. Without
    the word `error`, an object `data` tells nothing of these.

    Args:
        status: The item's own.
        spelt: Its body as it stands in the batch: a JSON string with its quotes.
    """
    if (
        status == OK
        and spelt.startswith(_USUAL)
        and b'error\\"' not in spelt
        and not (b"\\u00" in spelt and _ESCAPED.search(spelt))
    ):
        return Heard(xxh3_64_intdigest(spelt) >> 1, spelt)
    return told(_meaning(status, spelt))


def _meaning(status: int, spelt: bytes) -> Answer:
    try:
        words = _TEXT.decode(spelt)
    except (MsgspecError, UnicodeDecodeError):
        # Lone surrogates are among these: no text can hold them.
        return by_status(Position.ITEM, status, "not JSON")
    return interpret(status, words)
