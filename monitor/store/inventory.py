"""The inventory at rest: who owns which token; secrets only sealed."""

import secrets
from collections.abc import (
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Sequence,
)
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, Final

from sqlalchemy import (
    Insert,
    Select,
    bindparam,
    delete,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.core.delivery import Drop
from monitor.core.inventory import Row
from monitor.core.schedule import Urgency
from monitor.errors import ConfigurationError
from monitor.store.claims import Claim
from monitor.store.codec import encode
from monitor.store.dialect import (
    ROWS,
    WHOLE,
    WORDS,
    ByDialect,
    given,
    pack,
    pack_ids,
)
from monitor.store.instants import UtcDateTime, microseconds
from monitor.store.locks import lock_tokens
from monitor.store.owners import follow_owner
from monitor.store.seal import Keyring, SealBrokenError, fingerprint, token_place
from monitor.store.tables import (
    audit,
    health,
    incidents,
    introspections,
    outbox,
    tokens,
    vault,
)
from monitor.store.transactions import AnyRow, Database, take_turns

_CHUNK: Final = 500
_RANDOM_BITS: Final = 21
_FINGERPRINT_KEY: Final = "fingerprint-key"
_VAULT_PLACE: Final = b"vault:" + _FINGERPRINT_KEY.encode()
_VAULTED: Final = select(vault.c.sealed).where(vault.c.name == _FINGERPRINT_KEY)


@dataclass(slots=True)
class Imported:
    """What an import changed."""

    added: int = 0
    replaced: int = 0
    """Known tokens with another secret."""
    changed: int = 0
    """Known tokens with other facts and the same secret."""
    unchanged: int = 0


@dataclass(frozen=True, slots=True)
class Stored:
    """What a row becomes in the table, without its secret."""

    facts: dict[str, Any]
    secret: str = field(repr=False)
    print: bytes


class Inventory:
    """Takes tokens in, lets them go, and opens their secrets for asking."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database = database
        self._keyring = keyring
        self._last_row = 0

    async def import_rows(
        self,
        rows: Iterable[Row],
        now: datetime,
        progress: Callable[[int], None] | None = None,
    ) -> Imported:
        """Take in all rows or none; the same rows again change nothing.

        Args:
            rows: Checked rows, each id once; read as a stream.
            now: The present instant; new secrets are due from it.
            progress: Told how many rows were written so far.
        """
        done = Imported()
        count = 0
        async with self._database.write() as connection:
            await take_turns(connection, "import")
            key = await self._fingerprint_key(connection)
            for chunk in _chunks(rows, _CHUNK):
                await self._import_chunk(connection, chunk, key, now, done)
                count += len(chunk)
                if progress is not None:
                    progress(count)
        return done

    async def _import_chunk(
        self,
        connection: AsyncConnection,
        rows: Sequence[Row],
        key: bytes,
        now: datetime,
        done: Imported,
    ) -> None:
        ids = {ROWS: pack_ids(row.id for row in rows)}
        found = await connection.execute(_EXISTING.on(connection), ids)
        known = {row.id: row for row in found}
        added: list[dict[str, Any]] = []
        replaced: list[tuple[AnyRow, Stored]] = []
        changed: list[tuple[AnyRow, Stored]] = []
        for row in rows:
            stored = Stored(_facts(row), row.token, fingerprint(row.token, key))
            old = known.get(row.id)
            if old is None:
                added.append(self._new(stored, now))
            elif old.fingerprint != stored.print:
                replaced.append((old, stored))
            elif any(getattr(old, name) != stored.facts[name] for name in stored.facts):
                changed.append((old, stored))
            else:
                done.unchanged += 1
        done.added += len(added)
        done.replaced += len(replaced)
        done.changed += len(changed)
        # What is unchanged is not locked: nobody waits for the same list again.
        await lock_tokens(connection, (old.row_id for old, _ in (*replaced, *changed)))
        for old, stored in replaced:
            await self._replace(connection, old, stored, now)
        for old, stored in changed:
            await self._change(connection, old, stored, now)
        if added:
            await connection.execute(insert(tokens), added)
            fresh = pack([(new["row_id"], new["app_id"]) for new in added])
            values = {ROWS: fresh, "now": now}
            await connection.execute(_FRESH.on(connection), values)

    def _new(self, stored: Stored, now: datetime) -> dict[str, Any]:
        row_id = self._row_id(now)
        return {
            **stored.facts,
            "row_id": row_id,
            "secret": self._keyring.seal(
                stored.secret.encode(), token_place(row_id, 1)
            ),
            "fingerprint": stored.print,
            "version": 1,
            "created_at": now,
        }

    def _row_id(self, now: datetime) -> int:
        """A number no row had before, and in the order of time.

        Rows that came together lie together, in the file and in every index. The low
        bits are random: restores and deletes never make a number again.
        """
        begun = microseconds(now) // 1000 << _RANDOM_BITS
        self._last_row = max(
            begun + secrets.randbits(_RANDOM_BITS),
            self._last_row + 1 + secrets.randbelow(1000),
        )
        return self._last_row

    async def _replace(
        self,
        connection: AsyncConnection,
        old: AnyRow,
        stored: Stored,
        now: datetime,
    ) -> None:
        """Another secret: nothing that was known is known of it; it is due now."""
        version = old.version + 1
        place = token_place(old.row_id, version)
        await connection.execute(
            update(tokens)
            .where(tokens.c.row_id == old.row_id)
            .values(
                **stored.facts,
                secret=self._keyring.seal(stored.secret.encode(), place),
                fingerprint=stored.print,
                version=version,
            )
        )
        await connection.execute(
            update(health)
            .where(health.c.token_row == old.row_id)
            .values(
                app_id=stored.facts["app_id"],
                fence=health.c.fence + 1,
                heard=None,
                life_seen_at=None,
                verified_at=None,
                suspicion=None,
                suspected_at=None,
                severity="unknown",
                codes="",
                inconclusive_cause=None,
                urgency=int(Urgency.CONFIRM),
                next_check_at=now,
                judge_at=None,
            )
        )
        await connection.execute(
            delete(introspections).where(introspections.c.token_row == old.row_id)
        )
        await follow_owner(connection, old, stored.facts, now)

    async def _change(
        self,
        connection: AsyncConnection,
        old: AnyRow,
        stored: Stored,
        now: datetime,
    ) -> None:
        await connection.execute(
            update(tokens).where(tokens.c.row_id == old.row_id).values(**stored.facts)
        )
        await connection.execute(
            update(health)
            .where(health.c.token_row == old.row_id)
            .values(
                app_id=stored.facts["app_id"],
                next_check_at=now,
                fence=health.c.fence + 1,
                heard=None,
            )
        )
        await follow_owner(connection, old, stored.facts, now)

    async def remove(self, token_id: str, author: str, now: datetime) -> bool:
        """Forget a token, its history, and what was still to be said of it."""
        async with self._database.write() as connection:
            await take_turns(connection, "import")
            row_id = await connection.scalar(
                select(tokens.c.row_id).where(tokens.c.id == token_id)
            )
            if row_id is None:
                return False
            await lock_tokens(connection, [row_id])
            await connection.execute(delete(tokens).where(tokens.c.row_id == row_id))
            await connection.execute(
                update(incidents)
                .where(incidents.c.token_row == row_id, incidents.c.closed_at.is_(None))
                .values(closed_at=now)
            )
            await connection.execute(
                update(outbox)
                .where(outbox.c.token_row == row_id, outbox.c.state == "waiting")
                .values(state="dropped", dropped_for=Drop.GONE, settled_at=now)
            )
            await connection.execute(
                insert(audit).values(
                    at=now, author=author, action="remove", subject=f"token:{token_id}"
                )
            )
        return True

    def unseal(self, claims: Iterable[Claim]) -> list[bytes | None]:
        """The secrets of claimed tokens; `None`: no key opens it."""
        return self._keyring.open_tokens(claims)

    async def export(self) -> AsyncIterator[dict[str, Any]]:
        """Every row of the inventory, without its secret, in the order of the ids."""
        query = select(*(tokens.c[name] for name in _EXPORTED)).order_by(tokens.c.id)
        async with self._database.read() as connection:
            result = await connection.stream(query)
            async for row in result:
                yield dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name

    async def check_keys(self) -> None:
        """Refuse to work with keys that do not open this database.

        Raises:
            ConfigurationError: None of them opens the vault.
        """
        async with self._database.read() as connection:
            sealed = await connection.scalar(_VAULTED)
        if sealed is not None:
            self._opened(sealed)

    def _opened(self, sealed: bytes) -> bytes:
        try:
            return self._keyring.open(sealed, _VAULT_PLACE)
        except SealBrokenError:
            raise ConfigurationError(
                "keys: none of the configured keys opens this database; "
                "name the key it was made with, or another database"
            ) from None

    async def _fingerprint_key(self, connection: AsyncConnection) -> bytes:
        """The key of all fingerprints: made once, kept sealed, never rotated."""
        sealed = await connection.scalar(_VAULTED)
        if sealed is not None:
            return self._opened(sealed)
        key = secrets.token_bytes(32)
        await connection.execute(
            insert(vault).values(
                name=_FINGERPRINT_KEY, sealed=self._keyring.seal(key, _VAULT_PLACE)
            )
        )
        return key


_FACTS: Final = (
    "id",
    "app_id",
    "kind",
    "owner_email",
    "owner_name",
    "name",
    "used_for",
    "user_id",
    "profile_id",
    "locale",
    "timezone",
    "cc",
    "labels",
)
_EXPORTED: Final = _FACTS


def _existing(dialect: str) -> Select[Any]:
    ids = given(dialect, id=WORDS)
    return select(
        tokens.c.row_id,
        tokens.c.version,
        tokens.c.fingerprint,
        *(tokens.c[name] for name in _FACTS),
    ).where(tokens.c.id.in_(select(ids.c.id)))


def _fresh(dialect: str) -> Insert:
    """Nothing is known of new tokens yet; they are due."""
    new = given(dialect, row=WHOLE, app=WORDS).c
    due = bindparam("now", type_=UtcDateTime())
    return insert(health).from_select(
        ["token_row", "app_id", "next_check_at", "urgency"],
        select(new.row, new.app, due, literal(int(Urgency.RISKY))),
    )


_EXISTING: Final = ByDialect(_existing)
_FRESH: Final = ByDialect(_fresh)


def _facts(row: Row) -> dict[str, Any]:
    return {
        "id": row.id,
        "app_id": row.app_id,
        "kind": row.kind,
        "owner_email": row.owner_email,
        "owner_name": row.owner_name,
        "name": row.name,
        "used_for": row.used_for,
        "user_id": row.user_id,
        "profile_id": row.profile_id,
        "locale": row.locale,
        "timezone": row.timezone,
        "cc": ",".join(row.cc),
        "labels": encode(dict(row.labels)),
    }


def _chunks(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    source = iter(rows)
    while chunk := list(islice(source, size)):
        yield chunk
