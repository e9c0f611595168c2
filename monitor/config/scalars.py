"""Plain values of the configuration: words, numbers and choices.

Each type reads a `Scalar` and says in a sentence what it found and what it expects.
None of them shows a secret, and none shows what `${VAR}` stands for.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, PlainValidator
from pydantic_core import CoreSchema, PydanticCustomError

from monitor.config.document import Broken
from monitor.errors import did_you_mean

_SECRETIVE = re.compile(
    r"(?=[A-Za-z0-9_+/=-]*[A-Za-z])(?=[A-Za-z0-9_+/=-]*\d)[A-Za-z0-9_+/=-]{16}"
)


def wrong(text: str) -> PydanticCustomError:
    """The error a value of the configuration is refused with."""
    return PydanticCustomError("fault", text)


def text_of(value: object, expected: str) -> str:
    """The text of a value, refusing lists, mappings and nothing."""
    if value is None:
        raise wrong(f"expected {expected}, found nothing")
    if isinstance(value, Broken):
        raise wrong("")  # told already, where it was read
    if isinstance(value, bool | int | float):  # settings built in code, not from YAML
        return str(value).lower()
    if not isinstance(value, str):
        found = "a list" if isinstance(value, Sequence) else "a mapping"
        raise wrong(f"expected {expected}, found {found}")
    return value


def secretive(text: str) -> bool:
    """Whether a text looks like a secret that stands in the wrong place."""
    return bool(_SECRETIVE.search(text))


def shown(value: object) -> str:
    """A value as a message may show it: as written, short, never like a secret.

    >>> shown("soon"), shown("EAAB2x0ZC4bcBAKq7")
    ("'soon'", 'a text of 17 characters')
    """
    text = getattr(value, "written", str(value))
    if not text.isprintable():
        return "a text with a line break or a control character"
    if len(text) > 60 or secretive(text):  # noqa: PLR2004 - a line
        return f"a text of {len(text)} characters"
    return f"'{text}'"


def _line(value: object) -> str:
    text = text_of(value, "a text")
    if not text.strip():
        raise wrong("is empty, expected a text")
    if not text.isprintable():
        raise wrong("holds a line break or a control character, expected one line")
    return str(text).strip()


def _word(what: str, pattern: str, example: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        text = text_of(value, what)
        if not re.fullmatch(pattern, text):
            raise wrong(f"{shown(value)} is not {what} such as {example}")
        return str(text)

    return read


def _one_of(*words: str) -> Callable[[object], str]:
    listed = f"{', '.join(words[:-1])} or {words[-1]}"

    def read(value: object) -> str:
        text = text_of(value, listed)
        if text not in words:
            near = did_you_mean(text, words)
            raise wrong(f"{shown(value)} is not one of {listed}{near}")
        return str(text)

    return read


def _flag(value: object) -> bool:
    text = text_of(value, "true or false")
    if getattr(value, "bare", True) and text.lower() in {"true", "false"}:
        return text.lower() == "true"
    meant = {"yes": "true", "on": "true", "no": "false", "off": "false"}
    word = meant.get(text.lower(), text.lower())
    near = f" — did you mean {word}?" if word in {"true", "false"} else ""
    raise wrong(f"{shown(value)} is neither true nor false{near}")


def _whole(low: int, high: int) -> Callable[[object], int]:
    expected = f"a whole number from {low} to {high}"

    def read(value: object) -> int:
        text = text_of(value, expected)
        if not re.fullmatch(r"-?[0-9]{1,12}", text):
            raise wrong(f"{shown(value)} is not {expected}")
        if not getattr(value, "bare", True):
            raise wrong(f"{shown(value)} is quoted, expected {expected} without quotes")
        if not low <= int(text) <= high:
            raise wrong(f"{shown(value)} is out of bounds, expected {expected}")
        return int(text)

    return read


def _share(value: object) -> float:
    expected = "a share from 0 to 1 such as 0.05"
    text = text_of(value, expected)
    percent = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]+)?) ?%", text)
    if percent and float(percent[1]) <= 100:  # noqa: PLR2004 - per cent
        near = f" — did you mean {float(percent[1]) / 100:g}?"
        raise wrong(f"{shown(value)} is not {expected}{near}")
    if (
        not re.fullmatch(r"[0-9]{1,3}(?:\.[0-9]{1,9})?", text)
        or not 0 <= float(text) <= 1
    ):
        raise wrong(f"{shown(value)} is not {expected}")
    return float(text)


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """How a value of the file is read, and how an editor recognises it."""

    parse: Callable[[object], object]
    schema: Mapping[str, object]

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return PlainValidator(self.parse).__get_pydantic_core_schema__(source, handler)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return dict(self.schema)


def whole(low: int, high: int) -> Read:
    """A whole number between two bounds."""
    return Read(
        _whole(low, high),
        _or_placeholder({"type": "integer", "minimum": low, "maximum": high}),
    )


def choice(*words: str) -> Read:
    """One word out of a few."""
    return Read(
        _one_of(*words), _or_placeholder({"type": "string", "enum": list(words)})
    )


def word(what: str, pattern: str, example: str) -> Read:
    """A text of one pattern; an unquoted number is welcome if it fits."""
    return Read(_word(what, pattern, example), pattern_schema(pattern))


def pattern_schema(pattern: str) -> dict[str, object]:
    """The schema of a text of one pattern, or one made from `${VAR}`."""
    return {"type": "string", "pattern": rf"^(?:{pattern})$|\$\{{"}


def _or_placeholder(schema: dict[str, object]) -> dict[str, object]:
    return {"anyOf": [schema, {"type": "string", "pattern": r"\$\{"}]}


Line = Annotated[str, Read(_line, {"type": "string"})]
Flag = Annotated[bool, Read(_flag, _or_placeholder({"type": "boolean"}))]
Share = Annotated[
    float,
    Read(_share, _or_placeholder({"type": "number", "minimum": 0, "maximum": 1})),
]
