"""Reading reports: what servers write is understood, and nothing at all fails."""

import time
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.bounces import Fate, Report
from monitor.notify.dsn import LONGEST, read_report
from tests.notify.reports import a_bounce, an_away_note

ANN = "ann@bakery.example"


def read(raw: bytes) -> Report:
    report = read_report(raw)
    assert report is not None
    return report


def test_a_report_of_postfix_is_understood() -> None:
    report = read(a_bounce("bounces+x@acme.example", message_id="<1.2@acme.example>"))
    assert set(report.addressed) == {"bounces+x@acme.example"}
    assert report.message_ids == ("<1.2@acme.example>",)
    assert report.fates == (Fate((ANN, ANN), "failed", "5.1.1"),)
    assert report.automatic


@pytest.mark.parametrize("kind", ["message/rfc822", "text/rfc822-headers"])
def test_the_returned_letter_is_known_by_its_name(kind: str) -> None:
    report = read(a_bounce(returned=kind, message_id="<1.2@acme.example>"))
    assert report.message_ids == ("<1.2@acme.example>",)


def test_the_envelope_id_counts_as_an_address() -> None:
    report = read(a_bounce(envelope_id="\nOriginal-Envelope-Id: id.signature"))
    assert "id.signature" in report.addressed


@pytest.mark.parametrize(
    ("status", "seen"),
    [
        ("5.1.1", "5.1.1"),
        ("5.1.1 (bad destination)", "5.1.1"),
        ("6.1.1", ""),
        ("5.1", ""),
        ("5.1.1234", ""),
        ("five", ""),
    ],
)
def test_a_status_is_three_numbers(status: str, seen: str) -> None:
    assert read(a_bounce(status=status)).fates[0].status == seen


def test_an_automatic_reply_is_no_report() -> None:
    assert read(an_away_note()) == Report(("bounces@acme.example",), automatic=True)


def test_a_letter_that_quotes_a_report_is_none() -> None:
    inner = a_bounce(message_id="<1.2@acme.example>")
    outer = b"To: bounces@acme.example\r\nContent-Type: message/rfc822\r\n\r\n" + inner
    assert read(outer).fates == ()


def test_what_lies_beyond_the_limit_is_not_read() -> None:
    report = read(a_bounce(body="x" * 10 * LONGEST))
    assert report.fates


# --- hostile


def reads(raw: bytes) -> None:
    """Whatever it is: a report of printable fates, or none; and the same again."""
    report = read_report(raw)
    assert read_report(raw) == report
    for fate in report.fates if report is not None else ():
        assert fate.action == fate.action.lower()
        assert not fate.lost or fate.status.startswith(("4.", "5."))
        assert all(isinstance(each, str) for each in fate.recipients)


@given(st.binary(max_size=2_000))
def test_no_bytes_fail(raw: bytes) -> None:
    reads(raw)


def test_no_mutation_of_a_report_fails() -> None:
    """Five thousand reports with bytes changed, lost, doubled and swapped."""
    random, whole = Random(7), a_bounce()
    for _ in range(5_000):
        raw = bytearray(whole)
        for _ in range(random.randint(1, 12)):
            at = random.randrange(len(raw))
            end = min(len(raw), at + random.randint(1, 40))
            match random.randrange(4):
                case 0:
                    raw[at] = random.randrange(256)
                case 1:
                    del raw[at:end]
                case 2:
                    raw[at:at] = raw[at:end] * random.randint(1, 5)
                case _:
                    raw[at:end] = random.randbytes(end - at)
        reads(bytes(raw))


_PIECES = st.sampled_from(
    [
        b"Content-Type: multipart/report; boundary=b\r\n",
        b"Content-Type: message/delivery-status\r\n",
        b"Content-Type: message/rfc822\r\n",
        b"Content-Type: text/rfc822-headers; charset=\xff\r\n",
        b"Content-Transfer-Encoding: base64\r\n",
        b"Content-Type: multipart/report; boundary*0*=%FF''b; boundary*1=\r\n",
        b"To: =?utf-8?b?gA==?= <a@b>, @,;:<<>>\r\n",
        b"Auto-Submitted: \xff\xfe\r\n",
        b"Action: failed\r\nStatus: 5.1.1\r\nFinal-Recipient: rfc822;\x00@\r\n",
        b"--b\r\n",
        b"--b--\r\n",
        b"\r\n",
        b"\r\n\r\n",
        b"\x00\xff",
        b"=?",
    ]
)


@settings(max_examples=300)
@given(st.lists(_PIECES, max_size=40).map(b"".join))
def test_no_pieces_of_reports_fail(raw: bytes) -> None:
    reads(raw)


def test_a_report_inside_reports_without_end_is_unreadable_or_none() -> None:
    opening = b"Content-Type: multipart/report; boundary=%d\r\n\r\n--%d\r\n"
    deep = b"".join(opening % (n, n) for n in range(4_000))
    report = read_report(deep)
    assert report is None or report.fates == ()


@pytest.mark.parametrize(
    "raw",
    [
        b"To: " + b"a@b.example, " * 100_000,
        b"To: " + b"(" * 200_000,
        b"To: " + b"<" * 200_000 + b">" * 50_000,
        b"Content-Type: multipart/report; boundary=b\r\n\r\n" + b"--b\r\n" * 40_000,
        b"Content-Type: multipart/report" + b"; a=b" * 40_000,
        b"A: b\r\n" * 40_000,
    ],
    ids=["addresses", "comments", "brackets", "parts", "parameters", "headers"],
)
def test_a_large_message_costs_little(raw: bytes) -> None:
    begun = time.process_time()
    read_report(raw)
    assert time.process_time() - begun < 5


def test_words_for_humans_do_not_hide_the_facts() -> None:
    # Exchange puts a page of HTML before them.
    words = "x" * 70 + "\n"
    page = words * (130 * 1024 // len(words))
    raw = a_bounce("bounces+x@acme.example", message_id="<1.2@acme.example>")
    long = raw.replace(b"This is the mail system", page.encode() + b"This is", 1)
    assert 128 * 1024 < len(long) < LONGEST
    assert read(long) == read(raw)


def test_a_report_about_addresses_beyond_ascii_is_understood() -> None:
    raw = a_bounce(returned="message/global-headers", message_id="<1.2@acme.example>")
    raw = raw.replace(b"message/delivery-status", b"message/global-delivery-status")
    report = read(raw.replace(b"Final-Recipient: rfc822", b"Final-Recipient: utf-8"))
    assert report.fates == (Fate((ANN, ANN), "failed", "5.1.1"),)
    assert report.message_ids == ("<1.2@acme.example>",)
