"""No letter shows what belongs to another owner.

Every value of every owner carries a canary that nobody else's has. Ten thousand letters
are written in a shuffled order by one composer, whose caches serve them all; then the
whole house sends the letters of three hundred owners.
"""

import asyncio
import binascii
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from email.header import decode_header, make_header
from random import Random

import pytest

from monitor.core.delivery import Item, Letter, Role
from monitor.core.hold import Brake
from monitor.core.incident import Reason
from monitor.core.tokens import KINDS, Code
from monitor.core.verdict import MEANINGS, Audience
from monitor.notify.compose import Composer
from monitor.notify.samples import sample_item, sample_letter, sample_now
from monitor.sandbox.scenario import Owner, TokenPlan
from tests.jobs.house import ACME, DAY, HOUR, MINUTE, Builder
from tests.notify.rewrite import LANGUAGES, a_composer

LETTERS = 10_000
OWNERS = 300
CODES = {
    Role.OWNER: [c for c in Code if MEANINGS[c].audience is Audience.OWNER],
    Role.OPERATOR: [c for c in Code if MEANINGS[c].audience is Audience.OPERATOR],
}
CODES[Role.ESCALATION] = CODES[Role.OWNER]
REASONS = [reason for reason in Reason if reason is not Reason.REPORT]
ZONES = ("UTC", "Europe/Berlin", "America/Sao_Paulo", "Asia/Tokyo", "Asia/Kathmandu")
LOCALES = ("en", "en-GB", "xx", "de", "fr-CA", "ja", "ar")
SIZES = (*[1] * 20, *[2] * 6, 3, 4, 11, 20)
"""Matters in a letter: mostly one, at most twenty."""
ANY_OWNER = re.compile(r"zq(\d{5})", re.IGNORECASE)
"""The owner of a canary, even of one that was cut."""


def canary(owner: int, field: str, number: int = 0) -> str:
    return f"zq{owner:05}{field}{number:02}zq"


def an_item(owner: int, number: int, role: Role, random: Random) -> Item:
    code = random.choice(CODES[role])
    item = sample_item(code, random.choice((*KINDS, None)), random.choice(REASONS))
    token_id = canary(owner, "id", number)
    subject, _, about = item.subject.partition(":")
    return replace(
        item,
        subject=f"{subject}:{canary(owner, 'ab', number)}" if about else subject,
        incident=canary(owner, "in", number),
        app_id=canary(owner, "ai", number),
        app_name=canary(owner, "ap", number),
        token_id=token_id if item.token_id else None,
        name=canary(owner, "na", number) if random.random() < 0.8 else None,
        used_for=canary(owner, "us", number),
        reauthorize_url=f"https://app.acme.example/{token_id}",
        facts={
            key: value if value.isdecimal() else f"{value} {canary(owner, 'fa')}"
            for key, value in item.facts.items()
        },
        findings=tuple(
            replace(finding, details=(*finding.details, canary(owner, "de", number)))
            for finding in item.findings
        ),
    )  # fmt: skip


def a_letter(owner: int, random: Random) -> Letter:
    """Everything in it is one owner's alone."""
    role = random.choices((Role.OWNER, Role.ESCALATION, Role.OPERATOR), (8, 1, 1))[0]
    count = random.choice(SIZES)
    items = [an_item(owner, number, role, random) for number in range(count)]
    return replace(
        sample_letter(*items, role=role),
        id=canary(owner, "le"),
        message_id=f"<{canary(owner, 'me')}@acme.example>",
        product=canary(owner, "pr"),
        to=f"{canary(owner, 'to')}@bakery.example",
        cc=(f"{canary(owner, 'cc')}@bakery.example",) * random.randint(0, 1),
        name=canary(owner, "re"),
        locale=random.choice(LOCALES),
        timezone=random.choice(ZONES),
        references=(f"<{canary(owner, 'rf')}@acme.example>",) * random.randint(0, 1),
    )


def seen(raw: bytes) -> str:
    """All of a letter as a reader could find it, headers and both parts."""
    head, _, body = raw.partition(b"\r\n\r\n")
    headers = head.decode("ascii").replace("\r\n ", " ")
    if "=?" in headers:
        headers = str(make_header(decode_header(headers)))
    return f"{headers}\n{binascii.a2b_qp(body).decode()}"


def strangers(owner: int, text: str) -> set[str]:
    """Other owners whose canaries are in the text, whole or cut."""
    return set(ANY_OWNER.findall(text)) - {f"{owner:05}"}


def expected(letter: Letter) -> Iterator[str]:
    """The canaries the letter must show."""
    yield letter.to
    yield from letter.cc
    yield letter.message_id
    yield from letter.references
    yield letter.id
    yield from (item.incident for item in letter.items)
    if letter.role is not Role.OPERATOR:
        yield f"[{letter.product}]"
        lead = letter.items[0]
        yield lead.name or lead.token_id or lead.app_name


def lost(letter: Letter, text: str) -> list[str]:
    return [each for each in expected(letter) if each not in text]


