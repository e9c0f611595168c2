"""Every metric is documented, and says what it means."""

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from monitor.core.vitals import Organ
from monitor.store.gauges import Alike, AppRow, Snapshot
from monitor.web.metrics import CATALOGUE, OTHER, Counts, View, exposition
from tests.rewrite_docs import DOCS, ROOT

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
RULES = ROOT / "deploy" / "prometheus" / "rules.yaml"
PAGE = (DOCS / "metrics.md").read_text(encoding="utf-8")


def alike(app_id: str, severity: str = "ok", codes: str = "", **facts: Any) -> Alike:
    facts = {
        "tokens": 1,
        "checked": 1,
        "never_checked": 0,
        "suspected": 0,
        "overdue": 0,
        "due_at": NOW + HOUR,
        "oldest_look_at": NOW - HOUR,
        **facts,
    }
    return Alike(app_id, severity, codes, **facts)


def a_view(snapshot: Snapshot | None = None, **facts: Any) -> View:
    counts = Counts(
        looks=Counter(conclusive=5, throttled=2),
        letters=Counter(sent=3, refused=1),
        dropped=4,
        failures=Counter(check=1),
        swept_at=NOW,
    )
    facts = {
        "now": NOW,
        "version": "9",
        "organs": (Organ.DATABASE, Organ.SMTP),
        "sick": {Organ.SMTP},
        "hourly": {"1": 1000, "2": None},
        "ages": {"check": HOUR},
        "counts": counts,
        **facts,
    }
    return View(snapshot=snapshot, **facts)


FULL = Snapshot(
    tokens=(
        alike("1", tokens=5),
        alike("1", "critical", "revoked", tokens=2, overdue=1),
        alike("1", "critical", "revoked,scopes_missing", due_at=NOW - HOUR),
        alike("2", "unknown", checked=0, overdue=7, due_at=NOW - 9 * HOUR),
        alike("3", tokens=4, oldest_look_at=NOW - 2 * HOUR),
        alike("4", tokens=6),
    ),
    apps=(
        AppRow("1", rejected=True, usage_percent=40, spent=12),
        AppRow("2", resting=True),
        AppRow("4", held=True),
    ),
    outbox={"sent": 8, "waiting": 2},
    waiting={"look": 1, "the moon": 1},
    dropped={"closed": 3},
    due=2,
    due_since=NOW - HOUR,
    incidents=3,
    channel_paused=True,
    pulse_at=NOW - timedelta(seconds=10),
)

Samples = dict[tuple[str, tuple[str, ...]], float]


def samples(view: View) -> Samples:
    text = exposition(view).decode()
    return {
        (sample.name.removeprefix("token_monitor_"), tuple(sample.labels.values())): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


# --- what they say


def test_tokens_are_told_by_configured_app() -> None:
    found = samples(a_view(FULL))
    assert found["tokens", ("1", "ok")] == 5
    assert found["tokens", ("1", "critical")] == 3
    assert found["tokens", ("2", "ok")] == 0, "a configured app has every severity"
    assert found["tokens", (OTHER, "ok")] == 10
    assert sum(v for (name, _), v in found.items() if name == "tokens") == 19
    assert found["findings", ("revoked",)] == 3
    assert found["findings", ("scopes_missing",)] == 1
    assert found["findings", ("expired",)] == 0
    assert found["oldest_look_age_seconds", ()] == 7200


def test_a_resting_app_is_not_late() -> None:
    found = samples(a_view(FULL))
    assert found["tokens_overdue", ("1",)] == 1
    assert found["tokens_overdue", ("2",)] == 0
    assert found["check_lag_seconds", ()] == 3600


def test_organs_apps_and_the_outbox() -> None:
    found = samples(a_view(FULL))
    assert found["ready", ("smtp",)] == 0
    assert found["ready", ("database",)] == 1
    assert ("ready", ("graph",)) not in found, "nobody looked at it"
    assert found["app_rejected", ("1",)] == 1
    assert found["app_resting", ("2",)] == 1
    assert found["app_usage_percent", ("1",)] == 40
    assert found["app_hourly_calls", ("1",)] == 1000
    assert found["app_calls_last_hour", ("1",)] == 12
    assert found["holds_open", ("1",)] == 0
    assert found["holds_open", (OTHER,)] == 1
    assert found["outbox_entries", ("sent",)] == 8
    assert found["outbox_entries", ("refused",)] == 0
    assert found["outbox_waiting", ("look",)] == 1
    assert found["outbox_waiting", (OTHER,)] == 1, "a label is one of a closed set"
    assert found["delivery_lag_seconds", ()] == 3600
    assert found["channel_paused", ()] == 1
    assert found["pulse_age_seconds", ()] == 10


def test_what_this_process_did() -> None:
    found = samples(a_view())
    assert found["looks_total", ("conclusive",)] == 5
    assert found["looks_total", ("throttled",)] == 2
    assert found["looks_total", ("caller",)] == 0
    assert found["letters_total", ("sent",)] == 3
    assert found["letters_total", ("deferred",)] == 0
    assert found["entries_dropped_total", ()] == 4
    assert found["job_failures_total", ("check",)] == 1
    assert found["job_age_seconds", ("check",)] == 3600
    assert found["last_sweep_timestamp_seconds", ()] == NOW.timestamp()


def test_without_a_database_nothing_is_said_of_it() -> None:
    named = {name for name, _ in samples(a_view())}
    assert "ready" in named
    assert named.isdisjoint({"tokens", "outbox_entries", "check_lag_seconds"})


def test_a_fleet_of_strangers_is_one_label() -> None:
    many = tuple(alike(str(number)) for number in range(1000, 3000))
    apps = tuple(AppRow(str(number)) for number in range(1000, 3000))
    few = len(samples(a_view(Snapshot(tokens=many[:1], apps=apps[:1]))))
    assert len(samples(a_view(Snapshot(tokens=many, apps=apps)))) == few


# --- what is documented


def documented() -> set[str]:
    return set(re.findall(r"^\| `(token_monitor_\w+)` \|", PAGE, re.MULTILINE))


def printed() -> set[str]:
    return {f"token_monitor_{name}" for name, _ in samples(a_view(FULL))}


def test_every_metric_is_documented_and_every_documented_one_is_there() -> None:
    assert printed() == documented()
    assert {each.name for each in CATALOGUE} <= documented()


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_a_rule_asks_for_metrics_and_labels_that_exist(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert set(rule["annotations"]) == {"summary", "description"}
    assert rule["labels"]["severity"] in {"warning", "critical"}
    named = set(re.findall(r"token_monitor_\w+", rule["expr"]))
    assert named, "it asks for something of ours"
    assert named <= printed()
    labels = {each.name: set(each.labels) for each in CATALOGUE}
    for name, inside in re.findall(r"(token_monitor_\w+)\{(\w+)=", rule["expr"]):
        assert inside in labels[name]
    for grouped in re.findall(r"by \((\w+)\) \((token_monitor_\w+)", rule["expr"]):
        assert grouped[0] in labels[grouped[1]]


def test_every_alert_is_documented_with_its_severity() -> None:
    told = re.findall(r"^\| `(TokenMonitor\w+)` \| (\w+) \|", PAGE, re.MULTILINE)
    assert set(told) == {
        (rule["alert"], rule["labels"]["severity"]) for rule in rules()
    }
