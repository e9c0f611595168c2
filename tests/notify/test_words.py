"""Dates as the reader's calendar has them, in his zone, with its name."""

from datetime import UTC, datetime, timedelta
from email.header import decode_header, make_header
from pathlib import Path

import pytest
from babel import Locale

from monitor.notify.headers import fold, mailbox_line, message_ids, unstructured
from monitor.notify.safe import clean, safe_url
from monitor.notify.templates import built_in
from monitor.notify.words import (
    Calendar,
    Vocabulary,
    babel_locale,
    locale_chain,
    zone_named,
)

ENGLISH = built_in() / "en" / "words.txt"
WORDS = Vocabulary.read(ENGLISH.read_text(encoding="utf-8"), Locale("en"))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def a_calendar(now: str, zone: str = "Europe/Berlin") -> Calendar:
    return Calendar(WORDS, babel_locale("en"), zone_named(zone), at(now))


@pytest.mark.parametrize(
    ("now", "zone", "then", "full"),
    [
        # now and then in UTC                 as the reader has it
        ("2026-11-23 08:00", "Europe/Berlin", "2026-11-26 08:00",
         "Thu 26 Nov 2026, 09:00 CET (in 3 days)"),
        ("2026-11-23 08:00", "UTC", "2026-11-23 08:00",
         "Mon 23 Nov 2026, 08:00 UTC (today)"),
        # a day is a calendar day: two minutes ahead, yet tomorrow
        ("2026-11-23 22:59", "Europe/Berlin", "2026-11-23 23:01",
         "Tue 24 Nov 2026, 00:01 CET (tomorrow)"),
        ("2026-11-23 23:01", "Europe/Berlin", "2026-11-23 22:59",
         "Mon 23 Nov 2026, 23:59 CET (yesterday)"),
        # nearly two days ahead, yet tomorrow
        ("2026-11-22 23:01", "Europe/Berlin", "2026-11-24 22:59",
         "Tue 24 Nov 2026, 23:59 CET (tomorrow)"),
        ("2026-11-23 08:00", "UTC", "2026-11-20 08:00",
         "Fri 20 Nov 2026, 08:00 UTC (3 days ago)"),
        # the hour that comes twice, and the one that never comes
        ("2026-10-24 12:00", "Europe/Berlin", "2026-10-25 00:30",
         "Sun 25 Oct 2026, 02:30 CEST (tomorrow)"),
        ("2026-10-24 12:00", "Europe/Berlin", "2026-10-25 01:30",
         "Sun 25 Oct 2026, 02:30 CET (tomorrow)"),
        ("2027-03-27 12:00", "Europe/Berlin", "2027-03-28 01:30",
         "Sun 28 Mar 2027, 03:30 CEST (tomorrow)"),
        # leap day
        ("2028-02-28 12:00", "UTC", "2028-03-01 12:00",
         "Wed 1 Mar 2028, 12:00 UTC (in 2 days)"),
        ("2028-02-28 12:00", "UTC", "2028-02-29 12:00",
         "Tue 29 Feb 2028, 12:00 UTC (tomorrow)"),
        # two weeks are fourteen days
        ("2026-11-23 08:00", "UTC", "2026-12-07 08:00",
         "Mon 7 Dec 2026, 08:00 UTC (in 14 days)"),
        ("2026-11-23 08:00", "UTC", "2027-12-07 08:00",
         "Tue 7 Dec 2027, 08:00 UTC (in 379 days)"),
        # zones without a name of letters, and on the other side of the date line
        ("2026-11-23 08:00", "America/Sao_Paulo", "2026-11-23 08:00",
         "Mon 23 Nov 2026, 05:00 UTC-03:00 (today)"),
        ("2026-11-23 08:00", "Asia/Kathmandu", "2026-11-23 08:00",
         "Mon 23 Nov 2026, 13:45 UTC+05:45 (today)"),
        ("2026-11-23 12:00", "Pacific/Auckland", "2026-11-23 10:30",
         "Mon 23 Nov 2026, 23:30 NZDT (yesterday)"),
        # not a zone: UTC
        ("2026-11-23 08:00", "Mars/Olympus", "2026-11-23 08:00",
         "Mon 23 Nov 2026, 08:00 UTC (today)"),
        ("2026-11-23 08:00", "../../etc/passwd", "2026-11-23 08:00",
         "Mon 23 Nov 2026, 08:00 UTC (today)"),
        ("2026-11-23 08:00", "Europe", "2026-11-23 08:00",
         "Mon 23 Nov 2026, 08:00 UTC (today)"),
        ("2026-11-23 08:00", "", "2026-11-23 08:00",
         "Mon 23 Nov 2026, 08:00 UTC (today)"),
        # the ends of the calendar
        ("2026-11-23 08:00", "Europe/Berlin", "9999-12-31 23:59",
         "Fri 31 Dec 9999, 23:59 UTC (in 2912116 days)"),
    ],
)  # fmt: skip
def test_a_moment_in_full(now: str, zone: str, then: str, full: str):
    assert a_calendar(now, zone).moment(at(then))["full"] == full


@pytest.mark.parametrize(
    ("then", "left"),
    [
        ("2026-11-26 08:00", "3 days"),
        ("2026-11-25 08:00", "2 days"),
        ("2026-11-25 07:59", "2 days"),
        ("2026-11-24 08:00", "24 hours"),
        ("2026-11-24 07:59", "23 hours"),
        ("2026-11-23 09:00", "1 hour"),
        ("2026-11-23 08:59", "59 minutes"),
        ("2026-11-23 08:00", "1 minute"),
    ],
)
def test_what_is_left(then: str, left: str):
    moment = a_calendar("2026-11-23 08:00").moment(at(then))
    assert moment["left"] == left
    assert moment["past"] is (then == "2026-11-23 08:00")


