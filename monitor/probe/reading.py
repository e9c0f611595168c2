"""Read what came over the wire: strict JSON, and values of the kinds Meta documents."""

import json
from datetime import UTC, datetime
from typing import Final, NoReturn, TypeAlias

Object: TypeAlias = dict[str, object]

MAX_ID: Final = 64
MAX_SCOPE: Final = 200
MAX_SCOPES: Final = 1_000
MAX_TARGETS: Final = 10_000

_ID_END: Final = 10**MAX_ID
LAST: Final = 253_370_764_800
"""The first second of the year 9999; what lies later is no date of a token.

A year is left, so that adding a lead time or a lease never overflows.
"""


class UnreadableError(Exception):
    """What was read is not of the documented shape; `detail` names the place only."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


def _no_constant(name: str) -> NoReturn:
    raise ValueError


def _only_once(pairs: list[tuple[str, object]]) -> Object:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_only_once, parse_constant=_no_constant
)


def read_json(text: str | bytes) -> object:
    """The value of a JSON text: UTF-8, no key twice, no NaN, no endless number.

    The standard library's decoder is used because it shows every pair: a body that
    says `is_valid` twice says nothing.

    Raises:
        UnreadableError: it is anything else.
    """
    try:
        return _DECODER.decode(text if isinstance(text, str) else text.decode())
    except (ValueError, RecursionError):
        # ValueError covers bad JSON, bad UTF-8 and ints beyond 4,300 digits;
        # RecursionError, from deep nesting, is not one.
        raise UnreadableError("not JSON") from None


def read_text(value: object, place: str, longest: int = MAX_ID) -> str:
    """A text we may keep: not empty, bounded, and without unprintable characters.

    The last keeps out lone surrogates, which no database takes, and NUL.

    Raises:
        UnreadableError: it is anything else.
    """
    if type(value) is str and 0 < len(value) <= longest and value.isprintable():
        return value
    raise UnreadableError(f"{place} of a wrong type")


def read_id(value: object, place: str) -> str | None:
    """An id as text, whether it came as text or as a whole number; `""` says nothing.

    Source: Graph API, "Debug Token" and Facebook Login, "Manually Build a Login
    Flow" (a number), read 2026-11-23.

    Raises:
        UnreadableError: it is anything else.
    """
    if value is None or value == "":
        return None
    if type(value) is int and 0 <= value < _ID_END:
        return str(value)
    return read_text(value, place)


def read_kind(value: object) -> str | None:
    """The type of a token in lower case; types we do not know are kept.

    Raises:
        UnreadableError: it is not a text.
    """
    if value is None or value == "":
        return None
    return read_text(value, "type").lower()


def read_instant(value: object, place: str) -> datetime | None:
    """An instant from whole seconds since 1970; 0 and nothing are both `None`.

    Source: Graph API, "Debug Token", read 2026-11-23: `unixtime`; 0 is "never".

    Raises:
        UnreadableError: it is no whole number, negative, or beyond all reason.
    """
    if value is None:
        return None
    if type(value) is not int or not 0 <= value < LAST:
        raise UnreadableError(f"{place} is no date")
    return datetime.fromtimestamp(value, UTC) if value else None


def read_whole(value: object, place: str) -> int | None:
    """A whole number, or `None` where there is none.

    Raises:
        UnreadableError: it is anything else.
    """
    if value is None or type(value) is int:
        return value
    raise UnreadableError(f"{place} of a wrong type")


def read_scopes(value: object) -> tuple[str, ...] | None:
    """The scopes of a token, each once; `None` where none were named at all.

    Raises:
        UnreadableError: it is no list of texts, or a longer one than any token has.
    """
    if value is None:
        return None
    if type(value) is not list or len(value) > MAX_SCOPES:
        raise UnreadableError("scopes of a wrong type")
    return tuple(
        dict.fromkeys([read_text(scope, "scope", MAX_SCOPE) for scope in value])
    )


def read_targets(value: object) -> dict[str, tuple[str, ...]]:
    """Which assets each scope is limited to; a scope without limit is left out.

    Absent or empty `target_ids` mean all that the user has, never none. Entries of
    the same scope are united.

    Source: Graph API, "Debug Token", read 2026-11-23.

    Raises:
        UnreadableError: it is not of that shape, or larger than any token's.
    """
    if value is None:
        return {}
    if type(value) is not list or len(value) > MAX_SCOPES:
        raise UnreadableError("granular_scopes of a wrong type")
    found: dict[str, dict[str, None]] = {}
    unlimited: set[str] = set()
    count = 0
    for entry in value:
        if type(entry) is not dict:
            raise UnreadableError("granular_scopes of a wrong type")
        scope = read_text(entry.get("scope"), "granular scope", MAX_SCOPE)
        targets = entry.get("target_ids")
        if targets is None or targets == []:
            unlimited.add(scope)
            continue
        if type(targets) is not list or (count := count + len(targets)) > MAX_TARGETS:
            raise UnreadableError("target_ids of a wrong type")
        found.setdefault(scope, {}).update(
            dict.fromkeys([_target(target) for target in targets])
        )
    return {
        scope: tuple(targets)
        for scope, targets in found.items()
        if scope not in unlimited
    }


def _target(value: object) -> str:
    target = read_id(value, "target id")
    if target is None:
        raise UnreadableError("target id missing")
    return target
