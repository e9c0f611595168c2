"""Sample letters: what previews show, templates are checked with, tests compare."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import Final

from monitor.core.delivery import Item, Letter, Role
from monitor.core.incident import Reason
from monitor.core.tokens import KINDS, PAGE, SYSTEM_USER, USER, Code
from monitor.core.verdict import MEANINGS, Audience, Finding, Severity
from monitor.notify.sample_reports import full_report, quiet_report

_NOW: Final = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
_LINK: Final = "https://app.acme.example/connect/facebook?token="
_MUTE: Final = "https://monitor.acme.example/mute/9c41-q7Zk3v"
_NAMES: Final = {USER: "Jane's ad account", PAGE: "Bakery North", SYSTEM_USER: "Shop"}
_USES: Final = {
    USER: "the weekly advertising report",
    PAGE: "scheduled posts and the weekly report",
    SYSTEM_USER: "the nightly catalogue update",
}
_AHEAD: Final = {
    Code.EXPIRING: timedelta(days=3),
    Code.DATA_ACCESS_EXPIRING: timedelta(days=10),
    Code.EXPIRED: -timedelta(hours=2),
    Code.DATA_ACCESS_EXPIRED: -timedelta(hours=2),
    Code.SHORT_LIVED: timedelta(hours=1),
}
_DETAILS: Final = {
    Code.SCOPES_MISSING: ("pages_manage_posts",),
    Code.SCOPES_EXCESS: ("ads_management", "business_management"),
    Code.TARGETS_MISSING: ("pages_manage_posts:1045551234",),
    Code.WRONG_KIND: ("user", "page"),
}
_FACTS: Final = {
    Code.CALLER_REJECTED: {"code": "190", "cause": "caller"},
    Code.UNDELIVERABLE: {
        "recipients": "1",
        "recipient": "j…@bakery-north.example",
        "reply": "rcpt: 550 5.1.1 user unknown",
        "stranded": "3",
        "tokens": "page-17, page-18, page-19",
    },
    Code.HELD: {
        "users": "198",
        "tokens": "214",
        "looked_at": "2310",
        "codes": "invalid 190, password_changed 24",
        "until": "2026-11-23 12:00 UTC",
    },
    Code.PACED: {"limit": "200", "letters": "57"},
    Code.CLOCK_DOUBTED: {
        "why": "apart",
        "wall": "2036-11-21 08:00:00 UTC",
        "graph": "2026-11-23 08:00:00 UTC",
    },
    Code.BLIND: {
        "organ": "graph",
        "what": "Meta says nothing conclusive about any token of Acme Publisher",
        "since": "23 Nov 2026, 07:00 UTC",
    },
    Code.ROWS_UNUSABLE: {
        "secrets": "12",
        "damaged": "1",
        "failed": "1",
        "entries": "2",
        "ids": "page-17, page-18",
        "more": "12",
    },
}
_ORGANS: Final = {
    "scheduler": "the checker gets nothing done",
    "database": "the database could not be used, and works again",
    "smtp": "the way to the mail server fails (connect: no reply)",
}
_ABOUT: Final = {
    Code.CALLER_REJECTED: "app:1234567890",
    Code.APP_MISMATCH: "app:1234567890",
    Code.UNDELIVERABLE: "unreachable",
    Code.HELD: "hold:H-19c2",
    Code.PACED: "pace",
    Code.CLOCK_DOUBTED: "clock",
    Code.BLIND: "coverage:graph",
    Code.ROWS_UNUSABLE: "rows",
}
"""The subjects of matters that are no token's."""


def sample_now() -> datetime:
    """The instant at which the samples are written: Monday, nine o'clock in Berlin."""
    return _NOW


def sample_finding(code: Code) -> Finding:
    """One finding of the code, with the date or the details it would have."""
    ahead = _AHEAD.get(code)
    deadline = _NOW + ahead + timedelta(hours=1) if ahead is not None else None
    sudden = MEANINGS[code].sudden and deadline is None
    return Finding(code, deadline, _DETAILS.get(code, ()), sudden=sudden)


