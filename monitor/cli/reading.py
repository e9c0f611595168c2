"""Commands that answer questions: status and explain."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from monitor.cli.letters import letters_ail
from monitor.cli.quotas import NO_DEMAND, quota_of, quota_words
from monitor.cli.shared import (
    default_style,
    instant,
    load_settings,
    print_json,
    terminal,
    wait_for,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from monitor.config import Settings
    from monitor.store import Store

_LATE: Final = timedelta(minutes=15)
"""A token due for longer than this, while its app may be asked, is overdue."""
_BLIND_AFTER: Final = timedelta(hours=1)
"""An app that fails so long is more than a passing trouble."""
_PULSE_MISSED: Final = timedelta(minutes=1)


@click.command()
@click.option(
    "--exit-code",
    "judge",
    is_flag=True,
    help="End 1 when the daemon is not doing its work, for health checks.",
)
@click.option("--format", "style", type=click.Choice(["table", "json"]))
@click.pass_context
def status(ctx: click.Context, judge: bool, style: str | None) -> None:  # noqa: FBT001 - click's
    """Say how the tokens, the apps, the outbox and the daemon are."""
    settings = load_settings(ctx)

    async def work() -> int:
        from monitor.app import clock, open_store

        async with open_store(settings) as store:
            state = await _status(settings, store, clock())
        if default_style(style) == "json":
            print_json(state)
        else:
            _print_status(state)
        return 1 if judge and state["ailments"] else 0

    ctx.exit(wait_for(work()))


async def _status(
    settings: "Settings", store: "Store", now: datetime
) -> dict[str, Any]:
    from monitor.cli.holding import hold_json
    from monitor.store.settlement import channel_pause

    counts = await store.reports.counts(now)
    total, checked, unknown, never, suspected, oldest, due, _ = counts["coverage"]
    rows = await store.reports.app_rows()
    apps = await _apps(settings, store, rows, now)
    blind = [row["id"] for row in rows if _blind(row, now)]
    resting = [app["id"] for app in apps if app["paused_until"] is not None]
    overdue = await store.reports.overdue(now - _LATE, resting)
    # What no quota carries is late by no fault of the daemon's.
    scarce = [app["id"] for app in apps if not app["quota"]["enough"]]
    late = await store.reports.overdue(now - _LATE, [*resting, *scarce])
    codes: dict[str, int] = {}
    for joined, count in counts["codes"]:
        for code in joined.split(","):
            codes[code] = codes.get(code, 0) + count
    states = counts["outbox"]
    holds = [hold_json(row) for row in await store.holds.open()]
    held = counts["held"]
    pulses = await store.reports.pulses()
    beat_at, beat_by = pulses[0] if pulses else (None, None)
    paused_until, channel = await channel_pause(store.database)
    state = {
        "severity": {
            severity: counts["severity"].get(severity, 0)
            for severity in ("ok", "unknown", "warning", "critical")
        },
        "codes": dict(sorted(codes.items())),
        "suspected": suspected,
        "coverage": {
            "total": total,
            "checked": checked,
            "unknown": unknown,
            "never_checked": never,
            "overdue": overdue,
            "oldest_verified_at": instant(oldest),
        },
        "incidents": counts["incidents"],
        "outbox": {
            "waiting": states.get("waiting", 0) + states.get("sealed", 0) - held,
            "sent": states.get("sent", 0),
            "refused": states.get("refused", 0),
            "held": held,
            "dropped": states.get("dropped", 0),
        },
        "holds": holds,
        "apps": apps,
        "matters": [
            {"subject": row["subject"], "since": instant(row["opened_at"])}
            for row in await store.reports.open_matters()
        ],
        "channel": {"paused_until": instant(paused_until), "last_reply": channel},
        "daemon": {"seen_at": instant(beat_at), "instance": beat_by},
        "replicas": [{"instance": name, "seen_at": instant(at)} for at, name in pulses],
        "next": {
            "check_at": instant(due),
            "deliver_at": instant(await store.outbox.next_due()),
        },
    }
    state["ailments"] = [
        *_ailments(settings, state, beat_at, late, now),
        *(f"app {app_id} could not be asked for an hour or more" for app_id in blind),
        *await letters_ail(store, settings.operator.email, now),
    ]
    return state


async def _apps(
    settings: "Settings",
    store: "Store",
    rows: "Sequence[dict[str, Any]]",
    now: datetime,
) -> list[dict[str, Any]]:
    """Every app that is configured, was asked, or has tokens."""
    hourly = {app.id: app.hourly_calls for app in settings.apps}
    demand = await store.reports.demand(settings.rules[-1].check_every)
    spent = await store.ledger.spent(now)
    known = {row["id"]: row for row in rows}
    return [
        {
            **_app(app_id, known.get(app_id, {}), now),
            "quota": quota_of(
                demand.get(app_id, NO_DEMAND),
                hourly.get(app_id),
                spent.get(app_id, 0),
                now,
            ),
        }
        for app_id in sorted({*hourly, *demand, *known})
    ]


def _app(app_id: str, row: dict[str, Any], now: datetime) -> dict[str, Any]:
    until = row.get("paused_until")
    resting = until is not None and until > now
    return {
        "id": app_id,
        "proved_at": instant(row.get("proved_at")),
        "rejected_since": instant(row.get("rejected_at")),
        "paused_until": instant(until) if resting else None,
        "pause_cause": row.get("pause_cause") if resting else None,
        "usage_percent": row.get("usage_percent"),
        "usage_at": instant(row.get("usage_at")),
        "api_version": row.get("api_version"),
    }


def _blind(row: dict[str, Any], now: datetime) -> bool:
    """Whether an app rests for its failures, and Meta knew it last an hour ago."""
    until, proved_at = row["paused_until"], row["proved_at"]
    if until is None or row["pause_cause"] == "throttled" or row["rejected_at"]:
        return False
    return proved_at is None or now - proved_at >= _BLIND_AFTER


def _ailments(
    settings: "Settings",
    state: dict[str, Any],
    beat_at: datetime | None,
    late: int,
    now: datetime,
) -> list[str]:
    """Why the daemon is not doing its work; empty: it is."""
    found = []
    pulse = max(3 * settings.schedule.tick, _PULSE_MISSED)
    if beat_at is None:
        found.append("no daemon has run on this database yet")
    elif now - beat_at > pulse:
        found.append(f"no sign of life from the daemon since {instant(beat_at)}")
    if late:
        found.append(f"{late} tokens are overdue for a look")
    found.extend(
        f"Meta refuses the caller of app {app['id']}"
        for app in state["apps"]
        if app["rejected_since"] is not None
    )
    if state["channel"]["paused_until"] is not None:
        found.append(f"the mail server fails: {state['channel']['last_reply']}")
    return found


def _print_status(state: dict[str, Any]) -> None:
    from rich.text import Text

    from monitor.cli.holding import hold_words

    out = terminal()
    severity = state["severity"]
    coverage = state["coverage"]
    out.print(
        Text.assemble(
            f"{coverage['total']} tokens: ",
            (f"{severity['ok']} ok", "green"),
            ", ",
            (f"{severity['warning']} warning", "yellow"),
            ", ",
            (f"{severity['critical']} critical", "bold red"),
            f", {severity['unknown']} unknown, {state['suspected']} under suspicion",
        )
    )
    for code, count in state["codes"].items():
        out.print(f"  {count:>7}  {code}")
    out.print(
        f"coverage: {coverage['checked']} checked, {coverage['never_checked']} never, "
        f"{coverage['overdue']} overdue"
    )
    box = state["outbox"]
    out.print(
        f"outbox: {box['waiting']} waiting, {box['sent']} sent, "
        f"{box['refused']} refused, {box['held']} held, {box['dropped']} dropped"
    )
    for replica in state["replicas"]:
        out.print(f"daemon: last seen {replica['seen_at']} ({replica['instance']})")
    for app in state["apps"]:
        out.print(f"app {app['id']}: {_app_words(app)}")
        if app["quota"]["tokens"]:
            out.print(f"  {quota_words(app['quota'], app['usage_percent'])}")
    for hold in state["holds"]:
        out.print(Text(hold_words(hold), style="yellow"))
    for matter in state["matters"]:
        out.print(f"open: {matter['subject']} since {matter['since']}")
    upcoming = state["next"]
    out.print(
        f"next: check {upcoming['check_at'] or 'never'}, "
        f"letter {upcoming['deliver_at'] or 'none'}"
    )
    for ailment in state["ailments"]:
        out.print(Text(f"not well: {ailment}", style="yellow"))


def _app_words(app: dict[str, Any]) -> str:
    if app["rejected_since"]:
        return f"Meta refuses its id or secret since {app['rejected_since']}"
    if app["paused_until"]:
        return f"rests until {app['paused_until']} ({app['pause_cause']})"
    return f"proved {app['proved_at'] or 'never'}"
