"""The command about one token: explain."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from monitor.cli.shared import (
    counted,
    default_style,
    instant,
    load_settings,
    print_json,
    wait_for,
)
from monitor.errors import UnknownIdError

if TYPE_CHECKING:
    from monitor.jobs import Charter
    from monitor.store import Store
    from monitor.store.reports import TokenView


@click.command()
@click.argument("token_id", metavar="ID")
@click.option("--format", "style", type=click.Choice(["table", "json"]))
@click.pass_context
def explain(ctx: click.Context, token_id: str, style: str | None) -> None:
    """Say what is known of a token, what was decided, what was told, and why."""
    from monitor.store.reports import TokenFilter

    settings = load_settings(ctx)

    async def work() -> None:
        from monitor.app import charter_of, clock, open_store

        charter = charter_of(settings)
        async with open_store(settings) as store:
            views = store.reports.tokens(TokenFilter(ids=[token_id]))
            found = [view async for view in views]
            if not found:
                raise UnknownIdError(f"no token has the id {token_id!r}")
            story = await _explain(charter, store, found[0], clock())
        if default_style(style) == "json":
            print_json(story)
        else:
            _print_story(story)

    wait_for(work())


async def _explain(
    charter: "Charter", store: "Store", view: "TokenView", now: datetime
) -> dict[str, Any]:
    from monitor.cli.views import entry_json, token_json
    from monitor.core.observation import classify

    rule = charter.rule(view.expected, view.labels, view.observation)
    verdict = classify(view.observation, view.expected, rule, now)
    history = await store.reports.history(view.row_id)
    entries = await store.reports.entries(token_row=view.row_id)
    token = token_json(view, charter)
    incident = token["incident"]
    muted = [] if incident is None else await store.mutes.of(incident["id"])
    return {
        "token": token,
        "damaged": list(view.damaged),
        "verdict": {
            "severity": verdict.severity,
            "findings": [
                {
                    "code": finding.code,
                    "deadline": instant(finding.deadline),
                    "details": list(finding.details),
                    "told_to": finding.meaning.audience,
                    "needs_second_look": finding.sudden,
                }
                for finding in verdict.findings
            ],
        },
        "policy": {"name": rule.name, "why": _why(charter, view, rule.name)},
        "history": [
            {
                "at": instant(row["at"]),
                "severity": row["severity"],
                "codes": row["codes"].split(",") if row["codes"] else [],
                "suspicion": row["suspicion"],
                "answer": row["answer"],
            }
            for row in history
        ],
        "said": [entry_json(row) for row in entries],
        "muted": [
            {"reader": reader, "since": instant(since)} for reader, since in muted
        ],
        "next_check_at": instant(view.next_check_at),
        "silence": None
        if view.silenced_until is None
        else {
            "until": instant(view.silenced_until),
            "by": view.silenced_by,
            "reason": view.silence_reason,
        },
    }


def _why(charter: "Charter", view: "TokenView", name: str) -> str:
    match = next(rule.match for rule in charter.rules if rule.name == name)
    parts = []
    if match.app:
        parts.append(f"app is {view.expected.app_id}")
    if match.kind:
        parts.append(f"kind is one of {', '.join(sorted(match.kind))}")
    parts.extend(f"label {key} is {view.labels.get(key)}" for key in match.label)
    first = "the first that matches"
    return f"{first}: {' and '.join(parts)}" if parts else "no other policy matches"


def _print_story(story: dict[str, Any]) -> None:
    token, verdict = story["token"], story["verdict"]
    say = click.echo
    say(f"{token['id']} ({token['name'] or 'no name'}), app {token['app_id']}")
    say(f"policy {story['policy']['name']}: {story['policy']['why']}")
    say(
        f"verdict: {verdict['severity']}, last confirmed "
        f"{token['verified_at'] or 'never'}, last look "
        f"{token['last_checked_at'] or 'never'}"
    )
    for finding in verdict["findings"]:
        when = f" at {finding['deadline']}" if finding["deadline"] else ""
        what = f" ({', '.join(finding['details'])})" if finding["details"] else ""
        say(f"  {finding['code']}{when}{what}: a matter for the {finding['told_to']}")
    if token["suspicion"]:
        doubt = token["suspicion"]
        say(f"suspicion: {doubt['code']} since {doubt['since']}, not believed yet")
    if token["inconclusive_cause"]:
        say(f"the last look could not tell: {token['inconclusive_cause']}")
    if story["damaged"]:
        say(f"cannot be read, and shown as empty: {', '.join(story['damaged'])}")
    incident = token["incident"]
    if incident:
        say(
            f"incident {incident['id']}: open since {incident['opened_at']}, "
            f"{counted(incident['notices'], 'notice')}, the last one: "
            f"{incident['last_reason']}"
        )
    for entry in story["said"]:
        say(
            f"  {entry['planned_at']} {entry['reason']} to {entry['recipient']}: "
            f"{entry['state']}{_entry_why(entry)}"
        )
    for mute in story["muted"]:
        say(f"{mute['reader']} stopped reminders at {mute['since']}")
    if story["silence"]:
        quiet = story["silence"]
        say(f"silent until {quiet['until']} by {quiet['by']}: {quiet['reason']}")
    say(f"next look: {story['next_check_at']}")


def _entry_why(entry: dict[str, Any]) -> str:
    """Why an entry is in its state, where the state does not say so itself."""
    if entry["state"] == "waiting":
        return f" for {entry['waits_for']} until {entry['due_at']}"
    if entry["state"] == "dropped":
        return f", {entry['waits_for']}"
    refused = entry["state"] == "refused" and entry["last_reply"]
    return f", {entry['last_reply']}" if refused else ""