def sample_item(
    code: Code, kind: str | None = PAGE, reason: Reason = Reason.OPENED
) -> Item:
    """One matter of the code as the incident machinery would hand it over."""
    item = Item(
        subject="token:page-17",
        incident="I-5d2c91",
        number=1,
        reason=reason,
        findings=(sample_finding(code),),
        app_id="1234567890",
        app_name="Acme Publisher",
        opened_at=_NOW - timedelta(minutes=15),
        verified_at=_NOW - timedelta(minutes=2),
        token_id="page-17",  # noqa: S106 - an id, not a token
        kind=kind,
        name=_NAMES.get(kind or "", "Bakery North"),
        used_for=_USES.get(kind or ""),
        reauthorize_url=_LINK + "page-17",
        facts=_FACTS.get(code, {}),
    )
    if reason in {Reason.REMINDER, Reason.ESCALATED}:
        item = replace(item, number=3, opened_at=_NOW - timedelta(days=7))
    if reason is Reason.REMINDER:
        item = replace(item, reminder=2)
    about = _ABOUT.get(code)
    if about is not None:
        item = replace(item, subject=about, token_id=None, kind=None, name=None)
        item = replace(item, used_for=None, reauthorize_url=None, verified_at=None)
    if code is Code.ROWS_UNUSABLE:
        item = replace(item, app_id="", app_name="")
    return item


def sample_letter(*items: Item, role: Role = Role.OWNER) -> Letter:
    """A letter about these matters to a reader of the role, in Berlin."""
    operator = role is Role.OPERATOR
    return Letter(
        id="L-9c41",
        message_id="<9c41.5d2c91@acme.example>",
        role=role,
        product="Acme Publisher",
        to="ops@acme.example" if operator else "jane@bakery-north.example",
        items=items,
        name=None if operator else "Jane Doe",
        timezone="Europe/Berlin",
    )


def trial_letter(to: str, locale: str = "en") -> Letter:
    """A letter about nothing, which says that it is a test."""
    letter = sample_letter(role=Role.OPERATOR)
    return replace(letter, to=to, locale=locale, name=None)


def role_for(code: Code, reason: Reason) -> Role:
    """Who would get the letter."""
    if reason is Reason.ESCALATED and code not in _ABOUT:
        return Role.ESCALATION
    owner = MEANINGS[code].audience is Audience.OWNER
    return Role.OWNER if owner else Role.OPERATOR


def occurring(code: Code) -> tuple[Reason, ...]:
    """For what reasons letters about the code are written, `opened` first.

    Reminders and escalation run while something is critical; only a date that lies
    ahead draws closer; a matter with a single code cannot worsen.
    """
    meaning = MEANINGS[code]
    critical = meaning.severity is Severity.CRITICAL
    return tuple(
        reason
        for reason, occurs in (
            (Reason.OPENED, True),
            (Reason.WORSENED, code not in _ABOUT),
            (Reason.CLOSER, code in {Code.EXPIRING, Code.DATA_ACCESS_EXPIRING}),
            (Reason.REMINDER, critical),
            (Reason.ESCALATED, critical),
            (Reason.RESOLVED, True),
        )
        if occurs
    )


def sample_letters(locale: str = "en") -> Iterator[tuple[str, Letter]]:
    """The letters people review, each with its name `<code>.<reason>.<kind>`."""
    for name, letter in (*_of_each_code(), *_many(), *_others()):
        yield name, replace(letter, locale=locale)


def _of_each_code() -> Iterator[tuple[str, Letter]]:
    for code in Code:
        owner = MEANINGS[code].audience is Audience.OWNER
        for kind in (PAGE, USER, SYSTEM_USER) if owner else (PAGE,):
            yield _named(code, Reason.OPENED, kind)
        for reason in occurring(code)[1:]:
            yield _named(code, reason, PAGE)


def _many() -> Iterator[tuple[str, Letter]]:
    yield "many.opened.page", sample_letter(*_bakeries(5))
    yield "many.opened.capped", sample_letter(*_bakeries(112))
    good = (replace(item, reason=Reason.RESOLVED) for item in _bakeries(3))
    yield "many.resolved.page", sample_letter(*good)
    third, unlike = _bakeries(3)[-1], sample_item(Code.SCOPES_MISSING)
    unlike = replace(third, findings=unlike.findings)
    healed = sample_item(Code.REVOKED, PAGE, Reason.RESOLVED)
    mixed = (*_bakeries(2), unlike, healed)
    yield "many.opened.mixed", sample_letter(*mixed)
    codes = (Code.CALLER_REJECTED, Code.MALFORMED, Code.WRONG_USER)
    for reason in (Reason.OPENED, Reason.RESOLVED):
        items = (sample_item(code, PAGE, reason) for code in codes)
        yield f"many.{reason}.operator", sample_letter(*items, role=Role.OPERATOR)


