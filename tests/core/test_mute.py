"""What a reader stops by the link of a letter, and what comes all the same."""

from datetime import timedelta

import pytest

from monitor.core.delivery import Drop, Role, gate
from monitor.core.incident import Reason
from monitor.core.mute import (
    Scope,
    Sheet,
    Wish,
    hinted,
    is_final,
    letter_behind,
    mute_url,
    sheet,
)
from monitor.core.policy import Rule
from monitor.core.signature import SIGNED
from monitor.core.tokens import Code
from monitor.core.verdict import Finding
from tests.builders import NOW, a_pending, an_item

KEY, OTHER = b"\x01" * 32, b"\x02" * 32
LETTER = "0123456789ab"
DAY = timedelta(days=1)


# --- the link


def link(letter: str = LETTER, key: bytes = KEY) -> str:
    return mute_url("https://x.example", letter, key).rpartition("/")[2]


def test_a_link_names_the_letter_and_nothing_else() -> None:
    url = mute_url("https://acme.example/tokens", LETTER, KEY)
    assert url.startswith(f"https://acme.example/tokens/mute/{LETTER}.")
    assert len(link()) == 29
    assert letter_behind(link(), KEY) == LETTER


@pytest.mark.parametrize(
    "forged",
    [
        "",
        LETTER,
        f"{LETTER}.",
        f"{LETTER}.{'a' * 16}",
        link(key=OTHER),
        link().upper(),
        f"{link()}\n",
        f"{link()}a",
        link("ba9876543210")[:12] + link()[12:],
        "é" * 29,
    ],
)
def test_a_forged_link_is_no_link(forged: str) -> None:
    assert letter_behind(forged, KEY) is None


def test_an_envelope_sender_is_no_link() -> None:
    """Bounces name their letter to every server on the way, under the same form."""
    from monitor.core.bounces import envelope_sender  # noqa: PLC0415 - for this alone

    seen = envelope_sender("b@acme.example", LETTER, KEY)
    shown = seen.partition("+")[2].partition("@")[0]
    assert SIGNED.fullmatch(shown)
    assert letter_behind(shown, KEY) is None


# --- what stops


@pytest.mark.parametrize(
    ("reason", "final", "passage"),
    [
        (Reason.REMINDER, False, Drop.MUTED),
        (Reason.REMINDER, True, Drop.MUTED),
        (Reason.CLOSER, False, Drop.MUTED),
        (Reason.CLOSER, True, None),
        (Reason.OPENED, False, None),
        (Reason.WORSENED, False, None),
        (Reason.ESCALATED, False, None),
        (Reason.RESOLVED, False, None),
    ],
)
@pytest.mark.parametrize("role", [Role.OWNER, Role.ESCALATION])
def test_what_repeats_stops_and_what_is_news_comes(
    reason: Reason, role: Role, *, final: bool, passage: Drop | None
) -> None:
    item = an_item(reason=reason)
    entry = a_pending(item, role=role, muted=True, final=final)
    found = gate(entry, None, NOW)
    assert (found if isinstance(found, Drop) else None) is passage


@pytest.mark.parametrize(
    ("role", "muted"), [(Role.OPERATOR, True), (Role.OWNER, False)]
)
def test_nobody_else_misses_a_reminder(role: Role, *, muted: bool) -> None:
    item = an_item(reason=Reason.REMINDER)
    entry = a_pending(item, role=role, muted=muted)
    assert not isinstance(gate(entry, None, NOW), Drop)


@pytest.mark.parametrize(
    ("code", "left", "final"),
    [
        (Code.EXPIRING, 3 * DAY, False),
        (Code.EXPIRING, DAY + timedelta.resolution, False),
        (Code.EXPIRING, DAY, True),
        (Code.EXPIRING, -DAY, True),
        (Code.DATA_ACCESS_EXPIRING, 2 * DAY, True),
        (Code.DATA_ACCESS_EXPIRING, 3 * DAY, False),
    ],
)
def test_the_last_lead_time_is_final(
    code: Code, left: timedelta, *, final: bool
) -> None:
    rule = Rule(data_access_warn_before=(7 * DAY, 2 * DAY))
    assert is_final([Finding(code, NOW + left)], rule, NOW) is final


def test_without_a_lead_time_or_a_date_nothing_is_final() -> None:
    assert not is_final([Finding(Code.EXPIRING, NOW)], Rule(warn_before=()), NOW)
    assert not is_final([Finding(Code.REVOKED)], Rule(), NOW)


# --- what is shown


@pytest.mark.parametrize(
    ("open_", "muted", "wish", "shown"),
    [
        ("ab", "", Wish.LOOK, Sheet.ON),
        ("ab", "a", Wish.LOOK, Sheet.ON),
        ("ab", "ab", Wish.LOOK, Sheet.OFF),
        ("a", "ab", Wish.STOP, Sheet.OFF),
        ("ab", "", Wish.RESUME, Sheet.AGAIN),
        ("", "", Wish.STOP, Sheet.OVER),
        ("", "ab", Wish.RESUME, Sheet.OVER),
    ],
)
def test_the_page_says_how_it_stands(
    open_: str, muted: str, wish: Wish, shown: Sheet
) -> None:
    scope = Scope(
        LETTER,
        "ann@bakery.example",
        "Acme",
        "en",
        ("a", "b"),
        frozenset(open_),
        frozenset(muted),
    )
    assert sheet(scope, wish) is shown


def test_of_an_unknown_link_nothing_is_said() -> None:
    assert {sheet(None, wish) for wish in Wish} == {Sheet.UNKNOWN}


def test_an_address_is_hinted_at() -> None:
    assert hinted("ann@mail.bakery.example") == "a…@m….example"
