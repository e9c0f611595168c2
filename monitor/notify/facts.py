"""Lay out the facts: a letter as the plain data that templates fill into words."""

from collections.abc import Sequence
from typing import Final

from monitor.core.delivery import Item, Letter, Role
from monitor.core.incident import MOST_REMINDERS, Reason
from monitor.core.tokens import SYSTEM_USER, Code
from monitor.core.verdict import Audience, Finding, Severity
from monitor.notify.rendering import Words
from monitor.notify.safe import (
    CLOSE,
    OPEN,
    clean,
    clean_facts,
    host_of,
    safe_url,
    shorten,
)
from monitor.notify.templates import Book
from monitor.notify.words import Calendar

Data = dict[str, object]

OPERATORS_PRODUCT: Final = "token-monitor"
LONGEST_PRODUCT: Final = 60
_LONGEST_NAME: Final = 120
_MOST_DETAILS: Final = 20
HAPPENED: Final = "happened"
PARTS: Final = ("summary", "consequence", "steps")
"""The sections of a finding beside its subject and what happened."""
RESOLVED: Final = "resolved"
"""The section that says that a finding is over; a clause, the frame ends it."""


def letter_facts(letter: Letter, language: str, contact: str | None) -> Data:
    """What is true of the letter as a whole."""
    operator = letter.role is Role.OPERATOR
    product = OPERATORS_PRODUCT if operator else clean(letter.product, LONGEST_PRODUCT)
    mute = safe_url(letter.mute_url) or ""
    return {
        "product": product or OPERATORS_PRODUCT,
        "mute_url": mute,
        "mute_host": host_of(mute) if mute else "",
        "reader": clean(letter.name or "", _LONGEST_NAME),
        "role": letter.role.value,
        "language": language,
        "contact": contact or "",
        "most_reminders": MOST_REMINDERS,
        "letter": clean(letter.id, 60),
        "alone": len(letter.items) == 1,
        "all_pages": all(item.kind == "page" for item in letter.items),
    }


def matter_facts(item: Item, calendar: Calendar, role: Role) -> Data:
    """What is true of one matter of the letter."""
    findings = told_findings(item, role)
    # A login mends what owners can mend, and never a system user's token.
    mendable = findings[0].meaning.audience is Audience.OWNER
    goes_back = mendable and item.kind != SYSTEM_USER
    url = safe_url(item.reauthorize_url) if goes_back else None
    token_id = clean(item.token_id or "", 60)
    opened = calendar.moment(item.opened_at)
    verified = item.verified_at
    return {
        "label": label(item, calendar),
        "kind": clean(item.kind or "", 40),
        "used_for": clean(item.used_for or ""),
        "app": clean(item.app_name, _LONGEST_NAME) or clean(item.app_id, 40),
        "app_id": clean(item.app_id, 40),
        "token_id": token_id,
        "incident": clean(item.incident, 60),
        "about": clean(item.subject, 80),
        "reason": item.reason.value,
        "reminder": item.reminder,
        "dead": any(f.meaning.severity is Severity.CRITICAL for f in findings),
        "opened": opened,
        "verified": calendar.moment(verified) if verified is not None else None,
        "url": url or "",
        "host": host_of(url) if url else "",
        "findings": [finding_facts(finding, calendar) for finding in findings],
        "facts": clean_facts(item.facts),
    }


def finding_facts(finding: Finding, calendar: Calendar) -> Data:
    """What is true of one finding."""
    words = calendar.words
    scopes = [detail.partition(":")[0] for detail in finding.details[:_MOST_DETAILS]]
    deadline = finding.deadline
    return {
        "code": finding.code.value,
        "critical": finding.meaning.severity is Severity.CRITICAL,
        "sudden": finding.sudden,
        "deadline": calendar.moment(deadline) if deadline is not None else None,
        "details": [clean(detail, 80) for detail in finding.details[:_MOST_DETAILS]],
        "targets": [
            {"permission": words.scope_in_full(scope), "asset": clean(asset, 40)}
            for scope, _, asset in (
                detail.partition(":") for detail in finding.details[:_MOST_DETAILS]
            )
        ],
        "permissions": [words.scope(scope) for scope in dict.fromkeys(scopes)],
        "permissions_in_full": [
            words.scope_in_full(scope) for scope in dict.fromkeys(scopes)
        ],
    }