def test_of_ten_thousand_letters_none_shows_another_owners_data():
    random, composer = Random(11), a_composer()
    order = random.sample(range(LETTERS), LETTERS)
    again: dict[int, tuple[Letter, bytes]] = {}
    for owner in order:
        letter = a_letter(owner, random)
        composed = composer.compose(letter, sample_now())
        text = seen(composed.raw)
        assert strangers(owner, text) == set()
        assert lost(letter, text) == []
        assert composed.envelope_to == (letter.to, *letter.cc)
        if owner % 100 == 0:
            again[owner] = letter, composed.raw
    assert len(again) == LETTERS / 100
    fresh = Composer("Acme Publisher <tokens@acme.example>", "support@acme.example")
    for letter, raw in again.values():  # whatever was written meanwhile
        assert composer.compose(letter, sample_now()).raw == raw
        assert fresh.compose(letter, sample_now()).raw == raw


def _swapped(letter: Letter, other: Letter) -> Iterable[tuple[str, Letter]]:
    item, stranger = letter.items[0], other.items[0]
    for name in ("name", "used_for", "incident", "token_id", "reauthorize_url"):
        swapped = replace(item, **{name: getattr(stranger, name)})
        yield name, replace(letter, items=(swapped, *letter.items[1:]))
    for name in ("product", "to", "name", "id", "message_id", "cc", "references"):
        yield f"letter's {name}", replace(letter, **{name: getattr(other, name)})


@pytest.mark.parametrize("locale", [*LANGUAGES, "xx"])
def test_a_swapped_value_is_seen(locale: str):
    """The control: each value of a stranger is noticed, and what is missing is too."""
    letter, other = (_full(owner, locale) for owner in (1, 2))
    calm = seen(a_composer().compose(letter, sample_now()).raw)
    assert strangers(1, calm) == set()
    assert lost(letter, calm) == []
    for name, swapped in _swapped(letter, other):
        text = seen(a_composer().compose(swapped, sample_now()).raw)
        assert strangers(1, text) == {"00002"}, name
    for kept in expected(letter):
        assert lost(letter, calm.replace(kept, "")) != []


def _full(owner: int, locale: str) -> Letter:
    """A letter in which every value is shown."""
    item = replace(
        sample_item(Code.REVOKED),
        incident=canary(owner, "in"),
        token_id=canary(owner, "id"),
        name=canary(owner, "na"),
        used_for=canary(owner, "us"),
        reauthorize_url=f"https://app.acme.example/{canary(owner, 'ur')}",
    )
    return replace(
        a_letter(owner, Random(owner)),
        role=Role.OWNER,
        items=(item,),
        locale=locale,
        cc=(f"{canary(owner, 'cc')}@bakery.example",),
        references=(f"<{canary(owner, 'rf')}@acme.example>",),
    )


def test_a_cut_canary_and_an_encoded_one_are_seen():
    raw = b"Subject: =?utf-8?q?=C3=BC_zq00007na?=\r\n\r\nzq000=\r\n09us=7A"
    assert strangers(7, seen(raw)) == {"00009"}
    assert strangers(9, seen(raw)) == {"00007"}


@dataclass(frozen=True, slots=True)
class Person:
    """An owner of the whole house."""

    number: int

    @property
    def address(self) -> str:
        return f"{canary(self.number, 'to')}@bakery.example"

    @property
    def tokens(self) -> list[TokenPlan]:
        owner = Owner(
            self.address,
            canary(self.number, "re"),
            LOCALES[self.number % len(LOCALES)],
            ZONES[self.number % len(ZONES)],
            f"{canary(self.number, 'cc')}@bakery.example" if self.number % 3 else "",
        )
        return [
            TokenPlan(
                canary(self.number, "id", n),
                ACME.id,
                owner=owner,
                name=canary(self.number, "na", n),
                used_for=canary(self.number, "us", n),
                expires_in=(2 + n) * DAY + HOUR,
                data_access_expires_in=None,
            )
            for n in range(1 + self.number % 2)
        ]


async def test_three_hundred_owners_get_their_own_letters_alone(house: Builder):
    """From the inventory over Graph, the database and SMTP to the mailbox."""
    people = {person.address: person for person in map(Person, range(OWNERS))}
    plans = [plan for person in people.values() for plan in person.tokens]
    Random(3).shuffle(plans)
    home = await house(*plans, brake=Brake(owner_letters_per_hour=None))
    link = "https://app.acme.example/connect?token={token_id}"
    apps = {
        id_: replace(app, reauthorize_url=link)
        for id_, app in home.charter.apps.items()
    }
    charter = replace(home.charter, apps=apps)
    home = house.wire(home.graph, home.mailbox, charter, tuple(plans))
    await home.check()
    home.clock.advance(3 * MINUTE)
    async with asyncio.timeout(180):  # more letters than a tick of the house has
        await home.courier.deliver_due()
    assert len(home.letters()) == OWNERS
    for letter in home.letters():
        person = people.pop(letter.envelope_to[0])
        text = seen(letter.data)
        assert strangers(person.number, "".join((*letter.envelope_to, text))) == set()
        for plan in person.tokens:
            assert plan.name in text
            assert plan.id in text
            assert plan.used_for in text
            assert plan.text not in text
        assert person.tokens[0].owner.name in text
        copies = {person.tokens[0].owner.cc} - {""}
        assert set(letter.envelope_to[1:]) == copies
    assert people == {}
