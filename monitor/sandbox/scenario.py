"""The plot of a rehearsal as values: apps, tokens, what happens to them and when."""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from typing import Literal

from monitor.sandbox.faults import Fault
from monitor.sandbox.states import VALID, State

Kind = Literal["user", "page", "system_user"]

_TEXT_LENGTH = 180


@dataclass(frozen=True, slots=True)
class AppPlan:
    """An app registered at the simulated Graph."""

    id: str
    name: str = "Rehearsal App"
    secret: str = field(default="rehearsal-secret", repr=False)
    hourly_calls: int | None = None
    """The limit of a rolling hour; `None`: no limit and no usage header."""
    require_proof: bool = False
    """Whether calls without `appsecret_proof` are refused."""
    usage: Mapping[str, int] | None = None
    """Percentages for X-App-Usage that are sent whatever was called."""
    regain: timedelta | None = None
    """Sends X-Business-Use-Case-Usage with this time to regain access."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The person who gets the letters."""

    email: str
    name: str = ""
    locale: str = ""
    timezone: str = ""
    cc: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """From `after` on, on the event clock, the token is in `state`."""

    after: timedelta
    state: State


@dataclass(frozen=True, slots=True)
class TokenPlan:
    """A token: what is true of it, what the inventory says of it, what befalls it."""

    id: str
    """The inventory's id."""
    app: str
    """The app that issued it."""
    kind: Kind = "user"
    token: str = field(default="", repr=False)
    """Its text; empty: derived from the id."""
    user_id: str = ""
    """The person behind it; empty: derived from app and owner (system user: the id)."""
    profile_id: str = ""
    """The page of a page token; empty: derived from the id."""
    expires_in: timedelta | None = None
    """From the start of the sandbox, by the wall clock; `None`: never."""
    data_access_expires_in: timedelta | None = timedelta(days=80)
    """As `expires_in`; a system user's is always never."""
    issued_ago: timedelta | None = timedelta(days=10)
    """`None`: not stated, as for short-lived tokens."""
    scopes: tuple[str, ...] = ("public_profile",)
    targets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Scope to the asset ids it was granted for; other scopes state none."""
    owner: Owner = field(default_factory=lambda: Owner("owner@bakery.example"))
    name: str = ""
    used_for: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    inventory: Mapping[str, str] = field(default_factory=dict)
    """Columns of the inventory that say something else than the truth."""
    events: tuple[Event, ...] = ()

    @property
    def text(self) -> str:
        """The token itself."""
        return self.token or token_text(self.id)

    @property
    def person(self) -> str:
        """The app-scoped id of the person or system user behind it."""
        if self.user_id:
            return self.user_id
        whose = self.id if self.kind == "system_user" else self.owner.email
        return digits(f"{self.app} {whose}", 16)

    @property
    def page(self) -> str | None:
        """The id of the page, for a page token."""
        if self.kind != "page":
            return self.profile_id or None
        return self.profile_id or digits(f"page {self.id}", 15)

    def state_at(self, elapsed: timedelta) -> tuple[State, timedelta]:
        """The state at this point of the event clock and when it began."""
        state, since = VALID, timedelta(0)
        for event in self.events:
            if event.after > elapsed:
                break
            state, since = event.state, event.after
        return state, since

    def row(self) -> dict[str, str]:
        """Its row of the inventory; columns without a value are left out."""
        row = {
            "id": self.id,
            "token": self.text,
            "app_id": self.app,
            "owner_email": self.owner.email,
            "owner_name": self.owner.name,
            "kind": self.kind,
            "name": self.name,
            "used_for": self.used_for,
            "user_id": self.person,
            "profile_id": self.page or "",
            "locale": self.owner.locale,
            "timezone": self.owner.timezone,
            "cc": self.owner.cc,
            **{f"label.{key}": value for key, value in self.labels.items()},
            **self.inventory,
        }
        return {key: value for key, value in row.items() if value}


@dataclass(frozen=True, slots=True)
class Group:
    """Many tokens of one template, for load; a member exists only when it is asked for.

    In every text of the template `{n}` is the member's number and `{owner}` the
    number of its owner.
    """

    template: TokenPlan
    count: int
    per_owner: int = 1
    """How many tokens in a row belong to one owner."""

    def member(self, number: int, index: int) -> TokenPlan:
        """Token `number` (from 0) of this group, which is the scenario's `index`th."""
        names = {"{n}": str(number), "{owner}": str(number // self.per_owner)}

        def fill(text: str) -> str:
            if "{" not in text:
                return text
            for mark, value in names.items():
                text = text.replace(mark, value)
            return text

        plan, owner = self.template, self.template.owner
        return replace(
            plan,
            id=fill(plan.id),
            token=group_text(index, number),
            user_id=fill(plan.user_id),
            profile_id=fill(plan.profile_id),
            owner=replace(owner, email=fill(owner.email), name=fill(owner.name)),
            name=fill(plan.name),
            used_for=fill(plan.used_for),
            labels={key: fill(value) for key, value in plan.labels.items()},
            inventory={key: fill(value) for key, value in plan.inventory.items()},
        )


@dataclass(frozen=True)
class Scenario:
    """A whole plot. Build it here or read it with `monitor.sandbox.reading`."""

    apps: tuple[AppPlan, ...]
    tokens: tuple[TokenPlan, ...] = ()
    groups: tuple[Group, ...] = ()
    faults: tuple[Fault, ...] = ()
    version: str = "v25.0"
    """Serves calls that name no version."""
    oldest_version: str = "v21.0"
    """Serves calls that name an older one, silently."""

    @cached_property
    def by_text(self) -> Mapping[str, TokenPlan]:
        """The single tokens by their text."""
        return {plan.text: plan for plan in self.tokens}

    @cached_property
    def by_id(self) -> Mapping[str, TokenPlan]:
        """The single tokens by their id."""
        return {plan.id: plan for plan in self.tokens}

    def find(self, text: str) -> TokenPlan | None:
        """The token of this text; `None`: never issued."""
        plan = self.by_text.get(text)
        place = None if plan else group_place(text)
        if place is None:
            return plan
        index, number = place
        if index >= len(self.groups) or number >= self.groups[index].count:
            return None
        return self.groups[index].member(number, index)

    def named(self, token_id: str) -> TokenPlan:
        """The token of this inventory id.

        Raises:
            KeyError: the scenario has none.
        """
        plan = self.by_id.get(token_id)
        if plan is not None:
            return plan
        for index, group in enumerate(self.groups):
            head, _, tail = group.template.id.partition("{n}")
            number = token_id.removeprefix(head).removesuffix(tail)
            if number.isdecimal() and int(number) < group.count:
                member = group.member(int(number), index)
                if member.id == token_id:
                    return member
        raise KeyError(token_id)

    def inventory(self) -> Iterator[dict[str, str]]:
        """The rows to import, one by one, with the columns of the inventory."""
        for plan in self.tokens:
            yield plan.row()
        for index, group in enumerate(self.groups):
            for number in range(group.count):
                yield group.member(number, index).row()


def digits(seed: str, length: int) -> str:
    """A made-up id that is always the same for the same seed."""
    number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:12], "big")
    return str(10 ** (length - 1) + number % (9 * 10 ** (length - 1)))


def token_text(seed: str) -> str:
    """A made-up access token of the usual shape, the same for the same seed."""
    return f"EAAB{_letters(seed, _TEXT_LENGTH)}"


def group_text(index: int, number: int) -> str:
    """The token of a group's member; its place can be read back from the text."""
    place = f"{index:02d}N{number:08d}"
    return f"EAAG{place}Z{_letters(place, _TEXT_LENGTH - len(place))}"


def group_place(text: str) -> tuple[int, int] | None:
    """The group and number a text was made for; `None`: made for none."""
    index, number = text[4:6], text[7:15]
    if not (text.startswith("EAAG") and index.isdecimal() and number.isdecimal()):
        return None
    place = int(index), int(number)
    return place if group_text(*place) == text else None


def _letters(seed: str, length: int) -> str:
    raw = hashlib.shake_256(seed.encode()).digest(length)
    return base64.b64encode(raw, b"Zz").decode()[:length]
