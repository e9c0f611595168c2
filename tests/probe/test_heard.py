"""What was heard: left unread where it may be, and read as ever where it must."""

import json
from pathlib import Path

import pytest

from monitor.core.tokens import Inconclusive
from monitor.probe.batch import interpret_batch
from monitor.probe.heard import heard, print_of, told
from monitor.probe.interpret import interpret

PAYLOADS = Path(__file__).parent / "payloads"
BODIES = [
    json.dumps(json.loads(path.read_text(encoding="utf-8"))["response"], separators=by)
    for path in sorted(PAYLOADS.iterdir())
    for by in ((", ", ": "), (",", ":"))
]
GOOD = '{"data":{"app_id":"1","is_valid":true,"user_id":"7"}}'


def test_whatever_is_left_unread_means_what_it_means_when_read() -> None:
    assert len(BODIES) > 100
    for body in BODIES:
        for status in (200, 400):
            assert heard(status, body).answer == interpret(status, body)


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
    ],
)
def test_only_words_about_the_token_alone_are_left_unread(
    status: int,
    body: str,
    unread: bool,  # noqa: FBT001 - a column of the table
) -> None:
    assert (heard(status, body).print is not None) is unread


def test_equal_words_have_equal_prints_and_others_do_not() -> None:
    first = heard(200, GOOD)
    assert first.print == heard(200, str(GOOD)).print == print_of(GOOD)
    assert first.print != heard(200, GOOD.replace("7", "8")).print
    assert 0 <= print_of(GOOD) < 2**63


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
