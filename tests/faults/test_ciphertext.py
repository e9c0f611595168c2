"""Ciphertext that was touched, moved or cut opens nowhere, and is never bad news."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import permutations
from typing import Final

import pytest
from sqlalchemy import bindparam, select, text

from monitor.core.tokens import Cause, Code
from monitor.store.seal import Key, Keyring, token_place
from monitor.store.tables import tokens
from tests.jobs.house import HOUR, MINUTE, OPS, Builder, House, a_token

ROWS: Final = 100
KEYS: Final = (Key("k1", b"\x01" * 32), Key("k2", b"\x02" * 32))


@dataclass(frozen=True)
class Row:
    """A sealed secret where it claims to lie."""

    row_id: int
    version: int
    sealed: bytes


def sealed_rows(ring: Keyring, count: int = ROWS) -> list[Row]:
    return [
        Row(n, 1, ring.seal(f"EAAB-secret-{n:04}".encode(), token_place(n, 1)))
        for n in range(1, count + 1)
    ]


def flips(rows: list[Row]) -> Iterator[Row]:
    """Every bit of every row, one at a time."""
    for row in rows:
        for bit in range(len(row.sealed) * 8):
            touched = bytearray(row.sealed)
            touched[bit // 8] ^= 1 << bit % 8
            yield Row(row.row_id, row.version, bytes(touched))


def swaps(rows: list[Row]) -> Iterator[Row]:
    """Every row's secret in the place of every other one."""
    for here, there in permutations(rows, 2):
        yield Row(here.row_id, here.version, there.sealed)


def moves(rows: list[Row]) -> Iterator[Row]:
    """Other versions, every cut, other keys' names and formats, other lengths."""
    for row in rows:
        for version in (0, 2, 3, 11):
            yield Row(row.row_id, version, row.sealed)
        for kept in range(len(row.sealed)):
            yield Row(row.row_id, 1, row.sealed[:kept])
        for head in (b"\x01k2\0\0", b"\x01k3\0\0", b"\x02k1\0\0", b"\x01\0\0\0\0"):
            yield Row(row.row_id, 1, head + row.sealed[5:])
        yield Row(row.row_id, 1, row.sealed + b"\0")
        yield Row(row.row_id, 1, row.sealed[:5] * 2 + row.sealed[5:])


def accepted(ring: Keyring, touched: Iterator[Row]) -> tuple[int, int]:
    """How many were tried, and how many of them opened."""
    tried = list(touched)
    return len(tried), sum(secret is not None for secret in ring.open_tokens(tried))


def test_nothing_that_was_touched_moved_or_cut_opens(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ring = Keyring(KEYS)
    rows = sealed_rows(ring)
    assert accepted(ring, iter(rows)) == (ROWS, ROWS)
    told = []
    kinds: tuple[Callable[[list[Row]], Iterator[Row]], ...] = (flips, swaps, moves)
    for kind in kinds:
        tried, opened = accepted(ring, kind(rows))
        assert (opened, tried > 5_000) == (0, True)
        told.append(f"{tried} {kind.__name__}")
    with capsys.disabled():
        print(f"\nciphertext: {', '.join(told)}: 0 accepted")  # noqa: T201 - figures


class Unbound(Keyring):
    """A planted bug: the place is not part of what is sealed."""

    def open_tokens(self, touched: object) -> list[bytes | None]:
        return super().open_tokens(
            Row(0, 0, row.sealed)
            for row in touched  # type: ignore[attr-defined] # rows
        )


def test_a_ring_that_forgets_the_place_is_found_out() -> None:
    """The control: swaps and versions open when nothing binds a secret to its row."""
    ring = Unbound(KEYS)
    rows = [Row(n, 1, ring.seal(b"EAAB", token_place(0, 0))) for n in range(1, 11)]
    assert accepted(ring, swaps(rows)) == (90, 90)
    assert accepted(ring, moves(rows))[1] == 40


async def touched(home: House, change: Callable[[dict[int, Row]], list[Row]]) -> None:
    """Change sealed secrets behind the store's back."""
    columns = (tokens.c.row_id, tokens.c.version, tokens.c.secret)
    async with home.store.database.write() as connection:
        found = await connection.execute(select(*columns).order_by(tokens.c.id))
        rows = {row[0]: Row(*row) for row in found}
        values = [{"key": row.row_id, "new": row.sealed} for row in change(rows)]
        await connection.execute(
            tokens.update()
            .where(tokens.c.row_id == bindparam("key"))
            .values(secret=bindparam("new")),
            values,
        )


def turned(rows: dict[int, Row]) -> list[Row]:
    """Half of the secrets each in the next one's place, of the others one bit."""
    every = list(rows.values())
    half = len(every) // 2
    moved, flipped = every[:half], every[half:]
    following = [*moved[1:], moved[0]]
    return [
        *(Row(a.row_id, 1, b.sealed) for a, b in zip(moved, following, strict=True)),
        *(Row(a.row_id, 1, a.sealed[:-1] + bytes([a.sealed[-1] ^ 1])) for a in flipped),
    ]


def looks(home: House) -> int:
    return sum(home.graph.looks(f"t-{n:03}") for n in range(ROWS))


async def test_touched_secrets_are_unreadable_and_told_to_the_operator_once(
    house: Builder,
) -> None:
    """A hundred of them: nobody is called revoked, no owner hears, Meta neither."""
    home = await house(*(a_token(f"t-{n:03}", f"r{n}@x.example") for n in range(ROWS)))
    await home.check()
    assert looks(home) == ROWS
    before: list[Row] = []

    def keep_and_turn(rows: dict[int, Row]) -> list[Row]:
        before.extend(rows.values())
        return turned(rows)

    await touched(home, keep_and_turn)
    for n in range(ROWS):  # what Meta would say must not matter
        home.graph.set_state(f"t-{n:03}", "revoked")
    await home.checker.check_all()  # all of them at once
    await home.live(8 * HOUR)
    views = [await home.view(f"t-{n:03}") for n in (0, 49, 50, 99)]
    assert {view.inconclusive_cause for view in views} == {Cause.SECRET}
    async with home.store.database.read() as connection:
        query = text(
            "SELECT inconclusive_cause, codes, suspicion, count(*) "
            "FROM health GROUP BY 1, 2, 3"
        )
        found = [tuple(row) for row in await connection.execute(query)]
    assert found == [(Cause.SECRET, "", None, ROWS)]
    assert looks(home) == ROWS
    assert home.owner_letters == []
    (letter,) = home.letters(OPS)
    assert "no configured key opens: 100" in letter.text
    assert Code.REVOKED not in letter.text
    # Put back, all of them are asked about again, and the matter ends.
    for n in range(ROWS):
        home.graph.set_state(f"t-{n:03}", "valid")
    await touched(home, lambda _: before)
    for _ in range(4):
        home.clock.advance(11 * MINUTE)
        await home.check()
        await home.deliver()
    assert (await home.view("t-000")).severity == "ok"
    assert await home.store.reports.open_matters() == []
    assert home.owner_letters == []
    assert len(home.letters(OPS)) == 2
