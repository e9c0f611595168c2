"""Read what came to the bounce address: delivery reports, and whatever else came.

Whoever knows the address may write to it, so nothing in here may fail on any bytes.
"""

import re
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from email.utils import getaddresses
from typing import Final

from monitor.core.bounces import Fate, Report
from monitor.notify.safe import clean

LONGEST: Final = 256 * 1024
"""What lies further on is not read."""
_PARSED: Final = 64 * 1024
"""So much is given to the parser: it takes quadratic time on hostile bytes, one second
for so many, a quarter of a minute for four times as many."""
_HEAD: Final = 32 * 1024
_STATUS_PART: Final = re.compile(
    rb"^(content-type:[ \t\r\n]{0,4}message/)(?:global-)?(delivery-status)",
    re.IGNORECASE | re.MULTILINE,
)
"""RFC 3464, and RFC 6533 where addresses are not ASCII; the parser knows the first."""
_MOST: Final = 100
"""Recipients, identifiers and parts of one report that are looked at."""
_ADDRESSED: Final = ("to", "delivered-to", "x-original-to", "envelope-to")
_STATUS: Final = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3})(?!\S)")
_RETURNED: Final = frozenset(
    {"message/rfc822", "message/global", "message/global-headers"}
)
_MESSAGE_ID: Final = re.compile(r"<[^<>\s]{1,400}>")


def read_report(raw: bytes) -> Report | None:
    """What a message says about deliveries; `None`: it cannot be read."""
    try:
        facts = _STATUS_PART.sub(rb"\1\2", _facts(raw[:LONGEST]))
        return _report(message_from_bytes(facts))
    except Exception:  # noqa: BLE001 - the parser fails in many ways on hostile bytes
        return None


def _facts(raw: bytes) -> bytes:
    """A long report without the words for humans before its facts.

    Exchange puts a page of HTML there that may be longer than what we parse.
    """
    if len(raw) <= _PARSED:
        return raw
    end = re.search(rb"\r?\n\r?\n", raw[:_HEAD])
    part = _STATUS_PART.search(raw, _HEAD)
    start = raw.rfind(b"\n--", 0, part.start()) if part else -1
    if end is None or start < end.end():
        return raw[:_PARSED]
    return (raw[: end.end()] + raw[start + 1 :])[:_PARSED]


def _report(message: Message) -> Report:
    kind = message.get_content_type()
    automatic = _text(message, "auto-submitted").lower()
    addressed = [*_addresses(message, *_ADDRESSED)]
    message_ids: list[str] = []
    fates: list[Fate] = []
    for part in _parts(message) if kind == "multipart/report" else ():
        part_kind = part.get_content_type()
        if part_kind == "message/delivery-status":
            for block in _blocks(part):
                addressed.append(_text(block, "original-envelope-id"))
                if block.get("action") is not None:
                    fates.append(_fate(block))
        elif part_kind in _RETURNED:
            inner = part.get_payload()
            if isinstance(inner, list) and isinstance(inner[0], Message):
                message_ids += _ids(_text(inner[0], "message-id"))
        elif part_kind == "text/rfc822-headers":
            headers = message_from_bytes(_decoded(part))
            message_ids += _ids(_text(headers, "message-id"))
    return Report(
        tuple(each for each in addressed if each)[:_MOST],
        tuple(message_ids)[:_MOST],
        tuple(fates)[:_MOST],
        # RFC 3834 has reports call themselves `auto-replied` too.
        automatic=automatic not in {"", "no"},
    )


def _parts(message: Message) -> Iterator[Message]:
    """The parts of a report, not what lies inside them."""
    payload = message.get_payload()
    for part in payload[:_MOST] if isinstance(payload, list) else ():
        if isinstance(part, Message):
            yield part


def _blocks(part: Message) -> Iterator[Message]:
    """The groups of fields of a status: the message's, then one a recipient."""
    payload = part.get_payload()
    if isinstance(payload, list):
        yield from (each for each in payload[:_MOST] if isinstance(each, Message))


def _fate(block: Message) -> Fate:
    recipients = (
        _text(block, name).rpartition(";")[2].strip().strip("<>")
        for name in ("original-recipient", "final-recipient")
    )
    status = _STATUS.match(_text(block, "status"))
    return Fate(
        tuple(each for each in recipients if each),
        _text(block, "action").strip().lower(),
        status[1] if status else "",
    )


def _text(message: Message, name: str) -> str:
    """The first header of this name, on one line; empty: none."""
    return clean(str(message.get(name, "")), 1000)


def _addresses(message: Message, *names: str) -> Iterator[str]:
    for name in names:
        values = [
            clean(str(value), 4000) for value in message.get_all(name, [])[:_MOST]
        ]
        yield from (address for _, address in getaddresses(values)[:_MOST])


def _ids(text: str) -> list[str]:
    return _MESSAGE_ID.findall(text)


def _decoded(part: Message) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""
