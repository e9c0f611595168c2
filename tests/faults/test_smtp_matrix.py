"""The SMTP matrix: whatever a mail server does wrong, no letter is lost by it.

Each cell is one trouble at one place, on SQLite and on PostgreSQL. While it lasts the
courier works as always; then it ends, and days pass. `-s` prints the table of cells.
"""

import asyncio
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.core.attempt import Outcome
from monitor.notify import email
from monitor.notify.server import Tls
from monitor.store import outbox, taking
from monitor.store.transactions import AnyRow
from monitor.store.waiters import Sealed, Waiter
from tests.faults.office import Mould, Office, a_mould, an_office
from tests.faults.smtp import At, How, Post, a_post
from tests.notify.certificates import Authority
from tests.postgres import Server as Postgres
from tests.store.builders import ANN, DAY, MINUTE, OPS, execute

BOSS = "boss@bakery.example"
SHORT = timedelta(seconds=0.3)
"""The bound of an attempt where a cell runs into it."""
SLACK = 3.0
"""What a busy machine may add to a bound, in seconds; the unbounded hang for ever."""

CHANNEL, LETTER, FINAL = "channel", "letter", "final"
"""Whose trouble it is: the way's, the letter's for a while, the letter's for good."""


@dataclass(frozen=True)
class Cell:
    """One trouble, and what becomes of the letter."""

    id: str
    whose: str
    faults: dict[At, str] = field(default_factory=dict)
    doubtful: bool = False
    """Whether the server may have kept the letter without saying so."""
    slow: bool = False
    """Whether the attempt runs into its bound."""
    tls: str = ""
    """`stripped`, or whom the certificate is good for."""
    login: bool = False
    offers: tuple[str, ...] | None = None
    reader: str = ANN
    copy: str = ""


REPLIES = (
    ("4xx", "451 4.3.0 later"),
    ("5xx", "554 5.5.0 no"),
    ("421", "421 4.3.2 off"),
)
PLACES = (At.CONNECT, At.EHLO, At.MAIL, At.RCPT, At.DATA, At.DOT)
WAY = {At.CONNECT, At.EHLO, At.STARTTLS, At.AUTH, At.MAIL}


def _whose(at: At, how: str) -> str:
    if at in WAY:
        return CHANNEL
    return FINAL if how == "5xx" else LETTER


CELLS = [
    *(
        Cell(f"{name}-at-{at}", _whose(at, name), {at: reply})
        for at in PLACES
        for name, reply in REPLIES
    ),
    *(
        Cell(
            f"{how}-at-{at}",
            _whose(at, how),
            {at: how},
            doubtful=at in {At.BODY, At.DOT},
            slow=how is not How.DROP,
        )
        for how in How
        for at in (*PLACES[:5], At.BODY, At.DOT)
    ),
    Cell("550-in-mid-message", FINAL, {At.BODY: "550 5.6.0 not this"}),
    Cell("starttls-stripped", CHANNEL, tls="stripped"),
    Cell("starttls-4xx", CHANNEL, {At.STARTTLS: "454 4.7.0 not now"}, tls="127.0.0.1"),
    Cell("starttls-dropped", CHANNEL, {At.STARTTLS: How.DROP}, tls="127.0.0.1"),
    Cell("certificate-of-another-name", CHANNEL, tls="mx.elsewhere.example"),
    Cell("certificate-of-a-stranger", CHANNEL, tls="stranger"),
    Cell("auth-5xx", CHANNEL, {At.AUTH: "535 5.7.8 who are you"}, login=True),
    Cell("auth-4xx", CHANNEL, {At.AUTH: "454 4.7.0 later"}, login=True),
    Cell("auth-not-offered", CHANNEL, login=True, offers=("8BITMIME",)),
    Cell("copy-refused", "", copy=BOSS),
    Cell("8bitmime-absent", "", offers=("SMTPUTF8",)),
    Cell("nothing-offered", "", offers=()),
    Cell("smtputf8-absent", FINAL, offers=(), reader="jäne@bakery.example"),
]


