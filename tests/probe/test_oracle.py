"""Whatever body comes: no exception, and bad news only where a strict oracle agrees.

The oracle stands in a file of its own, `oracle.py`. In CI a hundred thousand bodies
alone and as many in batches; `SOAK=1` judges a million each.
"""

import ast
import json
import os
import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitor.core.tokens import Answer, Cause, Code, Inconclusive, Introspection
from monitor.probe.batch import interpret_batch
from monitor.probe.interpret import OK, interpret
from tests.probe import oracle
from tests.probe.oracle import may_be_bad, oracle_item

SEEDS: Final = [
    json.dumps(json.loads(path.read_text(encoding="utf-8"))["response"])
    for path in sorted((Path(__file__).parent / "payloads").glob("*-dt-*.json"))
]
MUTATIONS: Final = 1_000_000 if os.environ.get("SOAK") else 100_000
STATUSES: Final = (200, 200, 200, 200, 400, 500, 429, 302)
ITEMS: Final = 10
"""In a batch."""


def is_bad(answer: Answer) -> bool:
    """Whether this is news that takes something away."""
    return isinstance(answer, Introspection) and answer.fault is not None


def check(status: int, body: bytes) -> bool:
    """Compare one body with the oracle; whether it was bad news."""
    answer = interpret(status, body)
    bad = is_bad(answer)
    if bad:
        assert may_be_bad(status, body), (status, body)
    else:
        # What is good says so in so many words.
        assert not isinstance(answer, Introspection) or b"true" in body
    return bad


PIECES: Final = [
    *(
        b'"',
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\\",
        b"\x00",
        b"\xff",
        b"\xef\xbb\xbf",
    ),
    *(b"true", b"false", b"null", b"0", b"-1", b"1e999", b"NaN", b"9" * 5000, b"1.0"),
    *(b'"is_valid":false,', b'"is_valid":true,', b'"error":null,', b'"code":190,'),
    *(b'"error":{"code":190},', b'"data":{"is_valid":false},', b"[" * 2000, b"4"),
    *(b'"subcode":458,', b"\\ud800", b" ", b"\xc2\xa0", b'"expires_at":true,', b"190"),
]


def mutated(rng: random.Random, body: bytes) -> bytes:
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        at = rng.randrange(len(body) + 1)
        to = min(len(body), at + rng.choice((0, 0, 1, 1, 2, 5, 20)))
        match rng.randrange(6):
            case 0:
                body = body[:at] + body[to:]
            case 1 | 2:
                body = body[:at] + rng.choice(PIECES) + body[to:]
            case 3:
                body = body[:at] + bytes([rng.randrange(256)]) + body[at + 1 :]
            case 4:
                body = body[:to] + body[at:]
            case _:
                old, new = rng.choice(SWAPS)
                body = body.replace(old, new, 1)
    return body


SWAPS: Final = [
    *(
        (b"true", b"false"),
        (b"false", b"true"),
        (b"false", b"0"),
        (b"false", b'"false"'),
    ),
    *(
        (b"190", b"4"),
        (b"190", b"102"),
        (b"190", b"0"),
        (b"190", b'"190"'),
        (b"190", b""),
    ),
    *(
        (b"error", b"erro"),
        (b"code", b"kode"),
        (b"is_valid", b"valid"),
        (b"data", b"date"),
    ),
    *((b"subcode", b"error_subcode"), (b"false", b"null"), (b"400", b"200")),
]


def mutations(seed: int, count: int) -> Iterator[tuple[int, bytes]]:
    """So many statuses and bodies, the same every time."""
    rng = random.Random(seed)
    seeds = [each.encode() for each in SEEDS]
    for _ in range(count):
        yield rng.choice(STATUSES), mutated(rng, rng.choice(seeds))


def say(capsys: pytest.CaptureFixture[str], what: str, bad: int) -> None:
    with capsys.disabled():
        print(  # noqa: T201 - the figures of the proof
            f"\noracle: {MUTATIONS} {what}: 0 exceptions, {bad} times bad news, all "
            "of it shared by the oracle"
        )


