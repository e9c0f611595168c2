"""The speed of light: a sweep by hand, with no more between the parts than must be.

It does what a sweep has to do, and nothing a daemon needs besides: no leases, no
incidents, no policies, no second thoughts about what Meta may say. No code of the
product is used. Tokens are read from SQLite and unsealed, asked about in batches of
fifty, judged by three questions and recorded durably by a thread meanwhile.
"""

import asyncio
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Final, TypeAlias

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from benchmarks.fleet import APP, BATCH, Job, Meter, app_token, chunks, form_of, tokens
from benchmarks.raw import Connection

_GROUP: Final = 1000
"""Tokens read at once, and recorded in one transaction."""
_SOON: Final = 14 * 86_400
_WANTED: Final = frozenset({"ads_read"})
_SCHEMA: Final = """
CREATE TABLE tokens (
    id INTEGER PRIMARY KEY, owner TEXT NOT NULL, app TEXT NOT NULL, sealed BLOB NOT NULL
);
CREATE TABLE health (
    id INTEGER PRIMARY KEY, state TEXT, expires_at INTEGER, checked_at INTEGER
);
-- The next sweep must find what is due without reading everything.
CREATE INDEX due ON health (checked_at);
CREATE TABLE history (
    id INTEGER PRIMARY KEY, token INTEGER NOT NULL, at INTEGER NOT NULL,
    state TEXT NOT NULL, expires_at INTEGER, scopes TEXT NOT NULL
);
CREATE TABLE secret (key BLOB NOT NULL);
"""
_UPDATE: Final = "UPDATE health SET state=?, expires_at=?, checked_at=? WHERE id=?"
_HISTORY: Final = """
INSERT INTO history (token, at, state, expires_at, scopes) VALUES (?, ?, ?, ?, ?)
"""

_Stored: TypeAlias = tuple[int, bytes]
_Judged: TypeAlias = tuple[int, str, int, str]


class _Item(msgspec.Struct, gc=False):
    code: int
    body: str


class _Data(msgspec.Struct, gc=False):
    app_id: str
    is_valid: bool
    user_id: str
    expires_at: int
    data_access_expires_at: int
    scopes: list[str]


class _Body(msgspec.Struct, gc=False):
    data: _Data


_ITEMS: Final = msgspec.json.Decoder(list[_Item])
_BODY: Final = msgspec.json.Decoder(_Body)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "cache_size=-2000"):
        connection.execute(f"PRAGMA {pragma}").close()
    return connection


def _place(row: int) -> bytes:
    return b"token:%d" % row


def make(job: Job) -> None:
    """A database of sealed tokens that nobody has looked at."""
    connection = _connect(job.home / "light.db")
    connection.executescript(_SCHEMA)
    key = AESGCM.generate_key(256)
    cipher = AESGCM(key)

    def rows() -> Iterator[tuple[int, str, str, bytes]]:
        for row, text in enumerate(tokens(job.count)):
            nonce = os.urandom(12)
            sealed = nonce + cipher.encrypt(nonce, text.encode(), _place(row))
            yield row, f"owner-{row}@bench.example", APP, sealed

    connection.execute("BEGIN")
    connection.execute("INSERT INTO secret VALUES (?)", [key])
    connection.executemany("INSERT INTO tokens VALUES (?, ?, ?, ?)", rows())
    connection.execute("INSERT INTO health (id) SELECT id FROM tokens")
    connection.execute("COMMIT")
    connection.close()


def _batches(connection: sqlite3.Connection) -> Iterator[list[_Stored]]:
    """All tokens of the app in the order of their rows, read as they are needed."""
    query = "SELECT id, sealed FROM tokens WHERE id > ? AND app = ? ORDER BY id LIMIT ?"
    after = -1
    while rows := connection.execute(query, (after, APP, _GROUP)).fetchall():
        after = rows[-1][0]
        yield from chunks(rows, BATCH)


def _judge(row: int, data: _Data, now: int) -> _Judged:
    scopes = data.scopes
    ends = min(data.expires_at, data.data_access_expires_at)
    if not data.is_valid or data.app_id != APP:
        state = "critical"
    elif ends - now < _SOON or not _WANTED.issubset(scopes):
        state = "warning"
    else:
        state = "ok"
    return row, state, data.expires_at, ",".join(scopes)


class _Recorder:
    """Writes groups of judgements in a thread of its own, a transaction each."""

    def __init__(self, path: Path, now: int, *, history: bool) -> None:
        self._path, self._now, self._history = path, now, history
        self._groups: SimpleQueue[list[_Judged] | None] = SimpleQueue()
        self._thread = Thread(target=self._run)
        self.written = 0

    def start(self) -> None:
        self._thread.start()

    def take(self, group: list[_Judged]) -> None:
        """Have a group written, soon."""
        self._groups.put(group)

    def finish(self) -> None:
        """Wait until everything is on the disk."""
        self._groups.put(None)
        self._thread.join()

    def _run(self) -> None:
        connection = _connect(self._path)
        while (group := self._groups.get()) is not None:
            at = self._now
            connection.execute("BEGIN IMMEDIATE")
            done = connection.executemany(
                _UPDATE, [(state, ends, at, row) for row, state, ends, _ in group]
            ).rowcount
            if self._history:
                connection.executemany(
                    _HISTORY, [(row, at, *judged) for row, *judged in group]
                )
            connection.execute("COMMIT")
            self.written += done
        connection.close()


async def _sweep(job: Job, *, history: bool) -> int:
    path = job.home / "light.db"
    now = int(time.time())  # noqa: TID251 - a benchmark has a clock
    reader = _connect(path)
    cipher = AESGCM(reader.execute("SELECT key FROM secret").fetchone()[0])
    batches = _batches(reader)
    recorder = _Recorder(path, now, history=history)
    recorder.start()
    judged: list[_Judged] = []

    async def work(connection: Connection) -> None:
        nonlocal judged
        for batch in batches:
            texts = [
                cipher.decrypt(sealed[:12], sealed[12:], _place(row)).decode()
                for row, sealed in batch
            ]
            items = _ITEMS.decode(await connection.ask(form_of(texts)))
            judged += [
                _judge(row, _BODY.decode(item.body).data, now)
                for (row, _), item in zip(batch, items, strict=True)
                if item.code == 200
            ]
            if len(judged) >= _GROUP:
                recorder.take(judged)
                judged = []

    connections = [await Connection.to(job.url) for _ in range(job.workers)]
    await connections[0].ask(form_of([app_token().replace("|", "%257C")]))
    await asyncio.gather(*map(work, connections))
    recorder.take(judged)
    recorder.finish()
    for connection in connections:
        connection.close()
    reader.close()
    return recorder.written


async def _flood(job: Job, meter: Meter) -> None:
    """Ask questions made before and read nothing: how much the stand-in can take."""
    forms = [(form_of(b), len(b)) for b in chunks(tokens(job.count), BATCH)]
    turns = iter(forms)
    connections = [await Connection.to(job.url) for _ in range(job.workers)]

    async def work(connection: Connection) -> int:
        return sum([n for form, n in turns if await connection.ask(form)])

    with meter as cost:
        cost.tokens = sum(await asyncio.gather(*map(work, connections)))


def main() -> None:
    job, meter = Job.read(), Meter()
    if job.kind == "make":
        make(job)
    elif job.kind == "flood":
        asyncio.run(_flood(job, meter))
    else:
        with meter as cost:
            cost.tokens = asyncio.run(_sweep(job, history=job.kind == "first"))
    meter.cost.tell()


if __name__ == "__main__":
    main()
