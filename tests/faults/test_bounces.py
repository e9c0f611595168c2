"""Bounces: a letter that came back is lost, and only its own report says so."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from monitor.core.bounces import Finding, envelope_sender
from monitor.core.policy import Rule
from monitor.core.tokens import Code, Introspection
from monitor.jobs.reach import entries_instead
from monitor.notify.dsn import read_report
from monitor.store import Store
from monitor.store.bounces import Bounces
from monitor.store.seal import Keyring
from tests.faults.office import Office, an_owing_office
from tests.faults.smtp import Post, Taken, a_post
from tests.notify.reports import a_bounce, an_away_note
from tests.store.builders import ANN, BOB, DAY, HOUR, MINUTE, OPS, rows

BOSS = "boss@acme.example"
BOUNCES = "bounces@acme.example"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        url: str = request.getfixturevalue("postgres_url")
        return url
    return f"sqlite:///{tmp_path}/monitor.db"


@pytest.fixture
async def office(store: Store) -> AsyncIterator[Office]:
    """Ann and Bob have their letters."""
    rule = Rule(remind_every=30 * DAY, escalate_to=(BOSS,))
    async with a_post(Post()) as post:
        owners = {"north": ANN, "south": BOB}
        office = await an_owing_office(
            store, post, owners, rule, bounce_address=BOUNCES
        )
        await office.deliver()
        yield office


def letter_to(office: Office, to: str) -> Taken:
    (letter,) = office.post.kept(to)
    return letter


async def ingest(office: Office, raw: bytes) -> Finding:
    report = read_report(raw)
    assert report is not None
    instead = partial(entries_instead, office.charter, now=office.clock())
    return await office.store.bounces.settle(report, "ops", office.clock(), instead)


async def state(office: Office, to: str) -> str:
    (entry,) = await office.entries(to)
    return str(entry["state"])


async def test_every_letter_has_a_sender_of_its_own(office: Office) -> None:
    senders = {letter_to(office, to).sender for to in (ANN, BOB)}
    assert len(senders) == 2
    assert all(s.startswith("bounces+") and len(s) < 64 + 13 for s in senders)
    key = await office.store.bounces.key()
    assert key.hex() not in str(senders)
    assert await rows(office.store, "SELECT name FROM vault ORDER BY 1") == [
        ("bounce-key",),
        ("fingerprint-key",),
    ]
    ((sealed,),) = await rows(
        office.store, "SELECT sealed FROM vault WHERE name = 'bounce-key'"
    )
    assert key not in bytes(sealed)


async def test_the_envelope_is_named_where_servers_know_how(
    office: Office,
) -> None:
    assert letter_to(office, ANN).envelope == ""
    await ingest(office, a_bounce(letter_to(office, ANN).sender))
    office.post.offers = ("DSN",)
    await office.pass_time(HOUR, 12 * MINUTE)
    letter = letter_to(office, BOSS)
    name = letter.sender.partition("@")[0].partition("+")[2]
    assert letter.envelope == f"RET=HDRS ENVID={name}"


@pytest.mark.parametrize("proof", ["signature", "message_id", "envelope_id"])
async def test_a_lost_letter_is_told_to_others(office: Office, proof: str) -> None:
    letter = letter_to(office, ANN)
    local = letter.sender.partition("@")[0].partition("+")[2]
    raw = {
        "signature": a_bounce(letter.sender.upper()),
        "message_id": a_bounce(message_id=letter.message_id),
        "envelope_id": a_bounce(envelope_id=f"\nOriginal-Envelope-Id: {local}"),
    }[proof]
    assert await ingest(office, raw) is Finding.UNREACHABLE
    assert (await state(office, ANN), await state(office, BOB)) == ("refused", "sent")
    (lost,) = await office.store.unreachable.everybody()
    assert (lost.address, lost.source, lost.why) == (ANN, "bounced", "bounced: 5.1.1")
    assert await ingest(office, raw) is Finding.KNOWN
    await office.pass_time(HOUR, 12 * MINUTE)
    assert len(office.post.kept(BOSS)) == 1
    assert len(office.post.kept(OPS)) == 1
    assert len(office.post.kept(ANN)) == 1
    assert await ingest(office, raw) is Finding.KNOWN
    audit = await rows(office.store, "SELECT author, action, reason FROM audit")
    assert audit == [("ops", "bounce", "bounced: 5.1.1")]


async def test_an_accepted_letter_does_not_undo_a_bounce(office: Office) -> None:
    """A relay takes everything: later news goes to both until somebody says more."""
    await ingest(office, a_bounce(letter_to(office, ANN).sender))
    await office.pass_time(HOUR, 12 * MINUTE)
    office.answer = Introspection(fault=Code.PASSWORD_CHANGED, app_id="1")
    await office.pass_time(HOUR, 12 * MINUTE)
    assert len(office.post.kept(ANN)) == 2
    assert len(office.post.kept(BOSS)) == 2
    (lost,) = await office.store.unreachable.everybody()
    assert lost.address == ANN


async def test_a_bounced_letter_is_tried_again_by_hand(office: Office) -> None:
    await ingest(office, a_bounce(letter_to(office, ANN).sender))
    (entry,) = await office.entries(ANN)
    assert await office.store.hand.retry(entry["id"], "ops", office.clock()) == 1
    assert await office.store.unreachable.everybody() == []
    await office.pass_time(HOUR, 12 * MINUTE)
    assert len(office.post.kept(ANN)) == 2


@pytest.mark.parametrize(
    ("action", "status"),
    [("delayed", "4.4.1"), ("relayed", "2.1.9"), ("delivered", "2.1.5")],
)
async def test_what_passes_changes_nothing(
    office: Office, action: str, status: str
) -> None:
    sender = letter_to(office, ANN).sender
    raw = a_bounce(sender, action=action, status=status)
    assert await ingest(office, raw) is Finding.PASSING
    await unchanged(office)


async def unchanged(office: Office) -> None:
    assert (await state(office, ANN), await state(office, BOB)) == ("sent", "sent")
    assert await office.store.unreachable.everybody() == []
    assert await rows(office.store, "SELECT * FROM audit") == []


async def test_what_proves_nothing_changes_nothing(office: Office) -> None:
    ann, bob = letter_to(office, ANN), letter_to(office, BOB)
    local, _, domain = ann.sender.partition("@")
    ours = local.partition("+")[2].partition(".")[0]
    forged = envelope_sender(BOUNCES, ours, b"f" * 32)
    unsigned = f"bounces+{ours}@{domain}"
    raws = [
        a_bounce(forged),
        a_bounce(unsigned),
        a_bounce(bob.sender),  # the right signature, another's recipient
        a_bounce(message_id=bob.message_id),
        a_bounce(message_id="<0123456789ab.0123456789abcdef@acme.example>"),
        a_bounce(ann.sender, final="", original=""),
    ]
    for raw in raws:
        assert await ingest(office, raw) is Finding.FORGED
    assert await ingest(office, an_away_note(ann.sender)) is Finding.AUTOMATIC
    await unchanged(office)


async def test_a_bad_signature_beside_a_true_name_counts(office: Office) -> None:
    ann = letter_to(office, ANN)
    raw = a_bounce("bounces+x@acme.example", message_id=ann.message_id)
    assert await ingest(office, raw) is Finding.UNREACHABLE


async def test_a_forwarded_letter_is_known_by_whom_it_went_to(office: Office) -> None:
    sender = letter_to(office, ANN).sender
    raw = a_bounce(sender, final="ann@new-job.example", original=ANN)
    assert await ingest(office, raw) is Finding.UNREACHABLE


async def test_a_bounced_letter_to_the_operator_opens_nothing(office: Office) -> None:
    await ingest(office, a_bounce(letter_to(office, ANN).sender))
    await office.pass_time(HOUR, 12 * MINUTE)
    sender = letter_to(office, OPS).sender
    assert await ingest(office, a_bounce(sender, final=OPS)) is Finding.UNREACHABLE
    assert [lost.address for lost in await office.store.unreachable.everybody()] == [
        ANN
    ]
    assert await state(office, OPS) == "refused"


async def test_the_key_is_the_same_for_every_process(
    office: Office, keyring: Keyring
) -> None:
    first = await office.store.bounces.key()
    another = Bounces(office.store.database, keyring)
    assert await another.key() == first
