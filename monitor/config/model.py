"""The shape of the configuration: every section, every key, every default."""

from collections.abc import Mapping
from datetime import time, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, PrivateAttr

from monitor.config import addresses, durations, hidden, scalars, times
from monitor.config.policies import Policy
from monitor.config.scalars import choice, whole, word
from monitor.config.section import Section, present
from monitor.core.policy import Rule

_PORTS: Final = {"starttls": 587, "implicit": 465, "none": 25}


class Key(Section):
    """A key the secrets in the database are sealed with."""

    id: Annotated[str, word("an id of 1 to 4 letters or digits", "[a-z0-9]{1,4}", "k1")]
    """Stored in four bytes with everything sealed; never use it for another key."""
    secret: hidden.KeyMaterial
    """The 32 raw bytes."""


class Graph(Section):
    """How Meta is asked."""

    base_url: addresses.BaseUrl = "https://graph.facebook.com"
    version: Annotated[
        str, word("a version of the Graph API", r"v[0-9]{1,3}\.[0-9]{1,2}", "v25.0")
    ] = "v25.0"
    timeout: durations.Positive = timedelta(seconds=20)
    """One question to Graph is given up after so long."""
    batch_size: Annotated[int, whole(1, 50)] = 50
    """Tokens in one question; Graph takes no more than 50."""
    workers: Annotated[int, whole(1, 256)] = 8
    """Questions at the same time."""


class App(Section):
    """A Meta app whose tokens are watched."""

    id: Annotated[str, word("an app id", "[0-9]{1,32}", "1234567890")]
    name: scalars.Line
    """The product the owner knows."""
    secret: hidden.Secret
    hourly_calls: Annotated[int, whole(20, 100_000_000)] | None = None
    """Calls in a rolling hour; `None`: only what Meta itself says binds."""
    reauthorize_url: addresses.ReauthorizeUrl | None = None


class Hours(Section):
    """When letters may leave, in the zone of their reader."""

    days: times.Days = frozenset(range(7))
    """As `date.weekday()` counts."""
    start: Annotated[times.TimeOfDay, Field(alias="from")]
    end: Annotated[times.EndOfDay, Field(alias="to")]


class Mail(Section):
    """How letters leave."""

    host: addresses.Host = "127.0.0.1"
    tls: Annotated[
        Literal["starttls", "implicit", "none"], choice("starttls", "implicit", "none")
    ] = "starttls"
    port: Annotated[int, whole(1, 65_535)] = Field(
        default_factory=lambda data: _PORTS[data["tls"]]
    )
    """Unset: 587 for starttls, 465 for implicit, 25 for none."""
    allow_plaintext: scalars.Flag = False
    """Whether `tls: none` may leave this machine."""
    ca_file: addresses.File | None = None
    username: scalars.Line | None = None
    password: hidden.Secret | None = None
    sender: Annotated[addresses.Sender, Field(alias="from")]
    reply_to: addresses.Address | None = None
    bounce_address: addresses.BounceAddress | None = None
    """Where bounces go, each letter's to an address of its own; unset: to `from`."""
    group_wait: durations.Duration = timedelta(minutes=2)
    """Entries wait so long for others of the same person."""
    hours: Hours | None = None
    letters_per_day: Annotated[int, whole(1, 1_000)] | None = 24
    """To one owner's address in any 24 hours; `None`: as many as there are."""
    locale: Annotated[
        str, word("a locale", "[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,3}", "pt-BR")
    ] = "en"
    """Of readers for whom the inventory names none, and of the operator."""
    timezone: times.Zone = ZoneInfo("UTC")
    """The zone of the same readers."""
    templates: addresses.Folder | None = None
    """Files here win over ours."""


class Report(Section):
    """When the operator hears that all is well."""

    every: Annotated[Literal["day", "week"], choice("day", "week")] = "week"
    at: times.AtTime = Field(
        default_factory=lambda data: times.Appointment(
            None if data["every"] == "day" else 0, time(9)
        )
    )
    timezone: times.Zone = ZoneInfo("UTC")


class Operator(Section):
    """Who runs the monitor, and how he hears of it."""

    email: Annotated[tuple[addresses.Address, ...], Field(min_length=1)]
    heartbeat_url: addresses.HeartbeatUrl | None = None
    """Whoever knows it can make a dead monitor look alive, so it is kept secret."""
    report: Report | None = Report()


class Sudden(Section):
    """Which wave of sudden news opens a hold."""

    share: scalars.Share = 0.05
    at_least: Annotated[int, whole(1, 1_000_000)] = 5
    within: durations.Positive = timedelta(minutes=30)
    release_after: durations.Positive = timedelta(hours=4)


class Hold(Section):
    """The storm brake."""

    sudden: Annotated[Sudden, BeforeValidator(present)] = Sudden()
    owner_letters_per_hour: Annotated[int, whole(1, 1_000_000)] | None = 200
    """A pace, not a hold; `None`: none."""


class Schedule(Section):
    """How often the daemon looks for what is due, and how long work is claimed."""

    tick: durations.Positive = timedelta(seconds=10)
    lease: durations.Positive = timedelta(minutes=5)


class Web(Section):
    """Status page, health and metrics; off while `listen` is `None`."""

    listen: addresses.ListenAt | None = None
    public_url: addresses.PublicUrl | None = None


class Retention(Section):
    """How long the past is kept."""

    checks: durations.Positive = timedelta(days=90)
    outbox: durations.Positive = timedelta(days=400)


class Log(Section):
    """What is logged, and how it looks."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        choice("debug", "info", "warning", "error"),
    ] = "info"
    format: Annotated[
        Literal["auto", "pretty", "json"], choice("auto", "pretty", "json")
    ] = "auto"


class Settings(Section):
    """The whole configuration, checked; relative paths are absolute already."""

    database: addresses.Database = Field("sqlite:///monitor.db", validate_default=True)
    """A secret, since it may hold a password."""
    keys: Annotated[tuple[Key, ...], Field(min_length=1)]
    """The first seals, all open."""
    graph: Annotated[Graph, BeforeValidator(present)] = Graph()
    apps: Annotated[tuple[App, ...], Field(min_length=1)]
    policies: Annotated[tuple[Policy, ...], Field(min_length=1)] = (Policy(),)
    mail: Annotated[Mail, BeforeValidator(present)]
    operator: Annotated[Operator, BeforeValidator(present)]
    hold: Annotated[Hold, BeforeValidator(present)] = Hold()
    schedule: Annotated[Schedule, BeforeValidator(present)] = Schedule()
    web: Annotated[Web, BeforeValidator(present)] = Web()
    retention: Annotated[Retention, BeforeValidator(present)] = Retention()
    log: Annotated[Log, BeforeValidator(present)] = Log()

    _source: Path = PrivateAttr(default=Path("monitor.yaml"))
    _rules: tuple[Rule, ...] = PrivateAttr(default=())

    def model_post_init(self, context: Any, /) -> None:  # noqa: ANN401 - pydantic's
        """Note where the settings came from, and make the rules once."""
        if isinstance(context, Mapping) and "source" in context:
            self._source = context["source"]
        self._rules = tuple(policy.rule() for policy in self.policies)

    @property
    def source(self) -> Path:
        """The configuration file, absolute."""
        return self._source

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The policies as the core knows them; the first match wins."""
        return self._rules
