"""What we remember: the tables, the same on SQLite and PostgreSQL."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from monitor.store.instants import UtcDateTime

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_RowId = BigInteger().with_variant(Integer(), "sqlite")

apps = Table(
    "apps",
    metadata,
    Column("id", Text, primary_key=True),
    Column("proved_at", UtcDateTime),
    Column("rejected_at", UtcDateTime),
    Column("silent_since", UtcDateTime),
    Column("paused_until", UtcDateTime),
    Column("pause_cause", Text),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("usage_percent", Integer),
    Column("usage_at", UtcDateTime),
    Column("api_version", Text),
    # --- the storm brake
    Column("held_until", UtcDateTime),
    Column("let_go_at", UtcDateTime),
)
"""One row an app: whether it may be asked now, how it went, and what is held back.

While `held_until` lies ahead the app's owner letters wait. News first seen at or before
`let_go_at` was released or let go: it is neither held nor counted again.
"""

calls = Table(
    "calls",
    metadata,
    Column("app_id", Text, primary_key=True),
    Column("slot", UtcDateTime, primary_key=True),
    Column("calls", Integer, nullable=False),
)
"""The governor's ledger: calls granted to an app, by slots of half a minute."""

tokens = Table(
    "tokens",
    metadata,
    Column("row_id", _RowId, primary_key=True, autoincrement=False),
    # --- the inventory
    Column("id", Text, nullable=False, unique=True),
    Column("app_id", Text, nullable=False),
    Column("kind", Text),
    Column("owner_email", Text, nullable=False),
    Column("owner_name", Text),
    Column("name", Text),
    Column("used_for", Text),
    Column("user_id", Text),
    Column("profile_id", Text),
    Column("locale", Text),
    Column("timezone", Text),
    Column("cc", Text, nullable=False, server_default=""),
    Column("labels", Text, nullable=False, server_default="{}"),
    Column("secret", LargeBinary, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    # --- silence
    Column("silenced_until", UtcDateTime),
    Column("silenced_by", Text),
    Column("silence_reason", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_tokens_owner", "owner_email"),
)
"""The inventory: written by imports and by hand, never by a look."""

health = Table(
    "health",
    metadata,
    Column(
        "token_row",
        _RowId,
        ForeignKey("tokens.row_id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("app_id", Text, nullable=False),
    # --- what we think
    Column("life_seen_at", UtcDateTime),
    Column("verified_at", UtcDateTime),
    Column("suspicion", Text),
    Column("suspected_at", UtcDateTime),
    Column("severity", Text, nullable=False, server_default="unknown"),
    Column("codes", Text, nullable=False, server_default=""),
    Column("last_checked_at", UtcDateTime),
    Column("inconclusive_cause", Text),
    Column("looks", Integer, nullable=False, server_default="0"),
    Column("heard", BigInteger),
    Column("policy", Text),
    Column("interval", BigInteger),
    # --- when it is due
    Column("urgency", Integer, nullable=False, server_default="3"),
    Column("next_check_at", UtcDateTime, nullable=False),
    Column("judge_at", UtcDateTime),
    Column("fence", Integer, nullable=False, server_default="0"),
    Index("ix_health_due", "app_id", "urgency", "next_check_at"),
    Index("ix_health_judge", "app_id", "judge_at"),
    Index("ix_health_severity", "severity"),
    Index(
        "ix_health_cause",
        "inconclusive_cause",
        sqlite_where=text("inconclusive_cause IS NOT NULL"),
        postgresql_where=text("inconclusive_cause IS NOT NULL"),
    ),
    Index(
        "ix_health_suspected",
        "app_id",
        sqlite_where=text("suspicion IS NOT NULL"),
        postgresql_where=text("suspicion IS NOT NULL"),
    ),
    # Every look moves an indexed column, so dead rows pile up: leave room, tidy early.
    postgresql_with={"fillfactor": 80, "autovacuum_vacuum_scale_factor": 0.02},
)
"""How it stands with each token: narrow, for it is rewritten at every look.

`heard` is the print of the words Meta last said and of the rules they were judged
under, set only while the token is at rest (see rest.py); `policy` is the rule that won
at the last judgement, `interval` in microseconds what it planned between looks. Every
write of a look names the `fence` of its claim.
"""

introspections = Table(
    "introspections",
    metadata,
    Column(
        "token_row",
        _RowId,
        ForeignKey("tokens.row_id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("known", Text, nullable=False),
    Column("user_id", Text),
    Index("ix_introspections_user", "user_id"),
)
"""The last confirmed introspection of each token; written when it changes.

`user_id`: the Facebook user behind the token, once more by itself, to be counted.
"""

checks = Table(
    "checks",
    metadata,
    Column("id", _RowId, primary_key=True),
    Column(
        "token_row",
        BigInteger,
        ForeignKey("tokens.row_id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("version", Integer, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("answer", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("codes", Text, nullable=False),
    Column("suspicion", Text),
    Index("ix_checks_token", "token_row", "at"),
    Index("ix_checks_at", "at"),
)
"""History as stretches: a row when the answer differs from the one before it."""

incidents = Table(
    "incidents",
    metadata,
    Column("id", Text, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("token_row", BigInteger),
    Column("app_id", Text),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("closed_at", UtcDateTime),
    Column("state", Text, nullable=False),
    Index(
        "uq_incidents_open",
        "subject",
        unique=True,
        sqlite_where=text("closed_at IS NULL"),
        postgresql_where=text("closed_at IS NULL"),
    ),
    Index(
        "ix_incidents_open_token",
        "token_row",
        sqlite_where=text("closed_at IS NULL"),
        postgresql_where=text("closed_at IS NULL"),
    ),
)

letters = Table(
    "letters",
    metadata,
    Column("id", Text, primary_key=True),
    Column("message_id", Text, nullable=False, unique=True),
    Column("recipient", Text, nullable=False),
    Column("mailbox", Text, nullable=False, server_default=""),
    Column("role", Text, nullable=False),
    Column("product", Text, nullable=False),
    Column("sealed_at", UtcDateTime, nullable=False),
    Column("state", Text, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("waits_for", Text),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("first_attempt_at", UtcDateTime),
    Column("attempt_until", UtcDateTime),
    Column("fence", Integer, nullable=False, server_default="0"),
    Column("in_doubt", Boolean, nullable=False, server_default=text("false")),
    Column("freed", Boolean, nullable=False, server_default=text("false")),
    Column("last_reply", Text),
    Column("settled_at", UtcDateTime),
    Column("disputed_at", UtcDateTime),
    Index("ix_letters_due", "state", "due_at"),
    Index("ix_letters_sealed", "sealed_at"),
    Index("ix_letters_mailbox", "mailbox", "settled_at"),
)
"""Sealed before SMTP begins: a letter may lose entries, never gain one.

`in_doubt`: an attempt wrote the final dot and heard no reply, so whatever was in the
letter may have been read; it is sent again as it was.
`mailbox`: the recipient in lower case, by which the letters of a day are counted.
`freed`: what was held and released, which no pace counts. `disputed_at`: when it was
last refused by policy.
"""

outbox = Table(
    "outbox",
    metadata,
    Column("id", Text, primary_key=True),
    Column("incident_id", Text, ForeignKey("incidents.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("product", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("app_id", Text, nullable=False),
    Column("token_row", BigInteger),
    Column("name", Text),
    Column("cc", Text, nullable=False, server_default=""),
    Column("locale", Text),
    Column("timezone", Text),
    Column("reason", Text, nullable=False),
    Column("codes", Text, nullable=False),
    Column("item", Text, nullable=False),
    Column("planned_at", UtcDateTime, nullable=False),
    Column("looked_at", UtcDateTime),
    Column("asked_look_at", UtcDateTime),
    Column("news_at", UtcDateTime),
    Column("rank", BigInteger, nullable=False, server_default="0"),
    Column("state", Text, nullable=False),
    Column("waits_for", Text),
    Column("due_at", UtcDateTime, nullable=False),
    Column("letter_id", Text, ForeignKey("letters.id")),
    Column("dropped_for", Text),
    Column("settled_at", UtcDateTime),
    Column("perhaps_told", Boolean, nullable=False, server_default=text("false")),
    UniqueConstraint("incident_id", "number", "recipient"),
    Index("ix_outbox_due", "state", "due_at"),
    Index("ix_outbox_letter", "letter_id"),
    Index("ix_outbox_token", "token_row"),
    Index("ix_outbox_news", "app_id", "news_at"),
)
"""Notices for one reader each.

`news_at`: when sudden news was first seen; `rank`: what leaves first when not
everything may, the smallest first; `perhaps_told`: a courier died with its letter in
hand, so nobody knows (ADR 0020).
"""

mutes = Table(
    "mutes",
    metadata,
    Column("incident_id", Text, ForeignKey("incidents.id"), primary_key=True),
    Column("reader", Text, primary_key=True),
    Column("since", UtcDateTime, nullable=False),
)
"""Which readers stopped the reminders of which open incidents."""

holds = Table(
    "holds",
    metadata,
    Column("id", Text, primary_key=True),
    Column("app_id", Text, nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("until", UtcDateTime, nullable=False),
    Column("users", Integer, nullable=False),
    Column("tokens", Integer, nullable=False),
    Column("looked_at", Integer, nullable=False),
    Column("apps", Integer, nullable=False),
    Column("codes", Text, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("ended_how", Text),
    Column("ended_by", Text),
    Column("reason", Text),
    Index(
        "uq_holds_open",
        "app_id",
        unique=True,
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
)
"""Every hold there was: what opened it, how and by whom it ended; at most one open."""

audit = Table(
    "audit",
    metadata,
    Column("id", _RowId, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("author", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("reason", Text),
    Column("until", UtcDateTime),
)
"""Who silenced, released or retried what, and why; only ever added to."""

vault = Table(
    "vault",
    metadata,
    Column("name", Text, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)
"""Secrets of our own, sealed like tokens: the key of the fingerprints."""

unreachable = Table(
    "unreachable",
    metadata,
    Column("address", Text, primary_key=True),
    Column("since", UtcDateTime, nullable=False),
    Column("why", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("told_at", UtcDateTime),
)
"""Readers whom no letter reaches, until the address changes or takes letters again."""

marks = Table(
    "marks",
    metadata,
    Column("name", Text, primary_key=True),
    Column("at", UtcDateTime),
    Column("until", UtcDateTime),
    Column("value", Text),
)
"""Single facts shared by processes: the daemon's pulse, a paused channel."""
