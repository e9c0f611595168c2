"""Secrets at rest: what opens them, what never does, and who else holds them."""

import base64
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from monitor.store import Store
from monitor.store.seal import Key, Keyring, SealBrokenError, fingerprint, token_place
from monitor.store.tables import metadata
from tests.store.builders import NOW, a_row, claimed, execute, rows

FIRST, SECOND = Key("k1", b"\x01" * 32), Key("k2", b"\x02" * 32)


class Stored(NamedTuple):
    """A token as a sweep holds it."""

    sealed: bytes
    row_id: int = 7
    version: int = 1


def test_the_first_key_seals_and_every_key_opens() -> None:
    old, both, new = Keyring([FIRST]), Keyring([SECOND, FIRST]), Keyring([SECOND])
    place = token_place(1, 1)
    by_old, by_both = old.seal(b"EAAB", place), both.seal(b"EAAB", place)
    assert both.open(by_old, place) == b"EAAB"
    assert new.open(by_both, place) == b"EAAB"
    with pytest.raises(SealBrokenError):
        new.open(by_old, place)
    with pytest.raises(SealBrokenError):
        old.open(by_both, place)


def test_equal_secrets_never_look_equal() -> None:
    ring = Keyring([FIRST])
    assert len({ring.seal(b"EAAB", b"here") for _ in range(100)}) == 100


def test_no_flipped_bit_opens() -> None:
    ring, random = Keyring([FIRST, SECOND]), Random(20261124)
    place = token_place(7, 1)
    sealed = ring.seal(b"EAAB" * 45, place)
    for _ in range(500):
        torn = bytearray(sealed)
        for _ in range(random.choice([1, 1, 1, 2, 8])):
            torn[random.randrange(len(torn))] ^= 1 << random.randrange(8)
        if bytes(torn) == sealed:
            continue
        with pytest.raises(SealBrokenError):
            ring.open(bytes(torn), place)
        assert ring.open_tokens([Stored(bytes(torn))]) == [None]


def test_no_shortened_seal_opens() -> None:
    ring, place = Keyring([FIRST]), token_place(7, 1)
    sealed = ring.seal(b"EAAB", place)
    for length in range(len(sealed)):
        with pytest.raises(SealBrokenError):
            ring.open(sealed[:length], place)
        assert ring.open_tokens([Stored(sealed[:length])]) == [None]


def test_a_seal_opens_in_its_own_row_and_version_only() -> None:
    ring = Keyring([FIRST])
    places = [(row, version) for row in range(10) for version in (1, 2)]
    places += [(11, 1), (1, 11)]
    for here in places:
        sealed = ring.seal(b"EAAB", token_place(*here))
        opened = []
        for there in places:
            try:
                ring.open(sealed, token_place(*there))
                opened.append(there)
            except SealBrokenError:
                pass
        assert opened == [here]
        found = ring.open_tokens(Stored(sealed, *there) for there in places)
        wanted = [b"EAAB" if there == here else None for there in places]
        assert found == wanted


def test_a_fingerprint_tells_equality_under_one_key_only() -> None:
    assert fingerprint("EAAB", b"k") == fingerprint("EAAB", b"k")
    assert fingerprint("EAAB", b"k") != fingerprint("EAAC", b"k")
    assert fingerprint("EAAB", b"k") != fingerprint("EAAB", b"l")


async def test_swapped_secrets_are_unreadable_and_not_somebody_elses(
    store: Store,
) -> None:
    await store.inventory.import_rows([a_row("a"), a_row("b"), a_row("c")], NOW)
    (sealed,) = (await rows(store, "SELECT secret FROM tokens WHERE id = 'b'"))[0]
    await execute(store, "UPDATE tokens SET secret = :s WHERE id = 'a'", s=sealed)
    await execute(store, "UPDATE tokens SET version = 2 WHERE id = 'b'")
    a, b, c = await claimed(store, "a", "b", "c")
    assert store.inventory.unseal((a, b, c)) == [None, None, b"EAAB-c"]
    assert "EAAB" not in repr(a)


async def everything_in(store: Store, folder: Path) -> bytes:
    """All that is kept: the files of SQLite, every column of PostgreSQL."""
    if store.database.shared:
        dumped = []
        for table in metadata.sorted_tables:
            dumped += await rows(store, f'SELECT "{table.name}"::text FROM {table}')  # noqa: S608
        return repr(dumped).encode()
    files = [path for path in folder.iterdir() if path.is_file()]  # noqa: ASYNC240
    assert {"monitor.db", "monitor.db-wal"} <= {path.name for path in files}
    return b"".join(path.read_bytes() for path in files)


async def test_no_secret_lies_in_the_files_in_any_spelling(
    store: Store, tmp_path: Path
) -> None:
    secrets = [f"EAABcanary{n}{'x' * 40}" for n in range(50)]
    inventory = [a_row(f"t-{n}", token=each) for n, each in enumerate(secrets)]
    await store.inventory.import_rows(inventory, NOW)
    again = [a_row(f"t-{n}", token=f"{each}y") for n, each in enumerate(secrets)]
    await store.inventory.import_rows(again, NOW)
    kept = await everything_in(store, tmp_path)
    assert b"ann@bakery.example" in kept, "the search finds what is there"
    for secret in secrets:
        raw = secret.encode()
        spellings = [raw, raw[4:20], raw.hex().encode(), base64.b64encode(raw)[:40]]
        # Base64 inside other text may begin at each of three places.
        spellings += [
            base64.b64encode(b"x" * shift + raw)[4 : 4 + 36] for shift in (1, 2)
        ]
        for spelling in spellings:
            assert spelling not in kept
