"""The operator's wishes as values: which rule a token lives under, and what it asks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Match:
    """Which tokens a rule is for: keys are ANDed, the values of one key ORed.

    An empty `Match` matches every token.
    """

    app: frozenset[str] = frozenset()
    """App ids."""
    kind: frozenset[str] = frozenset()
    """Kinds of token; a token whose kind is not yet known matches none."""
    label: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Label key to accepted values."""

    def accepts(self, app_id: str, kind: str | None, labels: Mapping[str, str]) -> bool:
        """Whether a token of this app, kind and labels is meant."""
        if self.app and app_id not in self.app:
            return False
        if self.kind and kind not in self.kind:
            return False
        return all(labels.get(key) in values for key, values in self.label.items())


@dataclass(frozen=True, slots=True)
class Rule:
    """One policy: how often to look, when to warn, what a token must be able to do."""

    name: str = "default"
    match: Match = field(default_factory=Match)
    check_every: timedelta = timedelta(hours=6)
    """No token goes longer without a look."""
    retry_every: timedelta = timedelta(minutes=5)
    """The wait after a look that could not tell."""
    confirm_after: timedelta = timedelta(minutes=10)
    """Sudden news is believed at the second look, at least so long after the first."""
    warn_before: tuple[timedelta, ...] = (14 * _DAY, 7 * _DAY, 3 * _DAY, _DAY)
    """Lead times before a token ends at which its owner hears, widest first."""
    data_access_warn_before: tuple[timedelta, ...] = (14 * _DAY, 7 * _DAY, _DAY)
    """Lead times before data access lapses, widest first."""
    required_scopes: tuple[str, ...] = ()
    allowed_scopes: tuple[str, ...] | None = None
    """A list turns on `scopes_excess`; `None` allows everything."""
    required_targets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Scope to the asset ids it must reach; such a scope is required too."""
    expect_long_lived: bool = True
    remind_every: timedelta = timedelta(days=3)
    escalate_after: timedelta = timedelta(days=7)
    escalate_to: tuple[str, ...] = ()
    trust_for: timedelta = timedelta(hours=24)
    """For so long the last conclusive answer is believed."""
    extend: bool = False


def rule_for(
    rules: Sequence[Rule], app_id: str, kind: str | None, labels: Mapping[str, str]
) -> Rule:
    """The first rule that accepts the token; the last rule accepts everything."""
    for rule in rules:
        if rule.match.accepts(app_id, kind, labels):
            return rule
    return rules[-1]
