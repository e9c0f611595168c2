"""An office: a store in which one reader is owed a letter, a courier, a mail server."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

from monitor.core.hold import Brake
from monitor.core.policy import Rule
from monitor.core.tokens import Answer
from monitor.jobs import Charter, Courier, Delivered
from monitor.jobs.court import Court
from monitor.notify.compose import Composer
from monitor.notify.email import Mailer
from monitor.notify.server import Server, Tls
from monitor.sandbox.clock import VirtualClock
from monitor.store import Store, connect
from monitor.store.seal import Key, Keyring
from tests.faults.smtp import Post
from tests.postgres import Server as Postgres
from tests.store.builders import (
    ANN,
    DAY,
    MINUTE,
    NOW,
    OPS,
    REVOKED,
    a_charter,
    a_row,
    dead,
    look,
)

KEYRING: Final = Keyring([Key("k1", b"\x01" * 32)])
LONG: Final = timedelta(seconds=20)


@dataclass
class Office:
    """Everything between an owed letter and its mail server."""

    store: Store
    post: Post
    server: Server
    charter: Charter
    clock: VirtualClock
    names: tuple[str, ...]
    """The tokens whose owners are owed letters."""
    answer: Answer = REVOKED
    courier: Courier = field(init=False)

    def __post_init__(self) -> None:
        """Hire a courier."""
        self.hire(lambda: Mailer(self.server))

    def hire(self, mailer: Callable[[], Mailer]) -> None:
        """Hire another courier, who does it in his way."""
        self.courier = Courier(
            self.store,
            Composer("Acme <tokens@acme.example>"),
            mailer,
            self.charter,
            self.clock,
            Random(7),
        )

    def connect(self, **wishes: Any) -> None:
        """Reach the mail server in another way from now on."""
        self.server = replace(self.server, **wishes)

    async def look(self) -> None:
        """What Meta says now; as long as nothing else is said, the bad news again."""
        now = self.clock.now
        court = Court(self.charter, lambda: now)
        await look(self.store, self.answer, *self.names, at=now, court=court)

    async def deliver(self) -> Delivered:
        """One pass, its last looks taken."""
        async with asyncio.timeout(30):
            await self.look()
            return await self.courier.deliver_due()

    async def pass_time(self, span: timedelta, most: timedelta = 3 * DAY) -> None:
        """Let time pass, with a pass whenever something is due and every `most`."""
        until = self.clock.now + span
        while self.clock.now < until:
            due_at = await self.store.outbox.next_due() or until
            earliest, latest = self.clock.now + 6 * MINUTE, self.clock.now + most
            self.clock.now = min(until, latest, max(due_at, earliest))
            await self.deliver()

    async def entries(self, to: str = ANN) -> list[dict[str, Any]]:
        """The entries of a reader as the operator sees them."""
        rows = await self.store.reports.entries()
        return [row for row in rows if row["recipient"] == to]


@dataclass(frozen=True)
class Mould:
    """A database in which letters are owed, to be copied."""

    url: str
    postgres: Postgres | None
    now: datetime

    def copy(self, folder: Path, name: str) -> str:
        """The URL of a fresh copy."""
        if self.postgres is not None:
            return self.postgres.create(name, self.url.rpartition("/")[2].split("?")[0])
        path = folder / f"{name}.db"
        shutil.copy(self.url.removeprefix("sqlite:///"), path)
        return f"sqlite:///{path}"


def a_mould(
    url: str, postgres: Postgres | None, owners: dict[str, str] | None = None
) -> Mould:
    """Owners, one token each, all of them dead for certain."""

    async def fill() -> datetime:
        people = owners or {"north": ANN}
        rows = [a_row(name, owner_email=who) for name, who in people.items()]
        async with connect(url, KEYRING) as store:
            await store.inventory.import_rows(rows, NOW)
            return await dead(store, *people)

    return Mould(url, postgres, asyncio.run(fill()) + 3 * MINUTE)


@asynccontextmanager
async def an_office(
    url: str,
    post: Post,
    now: datetime,
    names: tuple[str, ...] = ("north",),
    rule: Rule | None = None,
    **wishes: Any,
) -> AsyncIterator[Office]:
    """The office over a database; time starts where the mould ended."""
    async with connect(url, KEYRING) as store:
        yield office_over(store, post, now, names, rule, **wishes)


def office_over(
    store: Store,
    post: Post,
    now: datetime,
    names: tuple[str, ...] = ("north",),
    rule: Rule | None = None,
    **wishes: Any,
) -> Office:
    """The office over an open store."""
    rule = rule or Rule(remind_every=30 * DAY)
    calm = Brake(at_least=1_000_000, owner_letters_per_hour=None, letters_per_day=None)
    charter = a_charter(rule, **{"patience": (0.0,), "brake": calm, **wishes})
    server = Server("127.0.0.1", post.port, Tls.NONE, timeout=LONG)
    server = replace(server, longest_attempt=LONG, local_hostname="monitor.example")
    return Office(store, post, server, charter, VirtualClock(now), names)


async def an_owing_office(
    store: Store,
    post: Post,
    owners: Mapping[str, str],
    rule: Rule | None = None,
    **wishes: Any,
) -> Office:
    """An office over an empty store: owners' tokens die, and letters are owed."""
    rows = [a_row(name, owner_email=who) for name, who in owners.items()]
    await store.inventory.import_rows(rows, NOW)
    office = office_over(store, post, NOW, tuple(owners), rule, **wishes)
    await office.look()
    office.clock.advance(11 * MINUTE)
    await office.look()
    office.clock.advance(3 * MINUTE)
    return office


__all__ = ["ANN", "OPS", "Mould", "Office", "a_mould", "an_office", "an_owing_office"]
