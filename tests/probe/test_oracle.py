"""Whatever body comes: no exception, and bad news only where a strict oracle agrees.

The oracle is written from the design's one sentence and shares no code with the
probe: it walks the text by itself, character by character.
"""

import json
import random
import re
from pathlib import Path
from typing import Any, Final

from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitor.core.tokens import Code, Introspection
from monitor.probe.batch import interpret_batch
from monitor.probe.interpret import interpret

SEEDS: Final = [
    json.dumps(json.loads(path.read_text(encoding="utf-8"))["response"])
    for path in sorted((Path(__file__).parent / "payloads").glob("*-dt-*.json"))
]
MUTATIONS: Final = 20_000


class No(Exception):  # noqa: N818 - an answer, not an error
    """The text is not JSON as the oracle takes it."""


TOKEN: Final = re.compile(
    r'[ \t\n\r]*(?:([{}\[\],:])|(true|false|null)|("(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]'
    r"|u[0-9a-fA-F]{4}))*\")|(-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?))"
)


class Parser:
    """A JSON parser that keeps every pair, so that nothing said twice is lost."""

    def __init__(self, text: str) -> None:
        self.tokens = []
        place = 0
        end = len(text.rstrip(" \t\n\r"))
        while place < end:
            match = TOKEN.match(text, place)
            if match is None:
                raise No
            self.tokens.append(match)
            place = match.end()
        self.at = 0

    def take(self) -> re.Match[str]:
        if self.at >= len(self.tokens):
            raise No
        self.at += 1
        return self.tokens[self.at - 1]

    def peek(self) -> str:
        return self.tokens[self.at][0].strip() if self.at < len(self.tokens) else ""

    def whole(self) -> Any:
        value = self.value()
        if self.at != len(self.tokens):
            raise No
        return value

    def value(self) -> Any:
        token = self.take()
        mark, word, text, number, fraction, exponent = token.groups()
        if text is not None:
            return json.loads(text)
        if number is not None:
            return "a float" * 9 if fraction or exponent else int(number[:4000])
        if word is not None:
            return {"true": True, "false": False, "null": None}[word]
        if mark == "{":
            return self.pairs()
        if mark == "[":
            return self.items()
        raise No

    def pairs(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self.peek() == "}":
            self.take()
            return found
        while True:
            key = self.value()
            if not isinstance(key, str) or key in found or self.take()[1] != ":":
                raise No
            found[key] = self.value()
            mark = self.take()[1]
            if mark == "}":
                return found
            if mark != ",":
                raise No

    def items(self) -> list[Any]:
        found: list[Any] = []
        if self.peek() == "]":
            self.take()
            return found
        while True:
            found.append(self.value())
            mark = self.take()[1]
            if mark == "]":
                return found
            if mark != ",":
                raise No


def may_be_bad(status: int, body: bytes) -> bool:
    """Whether bad news is allowed at all, by the design's sentence."""
    try:
        whole = Parser(body.decode("utf-8")).whole()
    except (No, UnicodeDecodeError, RecursionError):
        return False
    if not isinstance(whole, dict):
        return False
    data, error = whole.get("data"), whole.get("error")
    if data is None and isinstance(error, dict):
        return 400 <= status < 500 and is_about_another_app(error)
    return (
        status == 200
        and error is None
        and isinstance(data, dict)
        and data.get("is_valid") is False
        and is_of_a_session(data.get("error"))
    )


def is_about_another_app(error: dict[str, Any]) -> bool:
    words = " ".join(str(error.get("message", "")).lower().split())
    return error.get("code") == 100 and "did not match the viewing app" in words


def is_of_a_session(error: Any) -> bool:
    if error is None:
        return True
    code = error.get("code") if isinstance(error, dict) else "none"
    return (
        isinstance(code, int) and not isinstance(code, bool) and code in {0, 102, 190}
    )


def check(status: int, body: bytes) -> bool:
    """Compare one body with the oracle; whether it was bad news."""
    answer = interpret(status, body)
    bad = isinstance(answer, Introspection) and answer.fault is not None
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


def test_mutated_bodies_are_never_wrongly_bad() -> None:
    """Twenty thousand of them, the same every time, alone and in a batch."""
    rng = random.Random(20261123)
    seeds = [seed.encode() for seed in SEEDS]
    statuses = (200, 200, 200, 200, 400, 500, 429, 302)
    bad = 0
    for _ in range(MUTATIONS):
        body = mutated(rng, rng.choice(seeds))
        status = rng.choice(statuses)
        bad += check(status, body)
    assert bad > MUTATIONS // 50  # or the test tests nothing


def test_a_mutated_batch_is_never_wrongly_bad() -> None:
    """Mutations of the reply around the bodies: bad only where the oracle agrees."""
    rng = random.Random(20261124)
    told = 0
    for _ in range(MUTATIONS // 10):
        bodies = rng.sample(SEEDS, 3)
        reply = json.dumps(
            [{"code": 200, "headers": [], "body": body} for body in bodies],
            separators=rng.choice([(",", ":"), (", ", ": ")]),
        ).encode()
        reply = mutated(rng, reply)
        reading = interpret_batch(200, reply, 3)
        assert len(reading.answers) == 3
        for place, answer in enumerate(reading.answers):
            if isinstance(answer, Introspection) and answer.fault is not None:
                told += 1
                assert oracle_item(reply, place), reply
    assert told > MUTATIONS // 1000


def oracle_item(reply: bytes, place: int) -> bool:
    items = Parser(reply.decode()).whole()
    if isinstance(items, dict):
        items = [items[str(number)] for number in range(len(items))]
    body = items[place]["body"]
    text = body if isinstance(body, str) else json.dumps(body)
    return may_be_bad(items[place]["code"], text.encode("utf-8", "surrogatepass"))


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
        bad = isinstance(answer, Introspection) and answer.fault is not None
        assert bad is (seed in dead)
    answers = [interpret(200, seed) for seed in dead]
    faults = {a.fault for a in answers if isinstance(a, Introspection)}
    assert Code.REVOKED in faults