CELL = {cell.id: cell for cell in CELLS}


def test_the_matrix_has_cells_enough() -> None:
    assert len({cell.id for cell in CELLS}) == len(CELLS) >= 35


# --- playing a cell


@dataclass
class Played:
    """What became of a cell."""

    attempts: int = 0
    longest: float = 0.0
    state: str = ""
    kept: int = 0
    names: int = 0


async def trouble(office: Office, cell: Cell, played: Played) -> None:
    """Two passes while it lasts, each timed; one if it is slow.

    One if it is final: in the second the operator's own letter would be refused.
    """
    for _ in range(1 if cell.slow or cell.whose == FINAL else 2):
        begun = time.monotonic()
        await office.deliver()
        played.longest = max(played.longest, time.monotonic() - begun)
        office.clock.advance(7 * MINUTE)


async def play(cell: Cell, mould: Mould, url: str, authority: Authority) -> Played:
    """Live through a trouble and the days after it, and judge what happened."""
    played = Played()
    post = Post(dict(cell.faults))
    if cell.offers is not None:
        post.offers = cell.offers
    if cell.login and cell.offers is None:
        post.offers = (*post.offers, "AUTH PLAIN")
    if cell.tls and cell.tls != "stripped":
        post.offers = (*post.offers, "STARTTLS")
        name = "127.0.0.1" if cell.tls == "stranger" else cell.tls
        post.tls = authority.server_context(name)
    if cell.copy:
        post.refused[cell.copy] = "550 5.1.1 unknown"
    async with a_post(post), an_office(url, post, mould.now) as office:
        plain = office.server
        office.connect(
            tls=Tls.STARTTLS if cell.tls else Tls.NONE,
            ca_file=authority.file if cell.tls and cell.tls != "stranger" else None,
        )
        if cell.login:
            office.connect(username="monitor", password="correct horse")
        if cell.slow:
            office.connect(longest_attempt=SHORT)
        await execute(
            office.store,
            "UPDATE tokens SET owner_email = :to WHERE owner_email != :to",
            to=cell.reader,
        )
        await execute(
            office.store,
            "UPDATE outbox SET recipient = :to, cc = :cc",
            to=cell.reader,
            cc=cell.copy,
        )
        await trouble(office, cell, played)
        post.mend()
        office.server = plain
        await office.pass_time(5 * DAY)
        await judge(office, cell, played)
    return played


async def judge(office: Office, cell: Cell, played: Played) -> None:
    """What holds for every cell, whatever the trouble was."""
    post = office.post
    (entry,) = await office.entries(cell.reader)
    kept = post.kept(cell.reader)
    played.state, played.attempts = entry["state"], entry["attempts"]
    played.kept = len(kept)
    played.names = len(post.seen - {letter.message_id for letter in post.kept(OPS)})
    if cell.whose == FINAL:
        assert entry["state"] == "refused", "refused is visible"
        assert entry["last_reply"], "and says why"
        assert post.begun[cell.reader] <= 1, "5xx is tried exactly once"
        assert entry["attempts"] == 1
        assert not kept
        assert post.kept(OPS), "the operator is told"
    else:
        assert entry["state"] == "sent"
        assert kept, "the letter arrives when the trouble is over"
        assert not post.kept(OPS), "and nobody is told of what passed"
    most = 1 + (2 if cell.doubtful else 0)
    assert len(kept) <= most, "twice only where the dot had been written"
    assert played.names <= 1, "every attempt has the same Message-ID"
    if cell.whose == CHANNEL:
        assert entry["attempts"] == 1, "no letter's clock runs"
    if cell.slow:
        bound = SHORT.total_seconds() + SLACK
        assert played.longest < bound, "no attempt is longer than its bound"
    if cell.copy:
        assert kept[0].to == (ANN,)
        assert "copies refused: 1" in entry["last_reply"]


# --- the matrix on both databases

