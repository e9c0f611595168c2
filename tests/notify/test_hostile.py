"""No value from outside forges a header, changes a letter's shape, or loses it."""

import re
from collections.abc import Callable
from dataclasses import replace
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from html.parser import HTMLParser
from typing import Final

import pytest

from monitor.core.attempt import Outcome
from monitor.core.delivery import Letter, Role
from monitor.core.tokens import Code
from monitor.notify.blocks import Kind, as_data, as_text, parse
from monitor.notify.compose import Composed
from monitor.notify.email import Mailer
from monitor.notify.headers import UnwritableError
from monitor.notify.safe import clean
from monitor.notify.samples import sample_item, sample_letter, sample_now
from tests.notify.hostile import HOSTILE, SSTI
from tests.notify.mailbox import a_mailbox
from tests.notify.rewrite import a_composer
from tests.notify.test_email import a_server

COMPOSER: Final = a_composer()


def _owner(**changes: str) -> Letter:
    return sample_letter(replace(sample_item(Code.SCOPES_MISSING), **changes))  # type: ignore[arg-type] # text fields only


def _operator(facts: dict[str, str]) -> Letter:
    item = replace(sample_item(Code.UNDELIVERABLE), facts=facts)
    return sample_letter(item, role=Role.OPERATOR)


FIELDS: dict[str, Callable[[str], Letter]] = {
    "name": lambda text: _owner(name=text),
    "used_for": lambda text: _owner(used_for=text),
    "token_id": lambda text: _owner(token_id=text, name=""),
    "incident": lambda text: _owner(incident=text),
    "app_name": lambda text: _owner(app_name=text),
    "kind": lambda text: _owner(kind=text),
    "url": lambda text: _owner(reauthorize_url=text),
    "reader": lambda text: replace(_owner(), name=text),
    "product": lambda text: replace(_owner(), product=text),
    "letter": lambda text: replace(_owner(), id=text),
    "locale": lambda text: replace(_owner(), locale=text),
    "timezone": lambda text: replace(_owner(), timezone=text),
    "references": lambda text: replace(_owner(), references=(text,)),
    "facts": lambda text: _operator({"recipient": text, "reply": text, text: text}),
    "details": lambda text: sample_letter(
        replace(
            sample_item(Code.TARGETS_MISSING),
            findings=(
                replace(sample_item(Code.TARGETS_MISSING).findings[0], details=(text,)),
            ),
        )
    ),
}
OF_PEOPLE: Final = {"name", "used_for", "app_name", "url", "reader", "product"}
"""What people fill in is looked at more closely in `tests/letters/`."""
EXPECTED: Final = [
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


def parsed(composed: Composed) -> EmailMessage:
    message = BytesParser(policy=policy.default).parsebytes(composed.raw)
    assert isinstance(message, EmailMessage)
    return message


def part(message: EmailMessage, kind: str) -> str:
    body = message.get_body((kind,))
    assert body is not None
    content = body.get_content()
    assert isinstance(content, str)
    return content.replace("\r\n", "\n")


class _Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}


@pytest.mark.parametrize("field", sorted(FIELDS.keys() - OF_PEOPLE))
async def test_a_hostile_value_changes_nothing_but_its_own_words(field: str):
    calm = COMPOSER.compose(FIELDS[field]("calm"), sample_now())
    shape = _Tags(calm.html)
    async with a_mailbox() as box:
        mailer = Mailer(a_server(box.port))
        for text in HOSTILE:
            letter = FIELDS[field](text)
            composed = COMPOSER.compose(letter, sample_now())
            check_headers(composed, letter)
            check_shape(composed, calm, shape)
            attempt = await mailer.send(
                COMPOSER.envelope_from, composed.envelope_to, composed.raw
            )
            assert attempt is not None
            assert attempt.outcome is Outcome.SENT
        await mailer.close()
    assert len(box.letters) == len(HOSTILE)
    reader = calm.envelope_to
    assert {tuple(envelope.rcpt_tos) for envelope in box.letters} == {reader}


def check_headers(composed: Composed, letter: Letter) -> None:
    message = parsed(composed)
    assert [key for key in message if key != "References"] == EXPECTED
    assert message.defects == []
    assert [address.addr_spec for address in message["To"].addresses] == [letter.to]
    assert message["Subject"] == composed.subject
    assert len(composed.subject) <= 100
    assert message["Message-ID"] == letter.message_id
    assert message["From"].addresses[0].addr_spec == "tokens@acme.example"
    assert part(message, "plain") == composed.text
    assert part(message, "html") == composed.html
    assert composed.raw.isascii()
    assert b"\n" not in composed.raw.replace(b"\r\n", b"")
    assert b"\r" not in composed.raw.replace(b"\r\n", b"")
    assert max(map(len, composed.raw.split(b"\r\n"))) <= 998
    assert re.search(rb"^References: ?\r\n", composed.raw, re.MULTILINE) is None
    assert len(composed.raw) < 100_000


def check_shape(composed: Composed, calm: Composed, shape: _Tags) -> None:
    found = _Tags(composed.html)
    known = {*shape.tags, "span", "a"}
    assert set(found.tags) <= known
    assert found.tags.count("h2") == shape.tags.count("h2")
    assert found.attributes <= shape.attributes | {"href", "class"}
    headings = [
        line
        for line, rule in zip(
            composed.text.split("\n"), composed.text.split("\n")[1:], strict=False
        )
        if line and re.fullmatch(r"-{3,}", rule) and len(line) == len(rule)
    ]
    assert len(headings) == calm.text.count("\n---")
    assert "elsewhere.example" not in "".join(
        re.findall(r'href="[^"]*"', composed.html)
    )
    for char in "\u202e\u2028\x85\0\ue000\ue001\ud800":
        assert char not in composed.text + composed.html + composed.subject


