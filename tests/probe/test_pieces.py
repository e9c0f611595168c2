"""A reply cut into pieces says what it says decoded, or is not cut at all."""

import json
import random
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from monitor.core.tokens import Answer, Inconclusive
from monitor.probe.batch import _read_unusual, interpret_batch
from monitor.probe.heard import heard, print_of
from monitor.probe.interpret import interpret
from monitor.probe.pieces import take_apart
from monitor.probe.reading import UnreadableError, read_json

PAYLOADS = Path(__file__).parent / "payloads"
BODIES = [
    json.dumps(json.loads(path.read_text(encoding="utf-8"))["response"])
    for path in sorted(PAYLOADS.iterdir())
]
GOOD = '{"data":{"app_id":"1","is_valid":true,"user_id":"7"}}'
DEAD = '{"data":{"is_valid":false,"error":{"code":190,"subcode":460}}}'
STYLES = ((",", ":"), (", ", ": "))
USAGE = {"name": "X-App-Usage", "value": '{"call_count":2}'}


def item(body: str, code: int = 200, *headers: dict[str, str]) -> dict[str, Any]:
    return {"code": code, "headers": list(headers), "body": body}


def reply_of(*items: Any, style: tuple[str, str] = STYLES[0]) -> bytes:
    return json.dumps(items, separators=style).encode()


def decoded(reply: bytes, asked: int) -> list[Answer] | None:
    """What a reply says if it is read the long way; `None`: nothing at all."""
    try:
        return list(_read_unusual(200, read_json(reply), asked).answers)
    except UnreadableError:
        return None


def test_pieces_say_what_the_decoded_reply_says() -> None:
    rng = random.Random(4)
    for _ in range(300):
        bodies = rng.choices([*BODIES, GOOD, DEAD], k=5)
        codes = rng.choices([200, 400, 500], [8, 1, 1], k=5)
        headers = rng.choices([(), (USAGE,), (USAGE, USAGE)], k=5)
        items = [item(b, c, *h) for b, c, h in zip(bodies, codes, headers, strict=True)]
        for style in STYLES:
            reply = reply_of(*items, style=style)
            known = [
                rng.choice([None, 5, print_of(json.dumps(body).encode())])
                for body in bodies
            ]
            pieces = take_apart(reply, known)
            assert pieces is not None
            assert [each.answer for each in pieces.heard] == decoded(reply, 5)


def test_a_mutated_reply_says_the_same_or_nothing() -> None:
    """One byte is taken, put, doubled or changed anywhere in it."""
    rng = random.Random(5)
    cut = 0
    for _ in range(6_000):
        reply = bytearray(
            reply_of(item(GOOD, 200, USAGE), item(DEAD), style=rng.choice(STYLES))
        )
        place = rng.randrange(len(reply))
        piece = rng.choice(
            [b"", b'"', b"\\", b",", b"}", b'"code":400,', b"\xff", b"u"]
        )
        reply[place : place + rng.randrange(3)] = piece
        pieces = take_apart(bytes(reply), (None, print_of(json.dumps(DEAD).encode())))
        if pieces is not None:
            cut += 1
            answers = [each.answer for each in pieces.heard]
            assert answers == decoded(bytes(reply), 2), bytes(reply)
    assert cut > 1_000


@pytest.mark.parametrize("style", STYLES)
def test_known_words_are_left_unread_and_not_examined(style: tuple[str, str]) -> None:
    spelt = json.dumps(DEAD).encode()
    assert heard(200, spelt).print is None, "examined, it would have been read"
    reply = reply_of(item(DEAD), item(DEAD, 400), item(GOOD), style=style)
    known = (print_of(spelt), print_of(spelt), print_of(spelt))
    pieces = take_apart(reply, known)
    assert pieces is not None
    first, other_status, other_words = pieces.heard
    assert (first.print, first.read) == (known[0], None)
    assert first.answer == interpret(200, DEAD)
    assert isinstance(other_status.answer, Inconclusive)
    assert other_words.print == print_of(json.dumps(GOOD).encode()) != known[2]


def test_the_headers_of_all_items_are_told_once_each_if_they_tell_anything() -> None:
    busy = {"name": "x-app-usage", "value": '{"call_count":99}'}
    other = {"name": "ETag", "value": '"code": "},{"'}
    reply = reply_of(
        item(GOOD, 200, USAGE, other), item(GOOD, 200, USAGE), item(GOOD, 200, busy)
    )
    pieces = take_apart(reply, (None,) * 3)
    assert pieces is not None
    assert pieces.headers == (
        ("X-App-Usage", '{"call_count":2}'),
        ("x-app-usage", '{"call_count":99}'),
    )
    assert interpret_batch(200, reply, 3).headers == pieces.headers


WHOLE = reply_of(item(GOOD), item(DEAD)).decode()


@pytest.mark.parametrize(
    "reply",
    [
        "[]",
        "",
        WHOLE[:-1],
        WHOLE + " ",
        WHOLE.replace('"headers":[],', "", 1).replace('"code":200', '"code":"200"', 1),
        WHOLE.replace('"code":200', '"code":200,"code":200', 1),
        WHOLE.replace('"code":200', '"code":200,"c\\u006fde":400', 1),
        WHOLE.replace('"headers":[]', '"headers":[],"headers":[]', 1),
        WHOLE.replace('"headers":[]', '"more":[]', 1),
        WHOLE.replace('"headers":[]', '"headers":{}', 1),
        WHOLE.replace('"headers":[]', '"headers":[', 1),
        WHOLE.replace("}]", ',"code":400}]'),
        WHOLE.replace("}]", ',"more":"x"}]'),
        WHOLE.replace("is_valid", "is_\\qvalid", 1),
        WHOLE.replace("is_valid", "is_\nvalid", 1),
        reply_of(item(GOOD)).decode(),
        reply_of(item(GOOD), None).decode(),
        reply_of({"body": GOOD, "code": 200}, {"body": GOOD, "code": 200}).decode(),
        reply_of({"code": 200, "body": {"data": {}}}, item(GOOD)).decode(),
    ],
)
def test_what_is_not_spelt_as_meta_does_is_not_cut(reply: str) -> None:
    good, dead = (print_of(json.dumps(body).encode()) for body in (GOOD, DEAD))
    for known in product((None, good), (None, dead)):
        assert take_apart(reply.encode(), known) is None


def test_a_beginning_of_any_length_is_not_kept() -> None:
    """Every item of a batch may bear a header of its own, such as an ETag."""
    tags = [{"name": "ETag", "value": f'"{n:04}"' + "x" * 5_000} for n in range(50)]
    reply = reply_of(*(item(GOOD, 200, tag, USAGE) for tag in tags))
    pieces = take_apart(reply, (None,) * 50)
    assert pieces is not None
    assert pieces.headers == (("X-App-Usage", '{"call_count":2}'),)
