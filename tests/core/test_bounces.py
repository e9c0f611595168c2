"""Bounces: only we can sign a letter's address, and only a proof moves a letter."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.bounces import (
    LONGEST_BASE,
    LONGEST_LOCAL,
    Fate,
    Finding,
    Report,
    envelope_sender,
    judge,
    letters_named,
    status_of,
)

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
LETTER = "0123456789ab"
ANN = "ann@bakery.example"
VERP = envelope_sender("bounces@acme.example", LETTER, KEY)


def test_the_address_names_the_letter_and_the_signature() -> None:
    assert VERP.startswith(f"bounces+{LETTER}.")
    assert VERP.endswith("@acme.example")
    assert letters_named([VERP], KEY) == (LETTER,)


def test_the_longest_base_fits_a_local_part() -> None:
    whole = envelope_sender(f"{'b' * LONGEST_BASE}@a.example", LETTER, KEY)
    assert len(whole.partition("@")[0]) == LONGEST_LOCAL


@pytest.mark.parametrize("text", [VERP.upper(), f"<{VERP}>", f"x {VERP} y"])
def test_it_is_found_however_it_comes_back(text: str) -> None:
    assert letters_named([text, text], KEY) == (LETTER,)


def test_another_key_signed_nothing() -> None:
    assert letters_named([VERP], OTHER_KEY) == ()
    assert OTHER_KEY.hex() not in VERP


@given(st.text(string.hexdigits, min_size=12, max_size=12), st.integers(0, 28))
def test_nothing_changed_is_ours(letter: str, place: int) -> None:
    """Whatever stands at one place of id or signature is not ours any more."""
    local = VERP.partition("+")[2].partition("@")[0]
    changed = local[:place] + ("7" if local[place] != "7" else "6") + local[place + 1 :]
    assert letters_named([f"bounces+{changed}@acme.example"], KEY) == ()
    assert letters_named([f"bounces+{letter}.{local[13:]}@acme.example"], KEY) == (
        (LETTER,) if letter.lower() == LETTER else ()
    )


def a_report(*fates: Fate, automatic: bool = True) -> Report:
    return Report((VERP,), (), fates, automatic)


def a_fate(action: str = "failed", status: str = "5.1.1", *to: str) -> Fate:
    return Fate(to or (ANN,), action, status)


@pytest.mark.parametrize(
    ("report", "recipient", "finding"),
    [
        (Report(), ANN, Finding.OTHER),
        (Report(automatic=True), ANN, Finding.AUTOMATIC),
        (a_report(a_fate()), ANN, Finding.UNREACHABLE),
        (a_report(a_fate(), automatic=False), ANN, Finding.UNREACHABLE),
        (a_report(a_fate()), None, Finding.FORGED),
        (a_report(a_fate()), "bob@bakery.example", Finding.FORGED),
        (a_report(a_fate("failed", "5.1.1", "x@y.z", ANN)), ANN, Finding.UNREACHABLE),
        (a_report(a_fate()), ANN.upper(), Finding.UNREACHABLE),
        (a_report(a_fate("delayed", "4.4.1")), ANN, Finding.PASSING),
        (a_report(a_fate("delayed", "5.1.1")), ANN, Finding.PASSING),
        (a_report(a_fate("relayed", "2.1.9")), ANN, Finding.PASSING),
        (a_report(a_fate("delivered", "2.1.5")), ANN, Finding.PASSING),
        (a_report(a_fate("failed", "2.0.0")), ANN, Finding.PASSING),
        (a_report(a_fate("failed", "")), ANN, Finding.PASSING),
        # Tried for days and abandoned: the letter is lost all the same.
        (a_report(a_fate("failed", "4.4.7")), ANN, Finding.UNREACHABLE),
        (a_report(a_fate("delayed"), a_fate()), ANN, Finding.UNREACHABLE),
    ],
)
def test_what_a_report_says(
    report: Report, recipient: str | None, finding: Finding
) -> None:
    assert judge(report, recipient) is finding


def test_a_domain_compares_as_servers_write_it() -> None:
    fate = a_fate("failed", "5.1.2", "ann@xn--bcher-kva.example")
    assert judge(a_report(fate), "ann@bücher.example") is Finding.UNREACHABLE
    assert judge(a_report(fate), f"ann@{'b' * 70}.example") is Finding.FORGED


def test_the_status_is_that_of_the_reader() -> None:
    report = a_report(a_fate("failed", "5.7.1", "x@y.example"), a_fate())
    assert status_of(report, ANN) == "5.1.1"
