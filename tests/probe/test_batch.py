"""A batch's reply taken apart: order, length, odd entries, and blame of the whole."""

import json
from typing import Any

import pytest

from monitor.core.tokens import Answer, Cause, Code, Inconclusive, Introspection
from monitor.probe.batch import interpret_batch

LIVE = '{"data":{"is_valid":true,"user_id":"%s"}}'
DEAD = '{"data":{"is_valid":false,"error":{"code":190,"subcode":460}}}'
REFUSED = '{"error":{"code":190,"error_subcode":460,"message":"x"}}'
HEADERS = [{"name": "X-App-Usage", "value": '{"call_count":2}'}]
ALIVE = Introspection(user_id="1")
CHANGED = Introspection(Code.PASSWORD_CHANGED)
GIVEN_UP = Inconclusive(Cause.TRANSIENT, "item given up")


def item(body: Any, code: Any = 200, **rest: Any) -> dict[str, Any]:
    return {"code": code, "headers": HEADERS, "body": body, **rest}


def answers(*items: Any, status: int = 200, asked: int | None = None) -> list[Answer]:
    reply = json.dumps(items).encode()
    reading = interpret_batch(status, reply, len(items) if asked is None else asked)
    return list(reading.answers)


def causes(reply: Any, status: int = 200, asked: int = 2) -> list[Cause | None]:
    raw = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
    reading = interpret_batch(status, raw, asked)
    assert len(reading.answers) == asked
    assert reading.trouble in [None, *reading.answers]
    return [getattr(answer, "cause", None) for answer in reading.answers]


def test_answers_come_in_the_order_of_the_questions() -> None:
    bodies = [item(LIVE % n) for n in range(50)]
    wanted = [Introspection(user_id=str(n)) for n in range(50)]
    assert answers(*bodies) == wanted


def test_each_item_is_judged_by_its_own_status() -> None:
    found = answers(item(LIVE % 1), item(DEAD), item(DEAD, 400), item(LIVE % 1, 500))
    assert found[:2] == [ALIVE, CHANGED]
    assert [answer.cause for answer in found[2:] if isinstance(answer, Inconclusive)]
    assert found[2:] == [
        Inconclusive(Cause.UNKNOWN, "item 400, data"),
        Inconclusive(Cause.TRANSIENT, "item 500, data"),
    ]


def test_a_null_entry_was_given_up() -> None:
    assert answers(None, item(DEAD), None) == [GIVEN_UP, CHANGED, GIVEN_UP]
    assert answers(None, item(DEAD, extra=1), None) == [GIVEN_UP, CHANGED, GIVEN_UP]


@pytest.mark.parametrize("asked", [0, 1, 2, 4, 50])
@pytest.mark.parametrize("usual", [True, False])
def test_a_reply_of_another_length_answers_nothing(asked: int, *, usual: bool) -> None:
    """Whose answers are missing cannot be told."""
    entry = item(DEAD) if usual else item(DEAD, extra=1)
    reading = interpret_batch(200, json.dumps([entry] * 3).encode(), asked)
    trouble = Inconclusive(
        Cause.UNREADABLE, f"call 200, 3 answers to {asked} questions"
    )
    assert reading.answers == (trouble,) * asked
    assert reading.trouble == trouble


def test_a_body_that_is_already_an_object_is_read() -> None:
    assert answers(item(json.loads(LIVE % 1)), item(DEAD)) == [ALIVE, CHANGED]


def test_an_object_keyed_by_index_is_read_in_its_order() -> None:
    reply = {"1": item(DEAD), "0": item(LIVE % 1)}
    reading = interpret_batch(200, json.dumps(reply).encode(), 2)
    assert reading.answers == (ALIVE, CHANGED)


@pytest.mark.parametrize(
    "reply",
    [
        {"0": item(DEAD), "2": item(DEAD)},
        {"1": item(DEAD), "2": item(DEAD)},
        {"00": item(DEAD), "1": item(DEAD)},
        {"data": {"is_valid": False}},
        {},
        {"error": None},
        "text",
        5,
        None,
        json.loads(DEAD),
    ],
    ids=repr,
)
def test_what_is_no_list_answers_nothing(reply: Any) -> None:
    assert causes(reply) == [Cause.UNREADABLE] * 2


@pytest.mark.parametrize(
    "entry",
    [
        *({}, [], False, 0, "x", {"body": DEAD}, {"code": 200}, item(None)),
        *(item(DEAD, "200"), item(DEAD, True), item(DEAD, None), item(DEAD, 200.5)),  # noqa: FBT003 - a value of the wire
        *(item([]), item(5), item(""), item("null"), item(json.dumps(DEAD))),
    ],
    ids=repr,
)
def test_an_odd_entry_harms_no_other(entry: Any) -> None:
    assert causes([entry, item(DEAD)]) == [Cause.UNREADABLE, None]


@pytest.mark.parametrize(
    "headers", [None, [], {}, "x", [None], [{"name": 1, "value": "x"}], [{}]], ids=repr
)
def test_odd_headers_harm_no_answer(headers: Any) -> None:
    odd = {"code": 200, "headers": headers, "body": DEAD}
    reading = interpret_batch(200, json.dumps([odd, item(LIVE % 1)]).encode(), 2)
    assert reading.answers == (CHANGED, ALIVE)
    assert reading.headers == (("X-App-Usage", '{"call_count":2}'),)


