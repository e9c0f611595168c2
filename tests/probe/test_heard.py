"""What was heard: left unread where it may be, and read as ever where it must."""

import json
from pathlib import Path

import pytest

from monitor.core.tokens import Cause, Inconclusive
from monitor.probe.batch import interpret_batch
from monitor.probe.heard import Heard, heard, print_of, told
from monitor.probe.interpret import interpret

PAYLOADS = Path(__file__).parent / "payloads"
BODIES = [
    json.dumps(json.loads(path.read_text(encoding="utf-8"))["response"], separators=by)
    for path in sorted(PAYLOADS.iterdir())
    for by in ((", ", ": "), (",", ":"))
]
GOOD = '{"data":{"app_id":"1","is_valid":true,"user_id":"7"}}'

PRINT = 6_944_641_264_743_146_440


def spelt(body: str) -> bytes:
    """A body as it stands in a batch."""
    return json.dumps(body).encode()


def said(status: int, body: str) -> Heard:
    return heard(status, spelt(body))


def test_whatever_is_left_unread_means_what_it_means_when_read() -> None:
    assert len(BODIES) > 100
    for body in BODIES:
        for status in (200, 400):
            assert said(status, body).answer == interpret(status, body)


@pytest.mark.parametrize(
    ("status", "body", "unread"),
    [
        (200, GOOD, True),
        (200, '{"data": {"is_valid": true}}', True),
        (400, GOOD, False),
        (200, '{"error":{"code":4}}', False),
        (200, '{"data":{"is_valid":false,"error":{"code":190}}}', False),
        (200, '{"data":{"is_valid":true},"error":{"code":190}}', False),
        (200, "[]", False),
        (200, '{"data":null}', False),
        (200, '{"data":[]}', False),
        (200, '{"error":null,"data":{"is_valid":true}}', False),
        (200, '{"data":{"is_valid":false,"err\\u006fr":{"code":4}}}', False),
        (200, '{"data":{"application":"caf\\u00e9 \\/"}}', True),
        (201, GOOD, False),
    ],
)
def test_only_words_about_the_token_alone_are_left_unread(
    status: int,
    body: str,
    unread: bool,  # noqa: FBT001 - a column of the table
) -> None:
    assert (said(status, body).print is not None) is unread


def test_a_word_whose_quotes_the_reply_escapes_is_seen_all_the_same() -> None:
    """As PHP's JSON_HEX_QUOT would."""
    hidden = spelt('{"data":{"is_valid":false,"error":{"code":4}}}')
    assert (
        heard(200, hidden.replace(b'\\"error\\"', b"\\u0022error\\u0022")).print is None
    )


def test_what_is_left_unread_is_about_the_token_alone() -> None:
    """Read later, it can neither blame the caller nor tell of a spent quota."""
    odd = ["{}", "[]", "null", "true", "5", '"x"', '{"code":4}', '{"code":190}']
    bodies = [
        f'{{"data":{{{one}"{name}":{value}}}{more}}}'
        for one in ("", '"is_valid":false,', '"is_valid":true,', '"is_valid":1,')
        for name in ("x", "code", "error_subcode", "err\\u006fr", "message")
        for value in odd
        for more in ("", ',"data":null', ',"code":4', ',"err\\u006fr":{"code":4}', ",")
    ]
    unread = [each for each in map(said, [200] * len(bodies), bodies) if each.print]
    assert len(unread) > 100
    for each in [*unread, *(said(200, body) for body in BODIES)]:
        if each.print is not None and isinstance(each.answer, Inconclusive):
            assert each.answer.cause not in {Cause.CALLER, Cause.THROTTLED}


def test_words_are_read_once_and_only_when_asked_for() -> None:
    found = said(200, GOOD)
    assert found.read is None
    assert found.answer is found.answer
    assert found.read is found.answer


def test_what_was_heard_does_not_show_its_words() -> None:
    assert "canary" not in repr(said(200, '{"data":{"x":"canary"}}'))


def test_text_that_is_no_text_has_a_print_and_no_meaning() -> None:
    found = said(200, '{"data":{"is_valid":true,"user_id":"\ud800"}}')
    assert isinstance(found.answer, Inconclusive)


def test_a_print_is_of_the_body_and_of_nothing_around_it() -> None:
    """It is kept for months: no release may make another one."""
    items = [{"code": 200, "headers": [], "body": GOOD}]
    replies = [
        json.dumps(items),
        json.dumps(items, separators=(",", ":")),
        json.dumps(items, indent=1),
        json.dumps([{"headers": [], "body": GOOD, "code": 200}]),
        json.dumps([{"code": 200, "body": GOOD}]),
    ]
    prints = {interpret_batch(200, text.encode(), 1).heard[0].print for text in replies}
    assert prints == {PRINT}


def test_the_same_spelt_otherwise_has_another_print_or_none() -> None:
    plain = json.dumps([{"code": 200, "body": GOOD}])
    for other in (plain.replace("user", "\\u0075ser"), plain.replace("7", "\\u0037")):
        (found,) = interpret_batch(200, other.encode(), 1).heard
        assert found.print != PRINT
        assert found.answer == interpret(200, GOOD)


def test_a_name_that_is_not_ascii_is_left_unread_all_the_same() -> None:
    """Meta escapes such letters inside a body, and the escape once more around it."""
    words = json.dumps({"data": {"is_valid": True, "application": "caf\u00e9"}})
    reading = interpret_batch(
        200, json.dumps([{"code": 200, "body": words}]).encode(), 1
    )
    assert reading.heard[0].print == print_of(spelt(words))


def test_equal_words_have_equal_prints_and_others_do_not() -> None:
    first = said(200, GOOD)
    assert first.print == said(200, str(GOOD)).print == print_of(spelt(GOOD))
    assert first.print != said(200, GOOD.replace("7", "8")).print
    assert 0 <= PRINT < 2**63


def test_what_was_read_at_once_has_no_print() -> None:
    trouble = Inconclusive("transient", "down")  # type: ignore[arg-type]
    assert (told(trouble).print, told(trouble).answer) == (None, trouble)


def test_a_batch_leaves_the_usual_unread_and_reads_the_rest() -> None:
    items = [
        {"code": 200, "body": GOOD},
        None,
        {"code": 400, "body": '{"error":{"code":190,"message":"x"}}'},
    ]
    reading = interpret_batch(200, json.dumps(items).encode(), 3)
    assert [each.print is not None for each in reading.heard] == [True, False, False]
    assert reading.heard[0].answer == interpret(200, GOOD)
