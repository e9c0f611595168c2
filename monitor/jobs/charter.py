"""What the jobs need to know of the operator's wishes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import quote

from monitor.core.delivery import Hours
from monitor.core.hold import Brake
from monitor.core.observation import Observation
from monitor.core.policy import Rule, rule_for
from monitor.core.report import Rota
from monitor.core.tokens import Expected


@dataclass(frozen=True, slots=True)
class App:
    """One configured app."""

    id: str
    name: str
    secret: str = field(repr=False)
    reauthorize_url: str | None = None
    hourly_calls: int | None = None
    """The calls the operator allows in any hour; `None`: what Meta's headers allow."""

    def way_back(self, token_id: str) -> str | None:
        """Where the owner of this token re-authorises it."""
        if self.reauthorize_url is None:
            return None
        url = self.reauthorize_url.replace("{token_id}", quote(token_id, safe=""))
        return url.replace("{app_id}", quote(self.id, safe=""))


@dataclass(frozen=True, slots=True)
class Charter:
    """The wishes of one configuration; a reload brings another charter."""

    rules: tuple[Rule, ...]
    apps: Mapping[str, App]
    operators: tuple[str, ...]
    mail_domain: str
    """The right side of Message-IDs."""
    bounce_address: str | None = None
    """Where letters come back to; `None`: to the From address, unsigned."""
    public_url: str | None = None
    """Where readers reach our pages; `None`: nowhere."""
    group_wait: timedelta = timedelta(minutes=2)
    hours: Hours | None = None
    locale: str = "en"
    """The language of readers for whom the inventory names none."""
    timezone: str = "UTC"
    """The zone of the same readers."""
    brake: Brake = field(default_factory=Brake)
    lease: timedelta = timedelta(minutes=5)
    tick: timedelta = timedelta(seconds=10)
    report: Rota | None = None
    """When the operator's report is due; `None`: never."""
    keep_checks: timedelta = timedelta(days=90)
    keep_outbox: timedelta = timedelta(days=400)
    batch_size: int = 50
    workers: int = 8
    breath: timedelta = timedelta(seconds=0.5)
    """The wait before the one more try of a call that failed in passing."""

    patience: tuple[float, ...] = (0.5, 1, 2, 4, 8, 10)
    """Seconds between tries to write what is known, while the database is gone."""

    def rule(
        self, expected: Expected, labels: Mapping[str, str], observation: Observation
    ) -> Rule:
        """The policy a token lives under; its kind may be learned from an answer."""
        learned = observation.known.kind if observation.known else None
        return rule_for(self.rules, expected.app_id, expected.kind or learned, labels)

    @property
    def house_rule(self) -> Rule:
        """The policy by which the operator's own matters are repeated."""
        return self.rules[-1]

    @property
    def sweep(self) -> timedelta:
        """In so long every token is looked at once."""
        return max(rule.check_every for rule in self.rules)