def test_headers_of_all_items_are_collected_once() -> None:
    other = {"name": "x-app-usage", "value": '{"call_count":99}'}
    entries = [item(DEAD), item(DEAD), item(DEAD) | {"headers": [other]}]
    reading = interpret_batch(200, json.dumps(entries).encode(), 3)
    assert reading.headers == (
        ("X-App-Usage", '{"call_count":2}'),
        ("x-app-usage", '{"call_count":99}'),
    )


def test_the_usage_of_every_item_counts_whatever_else_its_headers_say() -> None:
    """Most headers differ from item to item; only those that tell usage are taken."""
    entries = [
        item(DEAD)
        | {
            "headers": [
                {"name": "ETag", "value": str(n)},
                {"name": "X-Business-Use-Case-Usage", "value": str(n // 20)},
                {"name": "Retry-After", "value": str(n // 30)},
            ]
        }
        for n in range(50)
    ]
    for extra in ({}, {"extra": 1}):
        entries[0] = entries[0] | extra  # the second time it is read the slow way
        reading = interpret_batch(200, json.dumps(entries).encode(), 50)
        assert sorted(reading.headers) == [
            ("Retry-After", "0"),
            ("Retry-After", "1"),
            ("X-Business-Use-Case-Usage", "0"),
            ("X-Business-Use-Case-Usage", "1"),
            ("X-Business-Use-Case-Usage", "2"),
        ]
        assert reading.headers[0] == ("X-Business-Use-Case-Usage", "0")


@pytest.mark.parametrize(
    "reply",
    [
        b'[{"code":400,"code":200,"body":"%s"}]',
        b'[{"code":200,"body":"{}","body":"%s"}]',
        b'[{"code":400,"c\\u006fde":200,"body":"%s"}]',
        b'[{"code":200,"body":"{}","b\\u006fdy":"%s"}]',
    ],
)
def test_an_entry_that_says_a_thing_twice_says_nothing(reply: bytes) -> None:
    dead = DEAD.replace('"', '\\"').encode()
    assert causes(reply % dead, asked=1) == [Cause.UNREADABLE]


def test_a_text_that_looks_like_a_key_is_none() -> None:
    body = json.dumps({"data": {"is_valid": True, "application": '"code" "body"'}})
    entry = {"code": 200, "body": body, "headers": [{"name": "code", "value": "body"}]}
    assert answers(entry) == [Introspection()]


def test_escapes_inside_a_body_are_read() -> None:
    body = '{"data":{"is_valid":true,"application":"caf\\u00e9 \\/","user_id":"1"}}'
    assert answers(item(body)) == [ALIVE]


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"<html>",
        b"[" * 100_000,
        b'[{"code":200,"body":"',
        json.dumps([item(DEAD)] * 2).encode("utf-16"),
        b"\xef\xbb\xbf" + json.dumps([item(DEAD)] * 2).encode(),
        b"9" * 5_000,
        b"NaN",
    ],
    ids=lambda reply: repr(reply)[:20],
)
def test_a_reply_that_is_not_json_is_judged_by_its_status(reply: bytes) -> None:
    assert causes(reply) == [Cause.UNREADABLE] * 2
    assert causes(reply, 502) == [Cause.TRANSIENT] * 2
    assert causes(reply, 429) == [Cause.THROTTLED] * 2
    assert causes(reply, 404) == [Cause.UNREADABLE] * 2


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (201, Cause.UNKNOWN),
        (400, Cause.UNKNOWN),
        (500, Cause.TRANSIENT),
        (429, Cause.THROTTLED),
    ],
)
def test_a_list_counts_with_status_200_only(status: int, cause: Cause) -> None:
    assert causes([item(DEAD)] * 2, status) == [cause] * 2


@pytest.mark.parametrize(
    ("status", "error", "cause"),
    [
        (400, {"code": 190, "error_subcode": 460}, Cause.CALLER),
        (200, {"code": 190, "error_subcode": 460}, Cause.CALLER),
        (401, {"code": 190}, Cause.CALLER),
        (400, {"code": 101}, Cause.CALLER),
        (403, {"code": 4}, Cause.THROTTLED),
        (503, {"code": 2}, Cause.TRANSIENT),
        (
            400,
            {"code": 100, "message": "App_id did not match the Viewing App"},
            Cause.CALLER,
        ),
        (400, {"code": 100, "message": "Invalid parameter"}, Cause.UNKNOWN),
        (400, {"message": "Too many requests in batch message."}, Cause.UNKNOWN),
        (400, "odd", Cause.UNREADABLE),
        (500, {"code": "1"}, Cause.TRANSIENT),
    ],
)
def test_an_error_of_the_whole_call_is_never_about_a_token(
    status: int, error: Any, cause: Cause
) -> None:
    assert causes({"error": error}, status, asked=50) == [cause] * 50


def test_wrong_app_is_said_of_single_items_only() -> None:
    wrong = '{"error":{"code":100,"message":"App_id did not match the Viewing App"}}'
    found = answers(item(wrong, 400), item(LIVE % 1))
    assert found == [Introspection(Code.WRONG_APP), ALIVE]
