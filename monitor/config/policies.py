"""Policies as written, and as the core knows them."""

from typing import Annotated, Final

from pydantic import BeforeValidator, Field

from monitor.config.addresses import Address
from monitor.config.durations import Duration, Ladder, Positive
from monitor.config.scalars import Flag, Line, choice, word
from monitor.config.section import Section, listed, present
from monitor.core import policy
from monitor.core.tokens import KINDS

_BUILT_IN: Final = policy.Rule()
Scope = Annotated[str, word("a permission", "[A-Za-z0-9_.:-]{1,100}", "ads_read")]
Target = Annotated[str, word("an asset id", "[A-Za-z0-9_.:-]{1,100}", "102030")]
AppId = Annotated[str, word("an app id", "[0-9]{1,32}", "1234567890")]
Kind = Annotated[str, choice(*KINDS)]


class Match(Section):
    """Which tokens a policy is for: keys are ANDed, lists ORed."""

    app: Annotated[frozenset[AppId], BeforeValidator(listed), Field(min_length=1)] = (
        frozenset()
    )
    kind: Annotated[frozenset[Kind], BeforeValidator(listed), Field(min_length=1)] = (
        frozenset()
    )
    label: dict[
        str,
        Annotated[frozenset[Line], BeforeValidator(listed), Field(min_length=1)],
    ] = Field(default_factory=dict)


class Policy(Section):
    """What is asked of the tokens it matches; unset keys are the built-in defaults."""

    name: Line = _BUILT_IN.name
    match: Annotated[Match, BeforeValidator(present)] = Match()
    check_every: Positive = _BUILT_IN.check_every
    retry_every: Positive = _BUILT_IN.retry_every
    confirm_after: Duration = _BUILT_IN.confirm_after
    warn_before: Ladder = _BUILT_IN.warn_before
    data_access_warn_before: Ladder = _BUILT_IN.data_access_warn_before
    required_scopes: tuple[Scope, ...] = _BUILT_IN.required_scopes
    allowed_scopes: tuple[Scope, ...] | None = _BUILT_IN.allowed_scopes
    """A list turns on `scopes_excess`; `None` allows everything."""
    required_targets: dict[str, Annotated[tuple[Target, ...], Field(min_length=1)]] = (
        Field(default_factory=dict)
    )
    """Scope to the asset ids it must reach."""
    expect_long_lived: Flag = _BUILT_IN.expect_long_lived
    remind_every: Positive = _BUILT_IN.remind_every
    escalate_after: Positive = _BUILT_IN.escalate_after
    escalate_to: tuple[Address, ...] = _BUILT_IN.escalate_to
    trust_for: Positive = _BUILT_IN.trust_for
    extend: Flag = _BUILT_IN.extend

    def rule(self) -> policy.Rule:
        """The rule the core decides by."""
        wishes = {name: getattr(self, name) for name in _WISHES}
        return policy.Rule(match=self._accepted(), **wishes)

    def _accepted(self) -> policy.Match:
        return policy.Match(
            app=self.match.app, kind=self.match.kind, label=dict(self.match.label)
        )


_WISHES: Final = tuple(name for name in Policy.model_fields if name != "match")
