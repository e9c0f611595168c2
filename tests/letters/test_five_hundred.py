"""Five hundred strings in six fields: nothing but the value's own words changes.

A letter with a hostile value is compared with a calm one, the value in its place. Both
go over a real connection, and what is compared is what arrived.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from email import message_from_bytes
from email.headerregistry import HeaderRegistry
from email.message import EmailMessage
from email.policy import default
from functools import lru_cache
from html.parser import HTMLParser

import pytest

from monitor.core.attempt import Outcome
from monitor.core.delivery import Letter
from monitor.core.tokens import Code
from monitor.notify.compose import Composed
from monitor.notify.email import Mailer
from monitor.notify.headers import UnwritableError
from monitor.notify.safe import clean, host_of, safe_url, shorten
from monitor.notify.samples import sample_item, sample_letter, sample_now
from tests.letters.strings import FIVE_HUNDRED
from tests.notify.mailbox import Mailbox, a_mailbox
from tests.notify.rewrite import a_composer
from tests.notify.test_email import a_server

HEADERS = [
    "From",
    "To",
    "Reply-To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "List-Id",
    "X-Token-Monitor-Incident",
    "X-Token-Monitor-Reason",
    "MIME-Version",
    "Content-Type",
]
CALM, PRODUCT = "Kalmer", "Produkt"
LINK, HOST = "https://kalmer.example/calm", "kalmer.example"


def a_letter(product: str = "Acme", **changes: str | None) -> Letter:
    item = replace(sample_item(Code.SCOPES_MISSING), **changes)  # type: ignore[arg-type] # text fields only
    return replace(sample_letter(item), product=product)


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the inventory or the configuration, and what a letter shows of it."""

    letter: Callable[[str], Letter]
    shown: Callable[[str], str]
    calm: str = CALM


FIELDS: Mapping[str, Field] = {
    "name": Field(
        lambda text: a_letter(name=text), lambda text: shorten(clean(text), 120)
    ),
    "used_for": Field(lambda text: a_letter(used_for=text), clean),
    "owner_name": Field(
        lambda text: replace(a_letter(), name=text), lambda text: clean(text, 120)
    ),
    "app name": Field(
        lambda text: a_letter(PRODUCT if text == CALM else text, app_name=text),
        lambda text: clean(text, 120),
    ),
    "reauthorize_url": Field(
        lambda text: a_letter(reauthorize_url=text),
        lambda text: safe_url(text) or "",
        LINK,
    ),
    "cc": Field(lambda text: replace(a_letter(), cc=(text,)), lambda _: ""),
}


@dataclass(frozen=True, slots=True)
class Shape:
    """All of a letter that no value may change."""

    words: str
    """Of the text part without its spaces: lines break anywhere in some languages."""
    html_words: str
    tags: tuple[object, ...]
    """Every tag with its attributes, and every comment."""

    def with_values(self, values: Mapping[str, str]) -> "Shape":
        """The same with other values in their places."""
        words, html_words, tags = self.words, self.html_words, self.tags
        for old, new in values.items():
            words, html_words = words.replace(old, new), html_words.replace(old, new)
            tags = tuple(_with(tag, old, new) for tag in tags)
        return Shape("".join(words.split()), "".join(html_words.split()), tags)


class _Page(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[object] = []
        self.words: list[str] = []
        self._silent = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))
        self._silent = tag in {"style", "title"}

    def handle_endtag(self, tag: str) -> None:
        self.tags.append(f"/{tag}")
        self._silent = False

    def handle_comment(self, data: str) -> None:
        self.tags.append(data)

    def handle_decl(self, decl: str) -> None:
        self.tags.append(decl)

    def unknown_decl(self, data: str) -> None:
        self.tags.append(data)

    def handle_pi(self, data: str) -> None:
        self.tags.append(data)

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.words.append(data)


_ONCE = default.clone(header_factory=lru_cache(maxsize=4096)(HeaderRegistry()))
"""Reads a header once; the standard library does so each time it is asked for."""


def parsed(raw: bytes) -> EmailMessage:
    return message_from_bytes(raw, policy=_ONCE)


def shape(message: EmailMessage) -> Shape:
    """What a letter looks like."""
    text, html = (part.get_content() for part in message.iter_parts())
    page = _Page(html)
    words = re.sub(r"(?m)^-{3,}\r?$", "", text)  # under headings, as long as they are
    html_words = "".join("".join(page.words).split())
    return Shape("".join(words.split()), html_words, tuple(page.tags))


def _with(tag: object, old: str, new: str) -> object:
    match tag:
        case (name, list(attributes)):
            return (name, [(key, v and v.replace(old, new)) for key, v in attributes])
        case _:
            return tag