def _others() -> Iterator[tuple[str, Letter]]:
    blind = sample_item(Code.BLIND)
    for organ, what in _ORGANS.items():
        facts = {**blind.facts, "organ": organ, "what": what}
        item = replace(blind, subject=f"coverage:{organ}", facts=facts)
        yield f"blind.opened.{organ}", sample_letter(item, role=Role.OPERATOR)
    for name, report in (("full", full_report), ("quiet", quiet_report)):
        yield f"report.{name}", sample_letter(report(_NOW), role=Role.OPERATOR)
    bare = replace(sample_item(Code.EXPIRING), reauthorize_url=None, used_for=None)
    yield "expiring.opened.bare", sample_letter(replace(bare, name=None, kind=None))
    outlived = Finding(Code.EXPIRING, _NOW - timedelta(hours=3))
    item = replace(sample_item(Code.EXPIRING), findings=(outlived,))
    yield "expiring.opened.outlived", sample_letter(item)
    names = ("pages_manage_posts", "read_insights")
    missing = Finding(Code.SCOPES_MISSING, None, names, sudden=True)
    both = (missing, sample_finding(Code.EXPIRING))
    item = replace(sample_item(Code.SCOPES_MISSING), findings=both)
    yield "scopes_missing.opened.two", sample_letter(item)
    muted = replace(sample_letter(sample_item(Code.REVOKED)), mute_url=_MUTE)
    yield "revoked.opened.web", muted


def _named(code: Code, reason: Reason, kind: str) -> tuple[str, Letter]:
    item = sample_item(code, kind, reason)
    letter = sample_letter(item, role=role_for(code, reason))
    if reason is not Reason.OPENED:
        letter = replace(letter, references=("<1a2b.5d2c91@acme.example>",))
    return f"{code}.{reason}.{kind}", letter


def _bakeries(count: int) -> tuple[Item, ...]:
    """So many pages of one person; causes differ, dates draw near."""
    codes = cycle((Code.PASSWORD_CHANGED, Code.EXPIRING, Code.EXPIRING))
    items = (
        replace(
            sample_item(code),
            name=f"Bakery {number}",
            token_id=f"page-{number}",
            incident=f"I-5d2c{number}",
            reauthorize_url=f"{_LINK}page-{number}",
        )
        for number, code in zip(range(1, count + 1), codes, strict=False)
    )
    return tuple(sorted(items, key=lambda item: not item.dead))


def sample_probes() -> Iterator[Letter]:
    """Letters that together go through every branch a template may have."""
    yield trial_letter("ops@acme.example")
    for code in Code:
        for kind in (None,) if code in _ABOUT else (*KINDS, None):
            for reason in occurring(code):
                item = sample_item(code, kind, reason)
                letter = sample_letter(item, role=role_for(code, reason))
                yield replace(letter, mute_url=_MUTE)
                if reason in {Reason.OPENED, Reason.RESOLVED}:
                    bare = replace(item, name=None, used_for=None, reauthorize_url=None)
                    yield replace(letter, items=(bare,), name=None)
            yield sample_letter(sample_item(code, kind), role=Role.OPERATOR)
    for code in (Code.EXPIRING, Code.PASSWORD_CHANGED, Code.MALFORMED):
        for reason in (each for each in Reason if each is not Reason.REPORT):
            for role in Role:
                yield sample_letter(sample_item(code, PAGE, reason), role=role)
    yield from (letter for _, letter in sample_letters())
    healed = sample_item(Code.REVOKED, PAGE, Reason.RESOLVED)
    mixed = (sample_item(Code.EXPIRED), healed)
    for role in Role:
        yield sample_letter(*mixed, role=role)
        yield sample_letter(*_bakeries(112), role=role)
        never = replace(sample_item(Code.INVALID), verified_at=None)
        yield sample_letter(never, role=role)
