"""Reach: for which tokens no human can be written to, and when the operator hears."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from monitor.core.incident import Incident, Step, advance
from monitor.core.policy import Rule
from monitor.core.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Ward:
    """A token, and everybody its letters may go to."""

    token_id: str
    owner: str
    escalate_to: tuple[str, ...] = ()


def stranded(wards: Iterable[Ward], unreachable: Collection[str]) -> tuple[Ward, ...]:
    """The tokens of which no human can be told: everybody they name is unreachable.

    >>> ann, boss = "ann@bakery.example", "boss@acme.example"
    >>> wards = [Ward("north", ann), Ward("south", ann, (boss,))]
    >>> [ward.token_id for ward in stranded(wards, {ann})]
    ['north']
    """
    return tuple(
        ward
        for ward in wards
        if not {ward.owner, *ward.escalate_to}.difference(unreachable)
    )


def hear(
    incident: Incident | None,
    verdict: Verdict,
    rule: Rule,
    now: datetime,
    *,
    news: bool,
) -> Step:
    """Move the one matter of all readers whom no letter reaches.

    A reader more is news although the matter was told already. While the last notice
    is still on its way nothing is added: it is told what is true when it leaves.

    Args:
        incident: The open matter, if there is one.
        verdict: What is wrong now; nothing once everybody can be reached.
        rule: How often it is repeated.
        now: The present instant.
        news: Whether somebody became unreachable since it was last told.
    """
    if news and incident is not None and incident.settled_at is not None:
        incident = replace(incident, told=frozenset())
    return advance(incident, verdict, rule, now)
