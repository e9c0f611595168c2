"""A whole house in virtual time: the jobs, a simulated Graph and a real mailbox."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any, Final

from monitor.core.inventory import Row
from monitor.core.policy import Rule
from monitor.jobs import App, Charter, Checker, Courier, Delivered, Tally
from monitor.notify.compose import Composer
from monitor.notify.email import Mailer
from monitor.notify.server import Server, Tls
from monitor.probe.meta import MetaProbe
from monitor.sandbox.clock import VirtualClock
from monitor.sandbox.letters import Received
from monitor.sandbox.mailbox import Mailbox
from monitor.sandbox.scenario import AppPlan, Owner, Scenario, TokenPlan
from monitor.sandbox.serve import Sandbox
from monitor.store import Store
from monitor.store.reports import TokenFilter, TokenView

MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)

ACME: Final = AppPlan("1", "Acme", secret="acme-secret")
ADS: Final = AppPlan("2", "Acme Ads", secret="ads-secret")
OPS: Final = "ops@acme.example"
ANN: Final = "ann@bakery.example"
BOB: Final = "bob@brewery.example"


def a_token(name: str = "north", owner: str = ANN, **facts: Any) -> TokenPlan:
    """A page-less token that never ends, unless the test says otherwise."""
    facts = {"app": ACME.id, "data_access_expires_in": None, **facts}
    return TokenPlan(name, owner=Owner(owner), name=name.title(), **facts)


def row_of(plan: TokenPlan, **changes: Any) -> Row:
    """The row of the inventory a plan is imported as."""
    row: Mapping[str, str] = plan.row()
    plain: dict[str, Any] = {
        key: value for key, value in row.items() if not key.startswith("label.")
    }
    plain["cc"] = tuple(filter(None, row.get("cc", "").split(",")))
    labels = {
        key.removeprefix("label."): value
        for key, value in row.items()
        if key.startswith("label.")
    }
    return replace(Row(**plain, labels=labels), **changes)


@dataclass
class House:
    """Everything a test of the jobs touches."""

    clock: VirtualClock
    graph: Sandbox
    mailbox: Mailbox
    store: Store
    database: Path
    charter: Charter
    checker: Checker
    courier: Courier
    plans: Mapping[str, TokenPlan]

    async def check(self) -> Tally:
        """A tick of the checker."""
        async with asyncio.timeout(30):
            return await self.checker.check_due()

    async def deliver(self) -> Delivered:
        """A tick of the courier."""
        async with asyncio.timeout(30):
            return await self.courier.deliver_due()

    async def live(self, span: timedelta) -> None:
        """Let time pass, and both work whenever something falls due, and soon after."""
        until = self.clock() + span
        while True:
            for pause in (timedelta(), MINUTE):
                self.clock.advance(pause)
                await self.check()
                due_at = await self.store.outbox.next_due()
                if due_at is not None and due_at <= self.clock():
                    await self.deliver()
            now = self.clock()
            if now >= until:
                return
            counts = await self.store.reports.counts(now)
            dates = [counts["coverage"][6], await self.store.outbox.next_due(), until]
            following = min(date for date in dates if date is not None)
            self.clock.now = min(until, max(following, now + MINUTE))

    async def confirm(self) -> Tally:
        """Two looks, far enough apart to settle what the first one suspects."""
        await self.check()
        self.clock.advance(11 * MINUTE)
        return await self.check()

    async def view(self, name: str = "north") -> TokenView:
        """A token as it stands."""
        wanted = TokenFilter(ids=[name])
        (view,) = [view async for view in self.store.reports.tokens(wanted)]
        return view

    async def entries(self, **wanted: Any) -> list[tuple[str, str, str]]:
        """Recipient, reason and state of every outbox entry."""
        rows = await self.store.reports.entries(**wanted)
        return [(row["recipient"], row["reason"], row["state"]) for row in rows]

    def letters(self, *to: str) -> list[Received]:
        """What has arrived, for these readers or all."""
        return [
            letter
            for letter in self.mailbox.received
            if not to or letter.envelope_to[0] in to
        ]

    def subjects(self, *to: str) -> list[str]:
        """The subjects of what has arrived."""
        return [letter.subject for letter in self.letters(*to)]

    @property
    def owner_letters(self) -> list[str]:
        """The subjects of what anybody but the operator got."""
        return [
            each.subject for each in self.mailbox.received if each.envelope_to[0] != OPS
        ]


@dataclass
class Builder:
    """Builds houses that end with the test."""

    stack: AsyncExitStack
    store: Store
    clock: VirtualClock
    database: Path
    _random: Random = field(default_factory=lambda: Random(7))

    async def __call__(
        self,
        *plans: TokenPlan,
        rule: Rule | None = None,
        apps: tuple[AppPlan, ...] = (ACME,),
        hourly: Mapping[str, int] = MappingProxyType({}),
        **charter: Any,
    ) -> House:
        """A house whose inventory holds these tokens.

        Args:
            plans: The tokens.
            rule: The one policy.
            apps: The apps at Graph, all of which are configured.
            hourly: The calls an hour the operator allows an app.
            charter: What else the operator wishes.
        """
        scenario = Scenario(apps=apps, tokens=plans)
        enter = self.stack.enter_async_context
        graph = await enter(Sandbox.serve(scenario, clock=self.clock))
        mailbox = await enter(Mailbox.open(clock=self.clock))
        wishes = Charter(
            rules=(rule or Rule(),),
            apps={
                app.id: App(
                    app.id, app.name, app.secret, hourly_calls=hourly.get(app.id)
                )
                for app in apps
            },
            operators=(OPS,),
            mail_domain="acme.example",
            **{"workers": 2, "breath": timedelta(), "patience": (0.0,), **charter},
        )
        await self.store.inventory.import_rows(map(row_of, plans), self.clock())
        return self.wire(graph, mailbox, wishes, plans)

    @staticmethod
    def row(home: House, token_id: str, **changes: Any) -> Row:
        """The row of a token, with changes."""
        return row_of(home.plans[token_id], **changes)

    def wire(
        self,
        graph: Sandbox,
        mailbox: Mailbox,
        wishes: Charter,
        plans: tuple[TokenPlan, ...] = (),
    ) -> House:
        """The jobs of one configuration, as `app.py` wires them."""
        probe = MetaProbe(graph.url, "v25.0", timedelta(seconds=1))
        server = Server(mailbox.host, mailbox.port, Tls.NONE)
        composer = Composer("Acme <tokens@acme.example>", "help@acme.example")
        return House(
            self.clock,
            graph,
            mailbox,
            self.store,
            self.database,
            wishes,
            Checker(self.store, probe, wishes, self.clock),
            Courier(
                self.store,
                composer,
                lambda: Mailer(server),
                wishes,
                self.clock,
                self._random,
            ),
            {plan.id: plan for plan in plans},
        )
