"""Recording on PostgreSQL alone: COPY and merge by hand, and the product's own way.

    hand first      state, what is known and history of tokens never seen
    hand sweep      state of tokens known and unchanged
    product first   `store.records.write` on the answers to the same questions
    product sweep   the same again

By hand means psycopg and nothing else: a group of a thousand is copied into a
temporary table, and merged into tables like the product's in one transaction. The
product's groups are gathered first, by a sweep that records nothing.
"""

import asyncio
import importlib
import json
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

from benchmarks.fleet import APP, BATCH, Job, Meter, chunks

_GROUP: Final = 1000
_HOUR: Final = 3_600_000_000
_NOW: Final = 1_800_000_000_000_000
"""An instant, in microseconds as the product keeps them."""
_SCHEMA: Final = """
CREATE TABLE hand_health (
    token_row bigint PRIMARY KEY, app_id text NOT NULL, life_seen_at bigint,
    verified_at bigint, severity text NOT NULL DEFAULT 'unknown',
    codes text NOT NULL DEFAULT '', last_checked_at bigint,
    looks integer NOT NULL DEFAULT 0, heard bigint,
    urgency integer NOT NULL DEFAULT 3, next_check_at bigint NOT NULL,
    judge_at bigint, fence integer NOT NULL DEFAULT 0
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX ON hand_health (app_id, urgency, next_check_at);
CREATE INDEX ON hand_health (app_id, judge_at);
CREATE INDEX ON hand_health (severity);
CREATE TABLE hand_known (token_row bigint PRIMARY KEY, known text NOT NULL);
CREATE TABLE hand_checks (
    id bigserial PRIMARY KEY, token_row bigint NOT NULL, at bigint NOT NULL,
    answer text NOT NULL, severity text NOT NULL, codes text NOT NULL
);
CREATE INDEX ON hand_checks (token_row, at);
CREATE INDEX ON hand_checks (at);
INSERT INTO hand_health (token_row, app_id, next_check_at)
SELECT n, '{app}', {now} FROM generate_series(0, {count} - 1) AS n;
ANALYZE hand_health;
"""
_ARRIVED: Final = """
CREATE TEMPORARY TABLE arrived (
    token_row bigint, fence integer, heard bigint, severity text, codes text,
    verified_at bigint, next_check_at bigint, judge_at bigint, answer text
) ON COMMIT DELETE ROWS
"""
_HEALTH: Final = """
UPDATE hand_health AS h SET life_seen_at = a.verified_at, verified_at = a.verified_at,
    severity = a.severity, codes = a.codes, last_checked_at = a.verified_at,
    looks = h.looks + 1, heard = a.heard, next_check_at = a.next_check_at,
    judge_at = a.judge_at
FROM arrived AS a WHERE h.token_row = a.token_row AND h.fence = a.fence
"""
_KNOWN: Final = """
INSERT INTO hand_known SELECT token_row, answer FROM arrived
ON CONFLICT (token_row) DO UPDATE SET known = excluded.known
"""
_CHECKS: Final = """
INSERT INTO hand_checks (token_row, at, answer, severity, codes)
SELECT token_row, verified_at, answer, severity, codes FROM arrived
"""
_COPY: Final = "COPY arrived FROM STDIN"

_Write: TypeAlias = Callable[..., Any]


def _lines(count: int, hour: int) -> Iterator[str]:
    """Answers as the lines that COPY takes."""
    known = {
        "app_id": APP,
        "kind": "user",
        "user_id": "1000000000000000",
        "issued_at": _NOW,
        "expires_at": _NOW + 1200 * _HOUR,
        "data_access_expires_at": _NOW + 1900 * _HOUR,
        "scopes": ["ads_read", "ads_management", "pages_show_list"],
        "targets": {},
    }
    answer = json.dumps(known)
    at = _NOW + hour * _HOUR
    due, judge = at + 6 * _HOUR, _NOW + 480 * _HOUR
    for row in range(count):
        heard = row * 7_919
        yield f"{row}\t0\t{heard}\tok\t\t{at}\t{due + row}\t{judge}\t{answer}\n"


def _hand(job: Job, meter: Meter) -> None:
    first = job.kind.endswith("first")
    groups = list(chunks(_lines(job.count, 0 if first else 6), _GROUP))
    psycopg = importlib.import_module("psycopg")
    with psycopg.connect(job.database) as connection:
        if first:
            text = _SCHEMA.format(app=APP, now=_NOW, count=job.count)
            connection.execute(text)
            connection.commit()
        connection.execute(_ARRIVED)
        connection.commit()
        with meter as cost:
            for group in groups:
                with connection.cursor() as cursor:
                    with cursor.copy(_COPY) as copying:
                        copying.write("".join(group))
                    cost.tokens += cursor.execute(_HEALTH).rowcount
                    if first:
                        cursor.execute(_KNOWN)
                        cursor.execute(_CHECKS)
                connection.commit()


async def _product(job: Job, meter: Meter) -> None:
    """The seam: `store.records.write(looked, ...)`, whatever follows `looked`."""
    from benchmarks.product import settings_of  # noqa: PLC0415 - likewise
    from monitor.app import open_house  # noqa: PLC0415 - by hand needs none of it
    from monitor.store.judging import Recorded  # noqa: PLC0415 - likewise

    looked: list[Any] = []
    rest: tuple[Any, ...] = ()

    async def gather(group: Any, *others: Any) -> Recorded:  # noqa: ANN401 - the seam
        nonlocal rest
        looked.extend(group)
        rest = others
        return Recorded()

    async with open_house(settings_of(job)) as house:
        records: Any = house.store.records
        write: _Write = records.write
        records.write = gather
        await house.checker.check_all()
        records.write = write
        with meter as cost:
            for group in chunks(looked, _GROUP // BATCH):
                recorded = await write(group, *rest)
                cost.tokens += len(recorded.judged) + recorded.confirmed.total()


def main() -> None:
    job, meter = Job.read(), Meter()
    if job.kind.startswith("hand"):
        _hand(job, meter)
    else:
        asyncio.run(_product(job, meter))
    meter.cost.tell()


if __name__ == "__main__":
    main()
