"""Rows, claims, looks and courts for tests of the store; every field has a default."""

from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, Final

from sqlalchemy import text

from monitor.core.delivery import Passage, Wait
from monitor.core.hold import Brake
from monitor.core.inventory import Row
from monitor.core.policy import Rule
from monitor.core.tokens import Answer, Code, Introspection
from monitor.jobs import App, Charter
from monitor.jobs.court import Court
from monitor.jobs.storm import storm_of
from monitor.probe.heard import told
from monitor.store import Store
from monitor.store.claims import Claim
from monitor.store.codec import encode
from monitor.store.judging import Looks, Recorded
from monitor.store.ledger import Budget
from monitor.store.waiters import Waiter

NOW: Final = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
LEASE: Final = timedelta(minutes=5)
ANN: Final = "ann@bakery.example"
BOB: Final = "bob@brewery.example"
OPS: Final = "ops@acme.example"

ALIVE: Final = Introspection(app_id="1", kind="user", user_id="7", scopes=("ads_read",))
REVOKED: Final = Introspection(fault=Code.REVOKED, app_id="1")


def a_row(token_id: str = "north", **facts: Any) -> Row:  # noqa: S107 - an id
    facts = {"token": f"EAAB-{token_id}", "app_id": "1", "owner_email": ANN, **facts}
    return Row(id=token_id, **facts)


def ending_in(span: timedelta) -> Introspection:
    return Introspection(app_id="1", kind="user", user_id="7", expires_at=NOW + span)


def a_charter(rule: Rule | None = None, **wishes: Any) -> Charter:
    return Charter(
        rules=(rule or Rule(),),
        apps={"1": App("1", "Acme", "secret"), "2": App("2", "Ads", "secret")},
        operators=(OPS,),
        mail_domain="acme.example",
        **wishes,
    )


def a_court(
    now: datetime = NOW,
    rule: Rule | None = None,
    kind: type[Court] = Court,
    **wishes: Any,
) -> Court:
    return kind(a_charter(rule, **wishes), lambda: now)


CALM: Final = storm_of(
    a_charter(brake=Brake(at_least=1_000_000, owner_letters_per_hour=None)),
    lambda: NOW,
)
"""A brake that nothing of a test opens."""


class Said:
    """Words as Meta says them: equal answers are equal words."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.print: int | None = None
        if isinstance(answer, Introspection):
            digest = blake2b(encode(answer).encode(), digest_size=8).digest()
            self.print = int.from_bytes(digest) >> 1


def heard(answer: Answer, at: datetime, *claims: Claim) -> list[Looks]:
    """Looks whose words nobody has read, under a fresh proof."""
    return [Looks(claims, [Said(answer)] * len(claims), at, at)]


def read(
    answer: Answer, at: datetime, *claims: Claim, proved_at: datetime | None = None
) -> list[Looks]:
    """Looks whose words had to be read at once."""
    return [Looks(claims, [told(answer)] * len(claims), at, proved_at)]


def let_go(waiter: Waiter) -> tuple[Any, Passage]:
    """A gate that is open."""
    return waiter.item, None


def wait_for(wait: Wait) -> Any:
    """A gate at which everybody waits."""
    return lambda waiter: (waiter.item, wait)


async def claimed(store: Store, *ids: str, now: datetime = NOW) -> list[Claim]:
    rows = await store.claims.rows_of(ids)
    found = await store.claims.by_app(rows.values())
    claims: list[Claim] = []
    for app_id, row_ids in found.items():
        taken = await store.claims.named(row_ids, Budget(app_id), now, LEASE)
        claims += taken.claims
    return claims


async def due(store: Store, now: datetime, most: int, app_id: str = "1") -> list[Claim]:
    """What is due of an app without a quota."""
    return (await store.claims.due(Budget(app_id), now, LEASE, most)).claims


async def look(
    store: Store,
    answer: Answer,
    *ids: str,
    at: datetime = NOW,
    rule: Rule | None = None,
    court: Court | None = None,
) -> Recorded:
    """Claim, ask and record, all at one instant and under a fresh proof."""
    claims = await claimed(store, *(ids or ("north",)), now=at)
    looked = heard(answer, at, *claims)
    return await store.records.write(looked, court or a_court(at, rule), at)


async def dead(store: Store, *ids: str, at: datetime = NOW) -> datetime:
    """Two looks that confirm a death; the instant of the second one."""
    second = at + 11 * MINUTE
    await look(store, REVOKED, *ids, at=at)
    await look(store, REVOKED, *ids, at=second)
    return second


async def column(store: Store, name: str, token_id: str = "north") -> Any:  # noqa: S107
    """One column of a token, of its health or of what is known, as it lies there."""
    async with store.database.read() as connection:
        query = text(
            f"SELECT {name} FROM tokens JOIN health ON health.token_row = row_id "  # noqa: S608 - ours
            "LEFT JOIN introspections ON introspections.token_row = row_id "
            "WHERE tokens.id = :id"
        )
        return await connection.scalar(query, {"id": token_id})


async def rows(store: Store, query: str) -> list[tuple[Any, ...]]:
    """What a query of the test's own finds."""
    async with store.database.read() as connection:
        return [tuple(row) for row in await connection.execute(text(query))]


async def execute(store: Store, statement: str, **values: Any) -> None:
    """A change behind the store's back."""
    async with store.database.write() as connection:
        await connection.execute(text(statement), values)