@pytest.mark.parametrize("payload", SSTI)
def test_a_payload_is_shown_and_not_evaluated(payload: str):
    composed = COMPOSER.compose(_owner(name=payload), sample_now())
    assert f'"{payload}"' in composed.subject or len(payload) > 30
    assert payload.split(maxsplit=1)[0] in composed.text


def test_something_like_a_token_is_hidden():
    secret = "EAAGm0PX4ZCpsBAKZCk1234567890abcdef"
    for field in ("name", "used_for", "facts", "reader"):
        composed = COMPOSER.compose(FIELDS[field](f"x {secret} y"), sample_now())
        assert secret not in composed.text + composed.html + composed.subject


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Bakery\ufffe\uffff\ufdd0\U0010ffff", "Bakery" + "\ufffd" * 4),
        ("\u3164", ""),
        ("\u115f\u034f \uffa0", ""),
        ("\u200d\u200c", ""),
        ("\u200d Bakery \u200d", "Bakery"),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", ...),
        ("\U0001f468\u200d\U0001f469\u200d\U0001f467", ...),
        ("Bakery\ufe0f", ...),
        ("e\u0323\u0302\u0301", ...),
        ("e" + "\u0301" * 5 + "x", "e" + "\u0301" * 4 + "x"),
        ("e" + "\u0301" * 50, "e" + "\u0301" * 4),
    ],
    ids=ascii,
)
def test_a_line_is_made_of_characters_that_people_see(text: str, kept: object):
    """Some parsers die of what is no character; a name of nothing is no name."""
    assert clean(text) == (text if kept is ... else kept)


def test_no_value_becomes_markup():
    """The positive control: without their marks, the same lines are markup."""
    for value, kind in (
        ("## x", Kind.HEADING),
        ("1. x", Kind.STEPS),
        ("- x", Kind.POINTS),
        ("> x https://app.acme.example", Kind.BUTTON),
        ("---", Kind.FOOTER),
    ):
        assert parse(value)[0].kind is kind
        marked = parse(f"\ue000{value}\ue001")
        assert marked[0].kind is Kind.PARAGRAPH
        assert as_text(marked, str) == f"{value}\n"


@pytest.mark.parametrize(
    "to",
    [
        "",
        "jane",
        "@bakery.example",
        "jane@",
        "jäne@bakery.example",
        "jane doe@bakery.example",
        '"jane doe"@bakery.example',
        "jane@bakery.example, evil@elsewhere.example",
        "jane@bakery.example\r\nBcc: evil@elsewhere.example",
        "jane@bakery.example\0",
        "jane@@bakery.example",
        "jane@bakery..example",
        "jane@-bakery.example",
        "jane@[127.0.0.1]",
        "Jane <jane@bakery.example>",
        "<jane@bakery.example>",
        "jane\u2028@bakery.example",
        "jane@bakery\ud800.example",
        "j" * 65 + "@bakery.example",
        "jane@" + "x" * 64 + ".example",
        "jane@" + ".".join(["x" * 50] * 6),
        *(f"jane{c}@bakery.example" for c in "()<>,;:\\[]"),
    ],
)
def test_an_impossible_address_is_a_value_for_the_courier(to: str):
    letter = replace(_owner(), to=to)
    with pytest.raises(UnwritableError) as error:
        COMPOSER.compose(letter, sample_now())
    assert "bakery" not in str(error.value)


@pytest.mark.parametrize(
    ("to", "written"),
    [
        ("jane@bäckerei.example", "jane@xn--bckerei-5wa.example"),
        ("jane@BAKERY.example", "jane@bakery.example"),
        ("jane@straße.example", "jane@xn--strae-oqa.example"),
        (" jane+fb@bakery.example ", "jane+fb@bakery.example"),
        ("o'brien@bakery.example", "o'brien@bakery.example"),
    ],
)
def test_an_address_is_written_in_ascii(to: str, written: str):
    composed = COMPOSER.compose(replace(_owner(), to=to), sample_now())
    assert composed.envelope_to == (written,)
    assert parsed(composed)["To"] == written


def test_an_impossible_copy_does_not_lose_the_letter():
    letter = _owner()
    letter = replace(letter, cc=("nobody", "boss@acme.example", letter.to))
    composed = COMPOSER.compose(letter, sample_now())
    assert composed.envelope_to == (letter.to, "boss@acme.example")
    assert parsed(composed)["Cc"] == "boss@acme.example"


def test_a_malformed_message_id_is_a_value_for_the_courier():
    letter = replace(_owner(), message_id="<a@b>\r\nBcc: x@y.example")
    with pytest.raises(UnwritableError):
        COMPOSER.compose(letter, sample_now())


@pytest.mark.parametrize(
    ("line", "html"),
    [
        ("run `a b`.", 'run <code dir="ltr">a b</code>.'),
        (
            "`a \ue000x\ue001`",
            '<code dir="ltr">a <span dir="auto">x</span></code>',
        ),
        ("\ue000a`b\ue001 and `c", '<span dir="auto">a`b</span> and `c'),
        ("\ue000`<b>`\ue001", '<span dir="auto">`&lt;b&gt;`</span>'),
        ("`a \ue000x`y\ue001`", '<code dir="ltr">a <span dir="auto">x`y</span></code>'),
        ("a ` b", "a ` b"),
    ],
)
def test_what_is_to_be_typed_never_crosses_a_value(line: str, html: str):
    (block,) = as_data(parse(line), str)
    assert block["lines"] == [html]
