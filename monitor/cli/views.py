"""Values as the contract's JSON names them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import structlog

from monitor.cli.shared import instant
from monitor.core.verdict import excess_scopes, missing_scopes
from monitor.jobs import Charter
from monitor.store.codec import decode_labels
from monitor.store.reports import TokenView

log = structlog.stdlib.get_logger("monitor.store")


def token_json(view: TokenView, charter: Charter) -> dict[str, Any]:
    """A token as `tokens list` and `tokens show` print it."""
    rule = charter.rule(view.expected, view.labels, view.observation)
    known, suspicion = view.observation.known, view.observation.suspicion
    incident = view.incident
    return {
        "id": view.id,
        "app_id": view.expected.app_id,
        "kind": view.expected.kind or (known.kind if known else None),
        "name": view.name,
        "owner_email": view.owner_email,
        "severity": view.severity,
        "codes": list(view.codes),
        "confirmed": known is not None,
        "suspicion": None
        if suspicion is None
        else {"code": suspicion.code, "since": instant(suspicion.since)},
        "expires_at": instant(known.expires_at) if known else None,
        "data_access_expires_at": instant(known.data_access_expires_at)
        if known
        else None,
        "scopes": list(known.scopes or ()) if known else [],
        "missing_scopes": list(missing_scopes(known, rule))
        if known and known.alive
        else [],
        "excess_scopes": list(excess_scopes(known, rule))
        if known and known.alive
        else [],
        "user_id": view.expected.user_id or (known.user_id if known else None),
        "profile_id": view.expected.profile_id or (known.profile_id if known else None),
        "policy": rule.name,
        "last_checked_at": instant(view.last_checked_at),
        "verified_at": instant(view.observation.verified_at),
        "next_check_at": instant(view.next_check_at),
        "inconclusive_cause": "damaged" if view.damaged else view.inconclusive_cause,
        "incident": None
        if incident is None
        else {
            "id": view.incident_id,
            "opened_at": instant(incident.opened_at),
            "codes": sorted(incident.told),
            "notices": incident.notices,
            "last_notice_at": instant(incident.last_notice_at),
            "last_reason": incident.last_reason,
        },
        "silenced_until": instant(view.silenced_until),
        "version": view.version,
    }


def inventory_json(row: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
    """A row of the inventory with the columns of an import, but for the secret."""
    facts = {key: value for key, value in row.items() if key != "labels"}
    try:
        stored = decode_labels(row["labels"])
    except ValueError:  # `tokens show` names what is damaged
        log.error("row.damaged", id=row["id"], fault="labels")
        stored = {}
    held = {f"label.{key}": value for key, value in stored.items()}
    return facts | dict.fromkeys(labels) | held


def entry_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """An outbox entry as the contract names it."""
    waits_for = row["waits_for"] or row["letter_waits_for"]
    due_at: datetime | None = row["due_at"]
    if row["state"] == "sealed":
        due_at = row["letter_due_at"]
    open_ = row["state"] in {"waiting", "sealed"}
    return {
        "id": row["id"],
        "letter_id": row["letter_id"],
        "subject": row["subject"],
        "number": row["number"],
        "recipient": row["recipient"],
        "reason": row["reason"],
        "codes": row["codes"].split(",") if row["codes"] else [],
        # What a letter holds and has not sent still waits, for whoever asks.
        "state": "waiting" if row["state"] == "sealed" else row["state"],
        "waits_for": waits_for if open_ else row["dropped_for"],
        "due_at": instant(due_at) if open_ else None,
        "attempts": row["attempts"] or 0,
        "last_reply": row["last_reply"],
        "message_id": row["message_id"],
        "planned_at": instant(row["planned_at"]),
        "settled_at": instant(row["settled_at"]),
    }