def check_headers(message: EmailMessage, composed: Composed, letter: Letter) -> None:
    names = [name for name in message if name != "Cc" or not composed.envelope_to[1:]]
    assert names == HEADERS
    assert message.defects == []
    assert [name for name, value in message.items() if value.defects] == []
    assert [each.addr_spec for each in message["To"].addresses] == [letter.to]
    assert [each.addr_spec for each in message["From"].addresses] == [
        a_composer().envelope_from
    ]
    subject = message["Subject"]
    assert subject == composed.subject
    assert len(subject) <= 100
    assert subject == clean(subject)
    assert subject.startswith(f"[{clean(letter.product, 60) or 'token-monitor'}] ")
    assert message["Message-ID"] == letter.message_id
    assert [each.get_content_type() for each in message.walk()] == [
        "multipart/alternative",
        "text/plain",
        "text/html",
    ]


def hidden(text: str) -> set[str]:
    """Characters in it that a reader does not see, or a machine obeys."""
    kinds = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    odd = {char for char in set(text) if unicodedata.category(char) in kinds}
    return odd - set("\r\n\u200c\u200d")


async def deliver(mailer: Mailer, box: Mailbox, composed: Composed) -> bytes:
    """What arrives of a letter."""
    attempt = await mailer.send(
        a_composer().envelope_from, composed.envelope_to, composed.raw
    )
    assert attempt is not None
    assert attempt.outcome is Outcome.SENT
    envelope = box.letters.pop()
    assert tuple(envelope.rcpt_tos) == composed.envelope_to
    assert isinstance(envelope.content, bytes)
    return envelope.content


@pytest.mark.parametrize("name", FIELDS)
async def test_a_hostile_value_changes_nothing_but_its_own_words(name: str):
    field, composer = FIELDS[name], a_composer()
    calm, empty = (
        shape(parsed(composer.compose(field.letter(text), sample_now()).raw))
        for text in (field.calm, "")
    )
    delivered = 0
    async with a_mailbox() as box:
        mailer = Mailer(a_server(box.port))
        for text in FIVE_HUNDRED:
            letter, value = field.letter(text), field.shown(text)
            composed = composer.compose(letter, sample_now())
            message = parsed(await deliver(mailer, box, composed))
            delivered += 1
            check_headers(message, composed, letter)
            assert hidden(composed.text + composed.html) == set(), ascii(text)
            values = {field.calm: value, PRODUCT: clean(letter.product, 60)}
            values[HOST] = host_of(value) if name == "reauthorize_url" else HOST
            expected = calm.with_values(values) if value else empty
            assert shape(message) == expected, ascii(text[:200])
        await mailer.close()
    assert delivered == len(FIVE_HUNDRED) == 500


def test_the_comparison_sees_what_a_value_could_change():
    """The control: what a value would do, were it not made safe."""
    calm = a_composer().compose(a_letter(name=CALM), sample_now())
    before = shape(parsed(calm.raw))
    for planted in (
        b"<i>Kalmer</i>",
        b"Kalmer</p><p>",
        b"<script>Kalmer</script>",
        b"<!-- Kalmer -->Kalmer",
        b"Kalmer Kalmer",
    ):
        assert shape(parsed(calm.raw.replace(b"Kalmer", planted))) != before
    other = shape(parsed(calm.raw.replace(b"Kalmer", b"Karger")))
    assert other.with_values({"Karger": CALM}) == before
    assert hidden("Bakery\u202e\0\u2028\ud800") == set("\u202e\0\u2028\ud800")
    forged = calm.raw.replace(b"\r\nDate:", b"\r\nBcc: x@y.example\r\nDate:")
    with pytest.raises(AssertionError):
        check_headers(parsed(forged), calm, a_letter(name=CALM))


async def test_a_hostile_address_is_refused_or_one_address():
    """An address of which no letter can be written is a value for the courier."""
    refused, reasons, written = 0, set(), set()
    async with a_mailbox() as box:
        mailer = Mailer(a_server(box.port))
        for text in FIVE_HUNDRED:
            letter = replace(a_letter(), to=text)
            try:
                composed = a_composer().compose(letter, sample_now())
            except UnwritableError as error:
                reasons.add(str(error))
                refused += 1
                continue
            message = parsed(await deliver(mailer, box, composed))
            (address,) = composed.envelope_to
            assert re.fullmatch(r"[!-?A-~]{1,64}@[a-z0-9.-]{1,253}", address)
            check_headers(message, composed, replace(letter, to=address))
            written.add(address)
        await mailer.close()
    assert 400 <= refused <= 500 - len(written)
    assert len(reasons) <= 4, "what is said of an address does not quote it"
    assert {"jane@bakery-north.example", "a@b"} <= written