def told_findings(item: Item, role: Role) -> tuple[Finding, ...]:
    """The findings this reader hears of, the one to act on first.

    Owners hear of what they can mend; if that is nothing, of what there is.
    """
    told = item.findings or (Finding(Code.INVALID),)
    if role is not Role.OPERATOR:
        mendable = [f for f in told if f.meaning.audience is Audience.OWNER]
        told = tuple(mendable) or told
    return tuple(
        sorted(told, key=lambda f: f.meaning.severity is not Severity.CRITICAL)
    )


def label(item: Item, calendar: Calendar, longest: int = _LONGEST_NAME) -> Words:
    """What a sentence calls the matter: its quoted name, else what we know it by.

    Where one reads from the right, the name alone is marked as a value: its quotes
    belong to the sentence, and turn with it.
    """
    say = calendar.words.say
    name = clean(item.name or "")
    if name and calendar.locale.text_direction == "rtl":
        return Words(say("named", name=_marked(shorten(name, longest))))
    if name:
        return Words(_marked(say("named", name=shorten(name, longest))))
    if item.token_id is not None:
        known_by = shorten(clean(item.token_id, 60), longest)
        return Words(say("unnamed", id=_marked(known_by)))
    kind, _, known_by = clean(item.subject, 80).partition(":")
    if kind in calendar.words.names:
        return Words(say(kind, id=_marked(shorten(known_by, longest))))
    known_by = clean(item.app_name or item.app_id or item.subject)
    return Words(_marked(shorten(known_by, longest)))


def _marked(value: str) -> str:
    return f"{OPEN}{value}{CLOSE}"


def listed(labels: Sequence[str], calendar: Calendar) -> Words:
    """Labels joined as the language joins them."""
    return Words(calendar.listed(labels))


def put_in_words(matter: Data, letter: Data, book: Book) -> Data:
    """The matter with the sections of its findings rendered.

    The first finding is the one to act on: it gives summary, consequence and steps.
    What happened is told of every finding. Of what is over only that is said.
    """
    findings = matter["findings"]
    if not isinstance(findings, list):
        raise TypeError("the findings of a matter are a list")
    first = findings[0]
    matter = {**matter, "finding": first}

    def rendered(part: str, finding: Data = first) -> Words:
        seen = {**letter, "matter": matter, "finding": finding}
        return book.render(f"findings/{finding['code']}.txt", part, seen)

    if matter["reason"] == Reason.RESOLVED:
        return {**matter, RESOLVED: rendered(RESOLVED)}
    happened = [str(rendered(HAPPENED, finding)) for finding in findings]
    return {
        **matter,
        **{part: rendered(part) for part in PARTS},
        HAPPENED: Words("\n\n".join(happened)),
    }


def grouped(
    matters: Sequence[Data], part: str, calendar: Calendar, most_told: int
) -> list[Data]:
    """Matters with equal words of one part together: the words, and whom they are for.

    Equal causes have equal steps, so a reader does not read them twice. Of the first
    matters, which have a section of their own, a group has all facts, for their links.
    """
    groups: dict[str, tuple[list[str], list[Data]]] = {}
    for number, matter in enumerate(matters):
        labels, told = groups.setdefault(str(matter.get(part, "")), ([], []))
        labels.append(str(matter["label"]))
        if number < most_told:
            told.append(matter)
    return [
        {"words": Words(words), "labels": listed(labels, calendar), "told": told}
        for words, (labels, told) in groups.items()
    ]
