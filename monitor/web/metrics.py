"""Metrics: what is counted, by which name, for Prometheus."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from prometheus_client import ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from monitor.core.delivery import Drop, Waiting
from monitor.core.tokens import Cause, Code
from monitor.core.verdict import Severity
from monitor.core.vitals import Organ
from monitor.store.gauges import Snapshot

PREFIX: Final = "token_monitor_"
OTHER: Final = "other"
"""The label of apps that are not configured, and of words we do not know."""

Sample = tuple["Family", tuple[str, ...], float]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric as it is documented."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    counter: bool = False

    def empty(self) -> Metric:
        """The metric without a sample."""
        kind = CounterMetricFamily if self.counter else GaugeMetricFamily
        return kind(self.name, self.help, labels=self.labels)

    def __call__(self, value: float, *labels: str) -> Sample:
        """A sample of it."""
        return self, labels, value


def _family(name: str, text: str, *labels: str) -> Family:
    return Family(PREFIX + name, text, labels, name.endswith("_total"))


BUILD: Final = _family("build_info", "Always 1; the version is a label.", "version")
READY: Final = _family("ready", "1 while the organ does its work.", "organ")
JOB_AGE: Final = _family(
    "job_age_seconds", "Since this daemon's job last got something done.", "job"
)
JOB_FAILURES: Final = _family(
    "job_failures_total", "Times this daemon's job failed.", "job"
)
SWEPT: Final = _family(
    "last_sweep_timestamp_seconds", "When this daemon's last whole sweep ended."
)
PULSE_AGE: Final = _family(
    "pulse_age_seconds", "Since any daemon on this database gave a sign of life."
)
TOKENS: Final = _family("tokens", "Tokens.", "app", "severity")
FINDINGS: Final = _family("findings", "Tokens of which this is true.", "code")
SUSPICIONS: Final = _family(
    "suspicions", "Tokens under suspicion, which a second look settles.", "app"
)
CHECKED: Final = _family(
    "tokens_checked", "Tokens of which Meta has ever said how they are.", "app"
)
NEVER: Final = _family("tokens_never_checked", "Tokens nobody looked at yet.", "app")
OVERDUE: Final = _family(
    "tokens_overdue",
    "Tokens due for more than 15 minutes, of apps that do not rest.",
    "app",
)
LAG: Final = _family(
    "check_lag_seconds",
    "How long the token that waits longest has been due, of apps that do not rest.",
)
OLDEST: Final = _family(
    "oldest_look_age_seconds", "The longest that a token has gone without a look."
)
LOOKS: Final = _family(
    "looks_total",
    "Looks of this daemon, by `conclusive` or why they could not tell; "
    "counted when their sweep ends.",
    "result",
)
INCIDENTS: Final = _family("incidents_open", "Open incidents.")
OUTBOX: Final = _family("outbox_entries", "Entries of the outbox by state.", "state")
WAITING: Final = _family(
    "outbox_waiting", "Entries that wait, by what they wait for.", "reason"
)
DROPPED: Final = _family(
    "outbox_dropped", "Entries that were dropped, by why.", "reason"
)
DUE: Final = _family("outbox_due", "Entries and letters whose time has come.")
DELIVERY_LAG: Final = _family(
    "delivery_lag_seconds", "How long the oldest of these has been due."
)
LETTERS: Final = _family("letters_total", "Letters this daemon tried.", "outcome")
ENTRIES_DROPPED: Final = _family(
    "entries_dropped_total", "Entries this daemon's courier dropped as outlived."
)
HOLDS: Final = _family(
    "holds_open", "1 while owner letters of the app are held.", "app"
)
CHANNEL: Final = _family(
    "channel_paused", "1 while letters wait because the mail server fails."
)
REJECTED: Final = _family(
    "app_rejected", "1 while Meta refuses the app's credentials.", "app"
)
RESTING: Final = _family("app_resting", "1 while the app is not asked.", "app")
USAGE: Final = _family(
    "app_usage_percent", "What Meta last said of the app's quota.", "app"
)
CALLS: Final = _family(
    "app_calls_last_hour", "Calls granted to the app, to all replicas.", "app"
)
HOURLY: Final = _family("app_hourly_calls", "The bound of the configuration.", "app")

CATALOGUE: Final = tuple(
    each for each in list(globals().values()) if isinstance(each, Family)
)
"""Every metric of ours, in the order in which it is documented and printed."""


@dataclass(slots=True)
class Counts:
    """What this process counted since it began; a reload does not reset it."""

    looks: Counter[str] = field(default_factory=Counter)
    letters: Counter[str] = field(default_factory=Counter)
    dropped: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    swept_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class View:
    """Everything metrics are made of, at one instant."""

    now: datetime
    version: str
    organs: Collection[Organ]
    """Those somebody looks at; of others nothing is said."""
    sick: Collection[Organ]
    hourly: Mapping[str, int | None]
    """The configured apps, and what the operator allows each in any hour."""
    ages: Mapping[str, timedelta]
    counts: Counts
    snapshot: Snapshot | None
    """`None`: the database cannot be read, so nothing is said of what it holds."""


def exposition(view: View) -> bytes:
    """The page for Prometheus."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Of(view))
    ProcessCollector(namespace=PREFIX.rstrip("_"), registry=registry)
    return generate_latest(registry)


