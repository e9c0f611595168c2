"""Who is told of a notice, and what each reader is told."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

from monitor.core.delivery import Item, Role
from monitor.core.incident import Incident, Notice, Reason, Step, advance
from monitor.core.tokens import Code
from monitor.core.verdict import Audience, Finding, Severity, Verdict
from monitor.jobs.charter import App, Charter
from monitor.store.apps import PlanMatter
from monitor.store.entries import Entry
from monitor.store.judging import Judgement, Owner

OPERATOR_PRODUCT: Final = "token-monitor"
"""What the operator's letters name first."""

_AUDIENCE: Final = {
    Role.OWNER: Audience.OWNER,
    Role.OPERATOR: Audience.OPERATOR,
}


def findings_for(role: Role, verdict: Verdict) -> tuple[Finding, ...]:
    """What this reader can mend, or for an escalation, everything."""
    wanted = _AUDIENCE.get(role)
    return tuple(
        finding
        for finding in verdict.matters
        if wanted is None or finding.meaning.audience is wanted
    )


def token_entries(
    charter: Charter,
    owner: Owner,
    judgement: Judgement,
    incident_id: str,
    reached: frozenset[str],
    now: datetime,
) -> list[Entry]:
    """The outbox entries of a token's notice.

    Args:
        charter: The operator's wishes.
        owner: Whom the token belongs to.
        judgement: What was decided about it.
        incident_id: The incident's public id.
        reached: For `resolved`: whom an earlier letter reached.
        now: The present instant.
    """
    notice, incident = judgement.step.notice, judgement.step.incident
    if notice is None or incident is None:
        return []
    app = charter.apps.get(owner.app_id) or App(owner.app_id, owner.app_id, "")
    known = judgement.observation.known
    entries = []
    for role, address in _readers(charter, owner, judgement, notice, reached):
        item = Item(
            subject=f"token:{owner.id}",
            incident=incident_id,
            number=notice.number,
            reason=notice.reason,
            findings=_findings(role, notice, incident, judgement.verdict),
            app_id=owner.app_id,
            app_name=app.name,
            opened_at=incident.opened_at,
            verified_at=judgement.observation.verified_at,
            token_id=owner.id,
            kind=(known.kind if known else None) or owner.kind,
            name=owner.token_name,
            used_for=owner.used_for,
            reauthorize_url=app.way_back(owner.id),
            reminder=incident.reminders if notice.reason is Reason.REMINDER else 0,
        )
        is_owner = role is Role.OWNER
        entries.append(
            Entry(
                incident_id=incident_id,
                recipient=address,
                role=role,
                product=OPERATOR_PRODUCT if role is Role.OPERATOR else app.name,
                app_id=owner.app_id,
                item=item,
                due_at=now + charter.group_wait,
                looked_at=judgement.observation.verified_at,
                token_row=owner.row_id,
                name=owner.name if is_owner else None,
                cc=owner.cc if is_owner else "",
                locale=owner.locale if is_owner else None,
                timezone=owner.timezone if is_owner else None,
                news_at=judgement.news_at if role is not Role.OPERATOR else None,
            )
        )
    return entries


def _readers(
    charter: Charter,
    owner: Owner,
    judgement: Judgement,
    notice: Notice,
    reached: frozenset[str],
) -> list[tuple[Role, str]]:
    """Role and address of everybody who is told, each address once."""
    readers: dict[str, Role] = {}
    if Audience.OWNER in notice.audiences:
        readers[owner.email] = Role.OWNER
    if Audience.OPERATOR in notice.audiences:
        for address in charter.operators:
            readers.setdefault(address, Role.OPERATOR)
    unheard = owner.unreachable and Audience.OWNER in notice.audiences
    if unheard or notice.reason in {Reason.ESCALATED, Reason.RESOLVED}:
        for address in judgement.rule.escalate_to:
            readers.setdefault(address, Role.ESCALATION)
    resolved = notice.reason is Reason.RESOLVED
    return [
        (role, address)
        for address, role in readers.items()
        if not resolved or address in reached
    ]


def _findings(
    role: Role, notice: Notice, incident: Incident, verdict: Verdict
) -> tuple[Finding, ...]:
    if notice.reason is not Reason.RESOLVED:
        return findings_for(role, verdict)
    told = tuple(Finding(code, _told_date(code, incident)) for code in notice.codes)
    return findings_for(role, Verdict(Severity.OK, told))


def _told_date(code: Code, incident: Incident) -> datetime | None:
    """The date a code that lies ahead was told with.

    Such codes are nothing without a date; good news does not print it, so when later
    notices have forgotten it the beginning of the matter stands in.
    """
    if code not in {Code.EXPIRING, Code.DATA_ACCESS_EXPIRING}:
        return None
    rung = incident.rungs.get(code)
    return incident.opened_at if rung is None else rung.deadline


# --- the operator's own matters ---------------------------------------------------


def matter_verdict(codes: Sequence[Code], at: datetime) -> Verdict:
    """What is thought of a subject that is no token."""
    severity = Severity.CRITICAL if codes else Severity.OK
    return Verdict(severity, tuple(Finding(code) for code in codes), at)


def advance_matter(
    charter: Charter, codes: Sequence[Code], now: datetime, *, silently: bool = False
) -> Callable[[Incident | None], Step]:
    """How an operator's matter moves, given what is wrong now.

    One that is over is told twice good before it closes; `silently`: at once, unsaid.
    """
    verdict = matter_verdict(codes, now)
    rule = charter.house_rule
    return lambda incident: advance(
        incident, verdict, rule, now, healed_by_answer=not silently
    )


def plan_matter(
    charter: Charter,
    subject: str,
    app: App | None,
    facts: Mapping[str, str],
    now: datetime,
) -> PlanMatter:
    """The operators' entries for a matter that is no token's."""

    def plan(step: Step, incident_id: str, reached: frozenset[str]) -> list[Entry]:
        notice, incident = step.notice, step.incident
        if notice is None or incident is None:
            return []
        readers = charter.operators
        if notice.reason is Reason.RESOLVED:
            readers = tuple(each for each in readers if each in reached)
        item = Item(
            subject=subject,
            incident=incident_id,
            number=notice.number,
            reason=notice.reason,
            findings=tuple(Finding(code) for code in notice.codes),
            app_id=app.id if app else "",
            app_name=app.name if app else "",
            opened_at=incident.opened_at,
            reminder=incident.reminders if notice.reason is Reason.REMINDER else 0,
            facts=dict(facts),
        )
        return [
            Entry(
                incident_id=incident_id,
                recipient=reader,
                role=Role.OPERATOR,
                product=OPERATOR_PRODUCT,
                app_id=app.id if app else "",
                item=item,
                due_at=now + charter.group_wait,
            )
            for reader in readers
        ]

    return plan