Table: TypeAlias = list[tuple[str, ...]]
_FORM = "{:30} {:9} {:8} {:>8} {:>5} {:>8}"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def mould(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mould]:
    if request.param == "sqlite":
        folder = tmp_path_factory.mktemp("mould")
        yield a_mould(f"sqlite:///{folder}/monitor.db", None)
        return
    server: Postgres = request.getfixturevalue("postgres_server")
    yield a_mould(server.create("mould"), server)
    server.drop("mould")


@pytest.fixture(scope="module")
def table() -> Iterator[Table]:
    lines: Table = []
    yield lines
    head = ("cell", "database", "state", "attempts", "kept", "longest")
    rows = [head, *lines]
    for row in rows:
        sys.stdout.write(f"\n{_FORM.format(*row)}")


@pytest.fixture
def url(mould: Mould, tmp_path: Path) -> Iterator[str]:
    name = f"cell_{secrets.token_hex(6)}"
    yield mould.copy(tmp_path, name)
    if mould.postgres is not None:
        mould.postgres.drop(name)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.id)
async def test_no_letter_is_lost(
    cell: Cell, mould: Mould, url: str, authority: Authority, table: Table
) -> None:
    played = await asyncio.wait_for(play(cell, mould, url, authority), 60)
    where = "sqlite" if mould.postgres is None else "postgres"
    figures = (str(played.attempts), str(played.kept), f"{played.longest:.2f} s")
    table.append((cell.id, where, played.state, *figures))


# --- controls: each planted fault is seen by the judge


async def _seen(cell: str, mould: Mould, url: str, authority: Authority) -> str:
    with pytest.raises(AssertionError) as caught:
        await play(CELL[cell], mould, url, authority)
    return str(caught.value)


@pytest.mark.parametrize("mould", ["sqlite"], indirect=True)
async def test_control_a_450_taken_for_final_is_seen(
    monkeypatch: pytest.MonkeyPatch, mould: Mould, url: str, authority: Authority
) -> None:
    monkeypatch.setattr(email, "outcome_of", lambda *_: Outcome.REFUSED)
    seen = await _seen("4xx-at-rcpt", mould, url, authority)
    assert "refused" in seen


@pytest.mark.parametrize("mould", ["sqlite"], indirect=True)
async def test_control_a_lost_reply_taken_for_sent_is_seen(
    monkeypatch: pytest.MonkeyPatch, mould: Mould, url: str, authority: Authority
) -> None:
    monkeypatch.setattr(email, "outcome_of", lambda *_: Outcome.SENT)
    seen = await _seen("drop-at-data", mould, url, authority)
    assert "arrives" in seen


@pytest.mark.parametrize("mould", ["sqlite"], indirect=True)
async def test_control_a_550_tried_again_is_seen(
    monkeypatch: pytest.MonkeyPatch, mould: Mould, url: str, authority: Authority
) -> None:
    monkeypatch.setattr(email, "outcome_of", lambda *_: Outcome.DEFERRED)
    seen = await _seen("5xx-at-rcpt", mould, url, authority)
    assert "visible" in seen


@pytest.mark.parametrize("mould", ["sqlite"], indirect=True)
async def test_control_an_attempt_without_a_bound_is_seen(
    mould: Mould, url: str, authority: Authority
) -> None:
    unbound = replace(CELL["hole-at-rcpt"], slow=False)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(play(unbound, mould, url, authority), 1.5)


@pytest.mark.parametrize("mould", ["sqlite"], indirect=True)
async def test_control_a_new_name_at_every_attempt_is_seen(
    monkeypatch: pytest.MonkeyPatch, mould: Mould, url: str, authority: Authority
) -> None:
    load = taking.load_letter

    async def renamed(
        connection: AsyncConnection, row: AnyRow, waiters: Sequence[Waiter]
    ) -> Sealed:
        sealed = await load(connection, row, waiters)
        return replace(sealed, message_id=f"<{secrets.token_hex(6)}@acme.example>")

    monkeypatch.setattr(outbox, "load_letter", renamed)
    seen = await _seen("drop-at-dot", mould, url, authority)
    assert "same Message-ID" in seen
