"""Single bodies: what makes an answer good, bad or inconclusive, and odd values."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from monitor.core.tokens import Cause, Code, Inconclusive, Introspection
from monitor.probe.interpret import interpret

DEAD = {"is_valid": False, "error": {"code": 190, "subcode": 460}}
DEAD_BODY = json.dumps({"data": DEAD})
LIVE_BODY = '{"data":{"is_valid":true}}'


def data(**fields: Any) -> str:
    return json.dumps({"data": {"is_valid": True, **fields}})


def dead(error: Any, **fields: Any) -> str:
    return json.dumps({"data": {"is_valid": False, "error": error, **fields}})


def cause(status: int, body: bytes | str) -> Cause | None:
    answer = interpret(status, body)
    return answer.cause if isinstance(answer, Inconclusive) else None


def known(body: str) -> Introspection:
    answer = interpret(200, body)
    assert isinstance(answer, Introspection)
    return answer


NOT_JSON = {
    "nothing": b"",
    "white space": b" \n",
    "HTML": b"<!DOCTYPE html><html><title>Facebook | Error</title></html>",
    "a cut body": DEAD_BODY[:-1].encode(),
    "two values": (DEAD_BODY * 2).encode(),
    "UTF-16": DEAD_BODY.encode("utf-16"),
    "UTF-16 without a mark": DEAD_BODY.encode("utf-16-le"),
    "a byte order mark": b"\xef\xbb\xbf" + DEAD_BODY.encode(),
    "broken UTF-8": DEAD_BODY.encode().replace(b"460", b'460,"message":"\xff"'),
    "surrogates in UTF-8": b'{"data":{"is_valid":false,"application":"\xed\xa0\x80"}}',
    "endless nesting": b"[" * 100_000,
    "deep nesting inside": b'{"data":{"is_valid":false,"x":%s}}'
    % (b"[" * 50_000 + b"]" * 50_000),
    "an endless number": b'{"data":{"is_valid":false,"x":%s}}' % (b"9" * 5_000),
    "NaN": b'{"data":{"is_valid":false,"expires_at":NaN}}',
    "infinity": b'{"data":{"is_valid":false,"expires_at":-Infinity}}',
    "a key twice": b'{"data":{"is_valid":true,"is_valid":false}}',
    "a key twice, once escaped": b'{"data":{"is_valid":true,"is_vali\\u0064":false}}',
    "data twice": b'{"data":{"is_valid":true},"data":{"is_valid":false}}',
    "a control character": b'{"data":{"is_valid":false,"type":"\x01"}}',
    "a trailing comma": b'{"data":{"is_valid":false,}}',
    "Python": str({"data": DEAD}).encode(),
}


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON)
def test_what_is_not_strictly_json_is_unreadable(body: bytes) -> None:
    assert cause(200, body) is Cause.UNREADABLE


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON)
def test_the_status_tells_what_such_a_body_does_not(body: bytes) -> None:
    assert cause(503, body) is Cause.TRANSIENT
    assert cause(429, body) is Cause.THROTTLED
    assert cause(400, body) is Cause.UNREADABLE


@pytest.mark.parametrize(
    "body",
    [
        *("null", "true", "0", '"data"', "[]", "{}", f"[{DEAD_BODY}]"),
        *('{"data":null}', '{"data":[]}', '{"data":"x"}', '{"data":0}'),
        *('{"data":{}}', '{"data":{"is_valid":null}}'),
        *('{"data":{"is_valid":0}}', '{"data":{"is_valid":"false"}}'),
        *('{"data":{"is_valid":[]}}', '{"data":{"is_valid":0.0}}'),
        *('{"data":{"is_valid":1}}', '{"data":{"is_valid":"true"}}'),
        *('{"error":"invalid"}', '{"error":[]}', '{"error":0}', '{"error":false}'),
        *('{"error_code":190,"error_msg":"x"}', '{"code":190,"message":"x"}'),
        '{"error":{"code":"190","message":"expired"}}',
        '{"error":{"code":100,"message":["did not match the Viewing App"]}}',
        dead("expired"),
        dead([]),
        dead(0),
        dead(False),  # noqa: FBT003 - a value of the wire
        dead({"code": "190", "subcode": 460}),
        dead({"code": 190.0, "subcode": 460}),
        dead({"code": True}),
        dead({"code": 190, "subcode": "460"}),
        dead({"code": 190, "subcode": True}),
        dead({"code": 190, "message": 5}),
    ],
)
def test_what_has_another_shape_is_unreadable(body: str) -> None:
    assert cause(200, body) is Cause.UNREADABLE


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        (201, Cause.UNKNOWN),
        (206, Cause.UNKNOWN),
        (302, Cause.UNKNOWN),
        (400, Cause.UNKNOWN),
        (401, Cause.UNKNOWN),
        (429, Cause.THROTTLED),
        (500, Cause.TRANSIENT),
        (0, Cause.UNKNOWN),
        (-1, Cause.UNKNOWN),
    ],
)
@pytest.mark.parametrize("body", [DEAD_BODY, LIVE_BODY], ids=["dead", "alive"])
def test_data_counts_with_status_200_only(
    status: int, wanted: Cause, body: str
) -> None:
    assert cause(status, body) is wanted


def test_a_token_is_dead_when_the_issuer_says_so() -> None:
    assert interpret(200, DEAD_BODY) == Introspection(Code.PASSWORD_CHANGED)
    assert interpret(200, DEAD_BODY.encode()) == Introspection(Code.PASSWORD_CHANGED)


@pytest.mark.parametrize("error", [None, {"code": 190}, {"code": 102}, {"code": 0}])
def test_a_death_without_a_reason_is_a_death(error: Any) -> None:
    assert interpret(200, dead(error)) == Introspection(Code.INVALID)


def test_an_absent_error_is_as_good_as_a_null_one() -> None:
    body = '{"data":{"is_valid":false}}'
    assert interpret(200, body) == Introspection(Code.INVALID)


@pytest.mark.parametrize(
    "error",
    [
        {},
        {"subcode": 460},
        {"code": None, "subcode": 460},
        {"message": "Session has expired"},
    ],
)
def test_an_error_without_a_code_is_unknown(error: Any) -> None:
    answer = interpret(200, dead(error))
    assert answer == Inconclusive(Cause.UNKNOWN, "data 200, error without a code")


@pytest.mark.parametrize("code", [1, 2, 4, 17, 100, 200, 10**4000])
def test_a_death_with_a_code_that_is_not_listed_is_unknown(code: int) -> None:
    assert cause(200, dead({"code": code, "subcode": 460})) is Cause.UNKNOWN


@pytest.mark.parametrize("error", [{}, {"code": 190}, "odd", []], ids=str)
def test_a_living_token_with_an_error_is_unknown(error: Any) -> None:
    answer = interpret(200, data(error=error))
    assert answer == Inconclusive(Cause.UNKNOWN, "item 200, valid and yet an error")


def test_data_beside_an_error_is_unknown() -> None:
    body = json.dumps({"data": DEAD, "error": {"code": 190}})
    assert cause(200, body) is Cause.UNKNOWN


def test_a_null_error_beside_data_says_nothing() -> None:
    assert interpret(200, '{"data":{"is_valid":true},"error":null}').alive  # type: ignore[union-attr] # or the test fails


@pytest.mark.parametrize(
    "error",
    [
        {"code": 190, "error_subcode": 463},
        {"code": 190, "subcode": 0, "error_subcode": 463},
        {"code": 190, "subcode": None, "error_subcode": 463},
        {"code": 190, "subcode": 0, "message": "SESSION  has\n\u00a0Expired on"},
        {"code": 190, "subcode": 2069032, "message": "Session has expired"},
        {"code": 190, "subcode": -463, "message": "Session has expired"},
        {"code": 102, "subcode": 463, "message": "malformed"},
    ],
)
def test_a_subcode_is_found_where_it_stands_else_the_text_is_read(error: Any) -> None:
    assert interpret(200, dead(error)) == Introspection(Code.EXPIRED)


def test_a_text_is_read_up_to_a_bound() -> None:
    far = {"code": 190, "message": "x" * 5_000 + " session has expired"}
    assert interpret(200, dead(far)) == Introspection(Code.INVALID)


def test_the_text_about_another_app_is_read_loosely() -> None:
    message = "(#100) The App_id in the input_token DID  not\tmatch the viewing app!"
    body = json.dumps({"error": {"code": 100, "error_subcode": 33, "message": message}})
    assert interpret(400, body) == Introspection(Code.WRONG_APP)


@pytest.mark.parametrize(
    "value", [True, False, 1.5, 137.0, [], {}, -1, 10**64, "x" * 65, "a\x00b", "\ud800"]
)
@pytest.mark.parametrize("name", ["app_id", "user_id", "profile_id"])
def test_an_id_that_is_none_makes_the_answer_unreadable(name: str, value: Any) -> None:
    assert cause(200, data(**{name: value})) is Cause.UNREADABLE
    assert cause(200, dead(None, **{name: value})) is Cause.UNREADABLE


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("123", "123"),
        (123, "123"),
        (2**53 + 1, "9007199254740993"),
        (10**63, "1" + "0" * 63),
        ("x" * 64, "x" * 64),
        ("", None),
        (None, None),
    ],
    ids=repr,
)
@pytest.mark.parametrize("name", ["app_id", "user_id", "profile_id"])
def test_an_id_is_text_whatever_it_came_as(
    name: str, value: Any, wanted: str | None
) -> None:
    assert getattr(known(data(**{name: value})), name) == wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [("PAGE", "page"), ("NEW_Kind", "new_kind"), ("", None), (None, None)],
)
def test_a_kind_is_kept_in_lower_case(value: Any, wanted: str | None) -> None:
    assert known(data(type=value)).kind == wanted


@pytest.mark.parametrize("value", [1, True, ["USER"], "\ud800", "x" * 65])
def test_a_kind_that_is_no_name_makes_the_answer_unreadable(value: Any) -> None:
    assert cause(200, data(type=value)) is Cause.UNREADABLE


DATES = ["issued_at", "expires_at", "data_access_expires_at"]


@pytest.mark.parametrize("name", DATES)
@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (1668613551, datetime(2022, 11, 16, 15, 45, 51, tzinfo=UTC)),
        (1, datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)),
        (253370764799, datetime(9998, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (0, None),
        (None, None),
    ],
)
def test_a_date_is_utc_and_nought_is_never(
    name: str, value: Any, wanted: datetime | None
) -> None:
    assert getattr(known(data(**{name: value})), name) == wanted


@pytest.mark.parametrize("name", DATES)
@pytest.mark.parametrize(
    "value",
    [
        *("true", "false", "-1", "1.5", "1668613551.0", "1e15", "1e999", "-1e999"),
        *("253370764800", "253402300800", "1668613551000", "9" * 4000),
        *('"1668613551"', '""', "[]", "{}"),
    ],
    ids=lambda value: value[:14],
)
@pytest.mark.parametrize("valid", ["true", "false"])
def test_an_absurd_date_makes_the_answer_unreadable(
    name: str, value: str, valid: str
) -> None:
    body = f'{{"data":{{"is_valid":{valid},"{name}":{value}}}}}'
    assert cause(200, body) is Cause.UNREADABLE


def test_scopes_are_kept_in_order_and_once() -> None:
    assert known(data(scopes=["b", "a", "b"])).scopes == ("b", "a")
    assert known(data(scopes=[])).scopes == ()
    assert known(data(scopes=None)).scopes is None
    assert known(data()).scopes is None
    assert known(data(scopes=["x" * 200])).scopes == ("x" * 200,)
    assert len(known(data(scopes=[str(n) for n in range(1000)])).scopes or ()) == 1000


@pytest.mark.parametrize(
    "value",
    [
        *("email", {}, 0, True, [1], [None], [["a"]], [""], ["x" * 201], ["\ud800"]),
        [str(n) for n in range(1001)],
    ],
    ids=lambda value: repr(value)[:20],
)
def test_scopes_of_another_shape_make_the_answer_unreadable(value: Any) -> None:
    assert cause(200, data(scopes=value)) is Cause.UNREADABLE


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (None, {}),
        ([], {}),
        ([{"scope": "a"}], {}),
        ([{"scope": "a", "target_ids": []}], {}),
        ([{"scope": "a", "target_ids": None}], {}),
        (
            [{"scope": "a", "target_ids": [17841400000000001]}],
            {"a": ("1784140" + "0" * 9 + "1",)},
        ),
        ([{"scope": "a", "target_ids": ["1", 2, "1"], "new": {}}], {"a": ("1", "2")}),
        (
            [{"scope": "a", "target_ids": ["1"]}, {"scope": "a", "target_ids": ["2"]}],
            {"a": ("1", "2")},
        ),
        ([{"scope": "a", "target_ids": ["1"]}, {"scope": "a"}], {}),
        ([{"scope": "a"}, {"scope": "a", "target_ids": ["1"]}], {}),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_targets_are_limits_and_no_limit_is_left_out(value: Any, wanted: Any) -> None:
    assert known(data(granular_scopes=value)).targets == wanted


MANY = [{"scope": str(n), "target_ids": ["1"] * 5_001} for n in range(2)]


@pytest.mark.parametrize(
    "value",
    [
        *("a", {}, 1, ["a"], [None], [{}], [{"scope": 1}], [{"scope": ""}]),
        [{"scope": "a", "target_ids": "1"}],
        [{"scope": "a", "target_ids": {}}],
        [{"scope": "a", "target_ids": [None]}],
        [{"scope": "a", "target_ids": [""]}],
        [{"scope": "a", "target_ids": [1.0]}],
        [{"scope": "a", "target_ids": [True]}],
        [{"scope": "a"}] * 1001,
        MANY,
    ],
    ids=lambda value: repr(value)[:40],
)
def test_targets_of_another_shape_make_the_answer_unreadable(value: Any) -> None:
    assert cause(200, data(granular_scopes=value)) is Cause.UNREADABLE


def test_unknown_keys_and_odd_values_in_them_are_ignored() -> None:
    body = data(application="\ud800\u0000", metadata=[1, {"a": 1e300}], new=2**2000)
    assert known(body) == Introspection()


@pytest.mark.parametrize(
    ("status", "body", "detail"),
    [
        (400, '{"error":{"code":100,"error_subcode":33}}', "item 400, error 100/33"),
        (403, '{"error":{"code":4}}', "item 403, error 4"),
        (400, '{"error":{"message":"of code 7"}}', "item 400, error none"),
        (200, dead({"code": 10, "subcode": 5}), "data 200, error 10/5"),
        (200, dead({"code": 10**11}), "data 200, error beyond reason"),
        (200, "<html>", "item 200, not JSON"),
        (200, "[]", "item 200, no object"),
        (200, "{}", "item 200, no data"),
        (200, '{"data":{}}', "item 200, is_valid of a wrong type"),
        (200, data(expires_at=-1), "item 200, expires_at is no date"),
        (404, LIVE_BODY, "item 404, data"),
    ],
)
def test_a_detail_names_codes_and_shapes(status: int, body: str, detail: str) -> None:
    answer = interpret(status, body)
    assert isinstance(answer, Inconclusive)
    assert answer.detail == detail


def test_no_detail_repeats_what_came_over_the_wire() -> None:
    canary = "EAAGcanary0123456789"
    bodies = [
        json.dumps({"error": {"code": 190, "message": canary, "type": canary}}),
        json.dumps({"error": canary}),
        dead({"code": 1, "message": canary}),
        dead(canary),
        data(app_id=[canary], type=canary * 9, scopes=canary),
        data(expires_at=canary),
        data(scopes=[canary * 20]),
        canary,
    ]
    for body in bodies:
        answer = interpret(200, body)
        assert isinstance(answer, Inconclusive)
        assert canary[4:10] not in repr(answer)
