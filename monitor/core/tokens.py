"""What the issuer may say about a token, and what the operator expects of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeAlias

USER: Final = "user"
PAGE: Final = "page"
SYSTEM_USER: Final = "system_user"
KINDS: Final = (USER, PAGE, SYSTEM_USER)
"""The kinds an inventory may expect; Meta may answer others, which are kept as said."""


class Code(StrEnum):
    """The public vocabulary of findings: letters, metrics, docs and JSON use it."""

    EXPIRING = "expiring"
    DATA_ACCESS_EXPIRING = "data_access_expiring"
    EXPIRED = "expired"
    DATA_ACCESS_EXPIRED = "data_access_expired"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - a finding, not a password
    REVOKED = "revoked"
    CHECKPOINTED = "checkpointed"
    LOGGED_OUT = "logged_out"
    UNCONFIRMED_USER = "unconfirmed_user"
    PAGE_ROLE_LOST = "page_role_lost"
    INVALID = "invalid"
    SCOPES_MISSING = "scopes_missing"
    TARGETS_MISSING = "targets_missing"
    MALFORMED = "malformed"
    WRONG_APP = "wrong_app"
    WRONG_KIND = "wrong_kind"
    WRONG_USER = "wrong_user"
    SHORT_LIVED = "short_lived"
    SCOPES_EXCESS = "scopes_excess"
    # Matters of the operator that concern no single token:
    CALLER_REJECTED = "caller_rejected"
    APP_MISMATCH = "app_mismatch"
    UNDELIVERABLE = "undeliverable"
    HELD = "held"
    PACED = "paced"
    CLOCK_DOUBTED = "clock_doubted"
    BLIND = "blind"
    ROWS_UNUSABLE = "rows_unusable"


class Cause(StrEnum):
    """Why a look could not tell."""

    UNREACHABLE = "unreachable"
    """No HTTP answer: network, TLS, timeout, redirect."""
    UNREADABLE = "unreadable"
    """An answer that is not the JSON we know: HTML, cut, too large, wrong types."""
    TRANSIENT = "transient"
    """Meta says it is a passing trouble, or left the item unanswered."""
    THROTTLED = "throttled"
    """The caller's quota is spent."""
    CALLER = "caller"
    """Meta refused the caller, not the token."""
    UNKNOWN = "unknown"
    """An answer that no row of the table lists."""
    SECRET = "secret"  # noqa: S105 - a cause, not a secret
    """The stored secret cannot be opened with the configured keys."""
    DAMAGED = "damaged"
    """What else is stored of this token cannot be read."""
    INTERNAL = "internal"
    """We failed ourselves while judging this token; a bug, logged as such."""


@dataclass(frozen=True, slots=True)
class Introspection:
    """A conclusive statement by the issuer about this token (the word is RFC 7662's).

    `None` means that the answer did not say; a token that never expires has
    `expires_at` `None` too.
    """

    fault: Code | None = None
    """What the issuer says is wrong with the token; `None`: it is alive."""
    app_id: str | None = None
    kind: str | None = None
    """`user`, `page`, `system_user` or whatever else Meta calls it, in lower case."""
    user_id: str | None = None
    profile_id: str | None = None
    issued_at: datetime | None = None
    expires_at: datetime | None = None
    data_access_expires_at: datetime | None = None
    scopes: tuple[str, ...] | None = None
    targets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Scope to the asset ids it is limited to; a scope without limit is absent."""

    @property
    def alive(self) -> bool:
        """Whether the issuer calls the token valid."""
        return self.fault is None


@dataclass(frozen=True, slots=True)
class Inconclusive:
    """We could not tell; what we know stays as it was."""

    cause: Cause
    detail: str = ""
    """For the operator: codes and shapes, never text from the wire, never a secret."""


Answer: TypeAlias = Introspection | Inconclusive


@dataclass(frozen=True, slots=True)
class Expected:
    """Whom the token must belong to, as the inventory says; `None`: whoever answers."""

    app_id: str
    kind: str | None = None
    user_id: str | None = None
    profile_id: str | None = None
