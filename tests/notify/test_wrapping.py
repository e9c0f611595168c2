"""Lines of a width, in scripts with and without spaces."""

# ruff: noqa: RUF001 - full-width characters are what this is about

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.notify.wrapping import WIDTH, width, wrap

JAPANESE = (
    "「Bakery North」のFacebookへのアクセスは、2026年11月26日(木) 10:00 CET に終了"
    "します。それまでは、すべてが正常に動作します。Acme Publisherの設定を開き、"
    "Facebookへの再接続を選択してください。ッッッッッッッッッッッッッッッッッッッッッ"
)


def test_japanese_is_broken_between_characters_and_never_within_a_word():
    lines = wrap(JAPANESE)
    assert len(lines) > 3
    assert all(width(line) <= WIDTH for line in lines[:-1])
    assert all(width(line) > WIDTH - 24 for line in lines[:-2])
    for word in ("Bakery", "Publisher", "Facebook", "10:00"):
        assert word in "\n".join(lines)


def test_no_line_begins_with_what_closes_or_ends_with_what_opens():
    for lead in range(80):
        for line in wrap("あ" * lead + "「はい」、そう。" * 9)[1:]:
            assert line[0] not in "」、。"
            assert line[-1] != "「"


def test_steps_hang():
    lines = wrap("漢" * 60, "1. ", "   ")
    assert [line[:3] for line in lines] == ["1. ", "   "]


@given(st.text(alphabet="ab 漢かー。、「」（）-", max_size=300))
def test_nothing_is_lost(text: str):
    line = " ".join(text.split())
    assert "".join(wrap(line)).replace(" ", "") == line.replace(" ", "")


@pytest.mark.parametrize(
    ("text", "columns"), [("abc", 3), ("漢字", 4), ("ｱ", 1), ("é", 1), ("（", 2)]
)
def test_wide_characters_take_two_columns(text: str, columns: int):
    assert width(text) == columns