class _Of(Collector):
    """A view as prometheus-client wants to read it."""

    def __init__(self, view: View) -> None:
        self._view = view

    def collect(self) -> Iterable[Metric]:
        metrics = {family: family.empty() for family in CATALOGUE}
        for family, labels, value in _samples(self._view):
            named = dict(zip(family.labels, labels, strict=True))
            # A counter's family adds `_total` to its own name only.
            metrics[family].add_sample(family.name, named, value)
        return metrics.values()


def _samples(view: View) -> Iterator[Sample]:
    counts = view.counts
    yield BUILD(1, view.version)
    for organ in view.organs:
        yield READY(organ not in view.sick, organ)
    for job, age in view.ages.items():
        yield JOB_AGE(age.total_seconds(), job)
        yield JOB_FAILURES(counts.failures[job], job)
    if counts.swept_at is not None:
        yield SWEPT(counts.swept_at.timestamp())
    for result in ("conclusive", *Cause):
        yield LOOKS(counts.looks[result], result)
    for outcome in ("sent", "deferred", "refused"):
        yield LETTERS(counts.letters[outcome], outcome)
    yield ENTRIES_DROPPED(counts.dropped)
    for app_id, hourly in view.hourly.items():
        if hourly is not None:
            yield HOURLY(hourly, app_id)
    if view.snapshot is not None:
        yield from _fleet(view, view.snapshot)
        yield from _apps(view, view.snapshot)
        yield from _box(view, view.snapshot)


def _fleet(view: View, snapshot: Snapshot) -> Iterator[Sample]:
    resting = {app.id for app in snapshot.apps if app.resting}
    tokens, by_app = Counter[tuple[str, str]](), Counter[tuple[Family, str]]()
    findings = Counter[str]()
    for app_id in view.hourly:
        tokens.update({(app_id, severity): 0 for severity in Severity})
        by_app.update(
            {(each, app_id): 0 for each in (SUSPICIONS, CHECKED, NEVER, OVERDUE)}
        )
    for alike in snapshot.tokens:
        app_id = alike.app_id if alike.app_id in view.hourly else OTHER
        tokens[app_id, alike.severity] += alike.tokens
        by_app[SUSPICIONS, app_id] += alike.suspected
        by_app[CHECKED, app_id] += alike.checked
        by_app[NEVER, app_id] += alike.never_checked
        by_app[OVERDUE, app_id] += 0 if alike.app_id in resting else alike.overdue
        for code in alike.codes.split(",") if alike.codes else ():
            findings[code] += alike.tokens
    for (app_id, severity), count in tokens.items():
        yield TOKENS(count, app_id, severity)
    for (family, app_id), count in by_app.items():
        yield family(count, app_id)
    yield from _closed(FINDINGS, tuple(Code), findings)
    awake = [each.due_at for each in snapshot.tokens if each.app_id not in resting]
    yield LAG(_age(view.now, awake))
    yield OLDEST(_age(view.now, [each.oldest_look_at for each in snapshot.tokens]))
    yield INCIDENTS(snapshot.incidents)
    if snapshot.pulse_at is not None:
        yield PULSE_AGE(_age(view.now, [snapshot.pulse_at]))


def _apps(view: View, snapshot: Snapshot) -> Iterator[Sample]:
    known = {app.id: app for app in snapshot.apps}
    for app_id in view.hourly:
        app = known.get(app_id)
        yield REJECTED(app is not None and app.rejected, app_id)
        yield RESTING(app is not None and app.resting, app_id)
        yield HOLDS(app is not None and app.held, app_id)
        yield CALLS(0 if app is None else app.spent, app_id)
        if app is not None and app.usage_percent is not None:
            yield USAGE(app.usage_percent, app_id)
    others = [app for app in snapshot.apps if app.id not in view.hourly]
    if others:
        yield HOLDS(any(app.held for app in others), OTHER)


def _box(view: View, snapshot: Snapshot) -> Iterator[Sample]:
    states = ("waiting", "sealed", "sent", "refused", "dropped")
    yield from _closed(OUTBOX, states, snapshot.outbox)
    yield from _closed(WAITING, tuple(Waiting), snapshot.waiting)
    yield from _closed(DROPPED, tuple(Drop), snapshot.dropped)
    yield DUE(snapshot.due)
    yield DELIVERY_LAG(_age(view.now, [snapshot.due_since]))
    yield CHANNEL(snapshot.channel_paused)


def _closed(
    family: Family, words: Sequence[str], found: Mapping[str, int]
) -> Iterator[Sample]:
    """A sample for every word, found or not; what we do not know is `other`."""
    for word in words:
        yield family(found.get(word, 0), word)
    others = sum(count for word, count in found.items() if word not in words)
    if others:
        yield family(others, OTHER)


def _age(now: datetime, instants: Iterable[datetime | None]) -> float:
    """How long ago the earliest was; 0: none was."""
    known = [each for each in instants if each is not None]
    return max(0.0, (now - min(known)).total_seconds()) if known else 0.0
