"""Values of `core` as the text kept in a column, and back."""

from msgspec import json

from monitor.core.delivery import Item
from monitor.core.incident import Incident
from monitor.core.tokens import Answer, Code, Inconclusive, Introspection

_encoder = json.Encoder(order="sorted")
_known = json.Decoder(Introspection)
_incident = json.Decoder(Incident)
_item = json.Decoder(Item)
_labels = json.Decoder(dict[str, str])


def encode(value: object) -> str:
    """The value as JSON; equal values give equal text."""
    return _encoder.encode(value).decode()


def encode_answer(answer: Answer) -> str:
    """An answer as history keeps it: what was said, or why nothing was."""
    if isinstance(answer, Inconclusive):
        return encode({"inconclusive": answer.cause, "detail": answer.detail})
    return encode(answer)


def decode_known(text: str | None) -> Introspection | None:
    """The introspection kept in `tokens.known`."""
    return None if text is None else _known.decode(text)


def decode_incident(text: str) -> Incident:
    """The incident kept in `incidents.state`."""
    return _incident.decode(text)


def decode_item(text: str) -> Item:
    """The item kept in `outbox.item`."""
    return _item.decode(text)


def decode_labels(text: str) -> dict[str, str]:
    """The labels kept in `tokens.labels`."""
    return {} if text == "{}" else _labels.decode(text)


def join_codes(codes: tuple[Code, ...]) -> str:
    """Codes as a column keeps them, to be searched with `has_code`."""
    return ",".join(codes)


def split_codes(text: str) -> tuple[Code, ...]:
    """The codes of a column."""
    return tuple(Code(part) for part in text.split(",")) if text else ()


def split_list(text: str) -> tuple[str, ...]:
    """A list kept as text with commas, such as `cc`."""
    return tuple(part for part in text.split(",") if part)