def test_mutated_bodies_are_never_wrongly_bad(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bad = sum(check(status, body) for status, body in mutations(20261123, MUTATIONS))
    assert bad > MUTATIONS // 50  # or the test tests nothing
    say(capsys, "mutated bodies", bad)


def test_mutated_bodies_in_a_batch_mean_what_they_mean_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As Meta spells a batch: cut into pieces, none of them decoded twice."""
    bad = 0
    source = mutations(20261125, MUTATIONS)
    while part := list(islice(source, ITEMS)):
        bodies = [body.decode("utf-8", "replace") for _, body in part]
        codes = [status for status, _ in part]
        items = [
            {"code": code, "headers": [], "body": body}
            for code, body in zip(codes, bodies, strict=True)
        ]
        reading = interpret_batch(200, json.dumps(items).encode(), ITEMS)
        for code, body, answer in zip(codes, bodies, reading.answers, strict=True):
            assert is_bad(answer) is check(code, body.encode())
            bad += is_bad(answer)
    assert bad > MUTATIONS // 50
    say(capsys, "mutated bodies in batches", bad)


def careless(status: int, body: bytes) -> Answer:
    """A planted bug: what is not said to be valid is called bad."""
    try:
        whole = json.loads(body)
        valid = whole["data"]["is_valid"] if status == OK else True
    except (ValueError, KeyError, TypeError, RecursionError):
        return Inconclusive(Cause.UNREADABLE)
    return Introspection(fault=None if valid else Code.INVALID)


def test_a_careless_reader_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the same bodies, and a reader that believes too much."""
    monkeypatch.setitem(globals(), "interpret", careless)
    wrong = 0
    for status, body in mutations(20261123, 2_000):
        try:
            check(status, body)
        except AssertionError:
            wrong += 1
    assert wrong > 20


def test_the_oracle_shares_no_code_with_the_product() -> None:
    tree = ast.parse(Path(oracle.__file__).read_text(encoding="utf-8"))
    names = {
        each.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for each in node.names
    }
    names |= {
        str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
    }
    assert names == {"json", "re", "typing"}


DEAD: Final = '{"data":{"is_valid":false,"error":{"code":190,"subcode":458}%s}}'
HAND: Final[list[bytes]] = [
    b"[" * 100_000,
    b'{"data":' * 20_000,
    *(
        b'{"data":{"is_valid":%s,"error":{"code":190}}}' % value
        for value in (b'"false"', b"0", b"null", b"[]", b"0.0", b"1e999", b"NaN")
    ),
    *(
        (DEAD % f',"expires_at":{value}').encode()
        for value in ("0", "-1", "1e15", "1e999", "Infinity", "NaN", "true", "9" * 5000)
    ),
    b'{"data":{"is_valid":false,"is_valid":true}}',
    b'{"data":{"is_valid":true,"is_valid":false}}',
    b'{"data":{"is_valid":true},"data":{"is_valid":false,"error":{"code":190}}}',
    b'{"data":{"is_valid":false,"error":{"code":190,"code":4}}}',
    b'{"data":{"is_valid":false,"error":{"code":190}},"error":{"code":2}}',
    (DEAD % "").encode("utf-16"),
    b"\xef\xbb\xbf" + (DEAD % "").encode(),
    (DEAD % "").encode() + b"\x00",
    (DEAD % "")[:-1].encode(),
    b'{"data":{"is_valid":false,"error":{"code":190.0}}}',
    b'{"data":{"is_valid":false,"error":{"code":"190"}}}',
    b'{"data":{"is_valid":false,"error":{"code":true}}}',
    b'{"data":{"is_valid":false,"error":[]}}',
    b'{"data":[{"is_valid":false}]}',
    b'{"d\\u0061ta":{"is_valid":false,"error":{"code":190}}}',
]
"""By hand: what broke other readers of JSON."""


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize("body", HAND, ids=range(len(HAND)))
def test_bodies_made_by_hand_are_never_wrongly_bad(status: int, body: bytes) -> None:
    alone = check(status, body)
    assert not alone or status == 200
    text = body.decode("utf-8", "replace")
    reply = json.dumps([{"code": status, "headers": [], "body": text}]).encode()
    (answer,) = interpret_batch(200, reply, 1).answers
    assert not is_bad(answer) or may_be_bad(status, text.encode())
    # And as the reply to a whole batch.
    assert len(interpret_batch(status, body, 3).answers) == 3


def test_a_mutated_batch_is_never_wrongly_bad() -> None:
    """Mutations of the reply around the bodies: bad only where the oracle agrees."""
    rng = random.Random(20261124)
    told = 0
    for _ in range(MUTATIONS // 50):
        bodies = rng.sample(SEEDS, 3)
        reply = json.dumps(
            [{"code": 200, "headers": [], "body": body} for body in bodies],
            separators=rng.choice([(",", ":"), (", ", ": ")]),
        ).encode()
        reply = mutated(rng, reply)
        reading = interpret_batch(200, reply, 3)
        assert len(reading.answers) == 3
        for place, answer in enumerate(reading.answers):
            if is_bad(answer):
                told += 1
                assert oracle_item(reply, place), reply
    assert told > MUTATIONS // 5000


VALUES: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([0, 100, 102, 190, 458, 463, "190", False, 1668613551]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *(
                        "data",
                        "error",
                        "is_valid",
                        "code",
                        "subcode",
                        "message",
                        "type",
                    ),
                    *("scopes", "granular_scopes", "scope", "target_ids", "expires_at"),
                ]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


def wrapped(inner: Any) -> dict[str, Any]:
    return {"data": {"is_valid": False, "error": inner}}


@given(
    st.sampled_from([200, 200, 400, 429, 500, 100, 0]),
    VALUES | VALUES.map(lambda value: {"data": value}) | VALUES.map(wrapped),
)
@example(200, {"data": {"is_valid": False, "error": {"code": False}}})
@settings(max_examples=400, deadline=None, database=None, derandomize=True)
def test_whatever_json_comes_is_never_wrongly_bad(status: int, value: Any) -> None:
    check(status, json.dumps(value).encode())


@given(st.binary(max_size=200), st.integers(0, 60))
@settings(max_examples=200, deadline=None, database=None, derandomize=True)
def test_whatever_bytes_come_a_batch_has_an_answer_for_each(
    body: bytes, asked: int
) -> None:
    reading = interpret_batch(200, body, asked)
    assert len(reading.answers) == asked


def test_the_oracle_knows_the_recorded_deaths() -> None:
    """The oracle agrees with every recording that is bad: it is no rubber stamp."""
    dead = [seed for seed in SEEDS if may_be_bad(200, seed.encode())]
    assert len(dead) == 8
    for seed in SEEDS:
        answer = interpret(200, seed)
        assert is_bad(answer) is (seed in dead)
    answers = [interpret(200, seed) for seed in dead]
    faults = {a.fault for a in answers if isinstance(a, Introspection)}
    assert Code.REVOKED in faults