def test_what_is_left_never_says_more_than_there_is_by_a_day():
    now = at("2026-11-23 08:00")
    calendar = a_calendar("2026-11-23 08:00")
    for hours in range(1, 24 * 20):
        text = calendar.moment(now + timedelta(hours=hours))["left"]
        number, unit = str(text).split()
        told = int(number) * (24 if unit.startswith("day") else 1)
        assert hours - 24 <= told < hours + 24


def test_the_day_says_its_year_if_that_is_another():
    calendar = a_calendar("2026-12-30 08:00")
    assert calendar.moment(at("2026-12-31 08:00"))["day"] == "Thu 31 Dec"
    assert calendar.moment(at("2027-01-02 08:00"))["day"] == "Sat 2 Jan 2027"


def test_names_are_listed_with_a_count_of_the_others():
    calendar = a_calendar("2026-11-23 08:00")
    assert calendar.listed(["a"]) == "a"
    assert calendar.listed(["a", "b"]) == "a and b"
    assert calendar.listed(["a", "b", "c"]) == "a, b, and c"
    assert calendar.listed(["a", "b", "c", "d", "e"]) == "a, b, c, and 2 more"


@pytest.mark.parametrize(
    ("tag", "chain"),
    [
        ("fr-CA", ("fr-CA", "fr", "en")),
        ("zh-Hant-TW", ("zh-Hant-TW", "zh-Hant", "zh", "en")),
        ("en-GB", ("en-GB", "en")),
        ("EN", ("en",)),
        ("", ("en",)),
        ("../..", ("en",)),
        ("a", ("en",)),
        ("en\n", ("en",)),
    ],
)
def test_languages_to_try(tag: str, chain: tuple[str, ...]):
    assert locale_chain(tag) == chain


def test_what_babel_does_not_know_is_english():
    assert str(babel_locale("qq")) == "en"
    assert str(babel_locale("")) == "en"


def test_a_permission_in_words():
    assert WORDS.scope("pages_manage_posts") == "publish posts"
    full = WORDS.scope_in_full("pages_manage_posts")
    assert full == "publish posts (pages_manage_posts)"
    assert WORDS.scope("something_new") == "something_new"
    assert WORDS.scope_in_full("something\nnew") == "something new"


def test_a_phrase_reads_no_value_again():
    assert WORDS.say("named", name="{id} {name}") == '"{id} {name}"'


# --- safe -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://app.acme.example/connect?token=x", True),
        ("https://app.acme.example:8443/", True),
        ("http://127.0.0.1:8080/connect", True),
        ("http://localhost/", True),
        ("http://[::1]:8080/", True),
        ("http://app.acme.example/", False),
        ("javascript:alert(1)", False),
        ("https://app.acme.example@elsewhere.example/", False),
        ("https:///connect", False),
        ("https://app.acme.example/a b", False),
        ('https://app.acme.example/"x', False),
        ("https://app.acme.example/<x>", False),
        ("https://äcme.example/", False),
        ("https://app.acme.example:port/", False),
        ("https://[::1/", False),
        ("https://x/" + "x" * 2000, False),
        ("", False),
    ],
)
def test_where_a_reader_may_be_sent(url: str, safe: bool):  # noqa: FBT001
    assert (safe_url(url) is not None) is safe


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("  a \t b\n", "a b"),
        ("a\u200db\u200cc", "a\u200db\u200cc"),
        ("a\u202eb\ufeff", "ab"),
        ("\ud800", "\ufffd"),
        ("x" * 201, "x" * 199 + "…"),
        ("x" * 200, "x" * 200),
        ("a IGQVJYabcdefghijklmnopqrstu b", "a (hidden) b"),
    ],
)
def test_cleaning(text: str, cleaned: str):
    assert clean(text) == cleaned


# --- header lines ---------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "plain words",
        "[Acme] " + "Bäckerei " * 11,
        "パン屋" * 30,
        "=?utf-8?q?x?=",
        "x" * 100,
        "a " * 50,
    ],
)
def test_a_free_text_survives_its_encoding(text: str):
    text = text.strip()
    line = unstructured("Subject", text)
    assert str(make_header(decode_header(line.replace("\n ", " ")))) == text
    for written in f"Subject: {line}".split("\n"):
        assert len(written) <= 78 or "=?" not in written
    assert "?==?" not in line  # cpython#144156


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("", "a@b.example"),
        ("Acme", '"Acme" <a@b.example>'),
        ('A "b" \\', '"A \\"b\\" \\\\" <a@b.example>'),
        ("Bäckerei", "=?utf-8?b?QsOkY2tlcmVp?=\n <a@b.example>"),
        ("=?x?=", "=?utf-8?b?PT94Pz0=?=\n <a@b.example>"),
    ],
)
def test_a_mailbox_line(name: str, line: str):
    assert mailbox_line("From", name, "a@b.example") == line


def test_long_lists_are_folded_between_their_words():
    words = [f"I-{number:06}" for number in range(100)]
    line = fold("X-Token-Monitor-Incident", words)
    assert line.split() == words
    assert max(map(len, f"X-Token-Monitor-Incident: {line}".split("\n"))) <= 76


def test_ten_references_at_most_and_only_such_as_are_ids():
    ids = [f"<{number}@acme.example>" for number in range(12)]
    line = message_ids("References", ["nonsense", "<a b@c>", *ids])
    assert line.split() == ids[:10]


def test_the_built_in_folder_is_there():
    assert isinstance(built_in(), Path)
    assert (built_in() / "layout.html").is_file()
