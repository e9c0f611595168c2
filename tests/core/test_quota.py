"""How many calls may go now: never too many in an hour, and always evenly."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.quota import (
    SLOT,
    UNLIMITED,
    Allowance,
    Coverage,
    Seen,
    Shares,
    Spent,
    allowance,
    coverage,
    may_spend,
    needs_ledger,
    shares,
    slot_of,
    time_for,
    unexplained,
)
from tests.builders import DAY, HOUR, INSTANT, MINUTE, NOW, SECOND
from tests.core.searching import searched


def _slots(*spent: tuple[timedelta, int]) -> list[Spent]:
    """So many calls in the slot of so long ago."""
    return [Spent(slot_of(NOW - ago), calls) for ago, calls in spent]


def _calls(
    hourly: int | None,
    *spent: tuple[timedelta, int],
    seen: Seen | None = None,
    at_once: bool = False,
) -> int:
    return allowance(hourly, _slots(*spent), seen, NOW, at_once=at_once).calls


def _evenly(calls: int) -> list[tuple[timedelta, int]]:
    """So many calls, spread over the last hour."""
    return [(minutes * MINUTE, calls // 60) for minutes in range(60)]


# --- what is looked up


@given(
    st.none() | st.integers(20, 5_000),
    st.none()
    | st.builds(Seen, st.integers(0, 120), st.sampled_from([NOW, NOW - 2 * HOUR])),
    st.lists(st.tuples(st.sampled_from([SECOND, MINUTE, HOUR]), st.integers(1, 9_000))),
    st.booleans(),
)
def test_what_is_not_fetched_would_have_changed_nothing(
    hourly: int | None,
    seen: Seen | None,
    spent: list[tuple[timedelta, int]],
    at_once: bool,  # noqa: FBT001 - drawn
) -> None:
    if not needs_ledger(hourly, seen):
        assert _calls(hourly, *spent, seen=seen, at_once=at_once) == UNLIMITED


@pytest.mark.parametrize(
    ("hourly", "seen", "needed"),
    [
        (None, None, False),
        (None, Seen(24, NOW), False),
        (None, Seen(25, NOW), True),
        (2000, None, True),
        (2000, Seen(0, NOW), True),
    ],
)
def test_the_ledger_is_fetched_where_it_may_bind(
    hourly: int | None,
    seen: Seen | None,
    needed: bool,  # noqa: FBT001 - a column of the table
) -> None:
    assert needs_ledger(hourly, seen) is needed


# --- slots


@pytest.mark.parametrize(
    ("after", "start"),
    [
        pytest.param(timedelta(), timedelta(), id="its start"),
        pytest.param(SLOT - INSTANT, timedelta(), id="its last instant"),
        pytest.param(SLOT, SLOT, id="the next one"),
        pytest.param(-INSTANT, -SLOT, id="the one before"),
        pytest.param(-60 * 366 * DAY, -60 * 366 * DAY, id="before 1970"),
    ],
)
def test_a_slot_lasts_half_a_minute(after: timedelta, start: timedelta):
    assert slot_of(NOW + after) == NOW + start


# --- an hour


def test_a_hundredth_of_the_hour_is_left_in_reserve():
    assert _calls(2000, at_once=True) == 1980
    assert _calls(2000, (MINUTE, 1980), at_once=True) == 0
    assert _calls(2000, (MINUTE, 2100), at_once=True) == 0


@pytest.mark.parametrize(
    ("hourly", "calls"),
    [
        pytest.param(1, 1, id="a single call"),
        pytest.param(19, 19, id="too few for a reserve"),
        pytest.param(20, 19, id="one in reserve"),
        pytest.param(199, 198, id="still one"),
        pytest.param(200, 198, id="two"),
    ],
)
def test_small_quotas_keep_one_call_or_none_in_reserve(hourly: int, calls: int):
    assert _calls(hourly, at_once=True) == calls


def test_the_reserve_is_for_self_inspections_and_one_more_tries():
    spent = _slots((MINUTE, 1980))
    assert may_spend(2000, spent, NOW, 1)
    assert may_spend(2000, spent, NOW, 20)
    assert not may_spend(2000, spent, NOW, 21)
    assert not may_spend(2000, _slots((MINUTE, 2000)), NOW, 1)
    assert may_spend(None, spent, NOW, 10_000)


def test_the_reserve_needs_no_pace():
    assert may_spend(2000, [], NOW, 2000)


@pytest.mark.parametrize(
    ("ago", "calls"),
    [
        pytest.param(HOUR, 0, id="an hour ago"),
        pytest.param(HOUR + SLOT, 1980, id="an hour and a slot ago"),
        pytest.param(HOUR + SLOT - INSTANT, 0, id="an instant less"),
    ],
)
def test_a_slot_counts_until_its_last_call_is_an_hour_old(ago: timedelta, calls: int):
    spent = [Spent(NOW - ago, 2000)]
    assert allowance(2000, spent, None, NOW, at_once=True).calls == calls
    assert may_spend(2000, spent, NOW, 1) is (calls > 0)


def test_when_the_hour_is_spent_the_oldest_slot_makes_room():
    spent = _slots((50 * MINUTE, 1000), (20 * MINUTE, 980))
    said = allowance(2000, spent, None, NOW, at_once=True)
    assert said == Allowance(0, NOW + 10 * MINUTE + SLOT)


# --- evenness


@pytest.mark.parametrize(
    ("hourly", "calls"),
    [
        pytest.param(1, 1, id="1"),
        pytest.param(10, 1, id="10"),
        pytest.param(60, 2, id="60"),
        pytest.param(2000, 80, id="2000"),
        pytest.param(1_000_000, 40_000, id="a million"),
    ],
)
def test_after_a_rest_a_twenty_fifth_of_the_hour_goes_at_once(hourly: int, calls: int):
    assert _calls(hourly) == calls


@pytest.mark.parametrize(
    ("hourly", "spent", "calls"),
    [
        pytest.param(3600, [(timedelta(), 144)], 0, id="the burst is spent"),
        pytest.param(3600, [(SLOT, 144)], 30, id="a call a second comes back"),
        pytest.param(3600, [(SLOT, 144), (timedelta(), 9)], 21, id="both count"),
        pytest.param(3600, [(10 * MINUTE, 3000)], 0, id="much at once ten minutes ago"),
        pytest.param(3600, [(50 * MINUTE, 3000)], 144, id="the same long ago"),
        pytest.param(
            3600, [(timedelta(), 144), (HOUR + SLOT, 3000)], 0, id="the last hour only"
        ),
        pytest.param(3600, [(HOUR + SLOT, 9000)], 144, id="an hour ago: forgotten"),
        pytest.param(1, [(30 * MINUTE, 1)], 0, id="one an hour: not yet"),
        pytest.param(10, [(6 * MINUTE, 1)], 1, id="one in six minutes"),
        pytest.param(10, [(5.5 * MINUTE, 1)], 0, id="not in five and a half"),
    ],
)
def test_no_stretch_of_time_takes_more_than_a_burst_and_the_pace(
    hourly: int, spent: list[tuple[timedelta, int]], calls: int
):
    assert _calls(hourly, *spent) == calls
    assert _calls(hourly, *reversed(spent)) == calls


def test_a_check_by_hand_may_take_the_rest_of_the_hour_at_once():
    assert _calls(3600, (MINUTE, 1000), at_once=True) == 3564 - 1000
    assert _calls(3600, (MINUTE, 1000)) == 0


def test_it_says_when_there_is_room_for_another_call():
    assert allowance(3600, [], None, NOW) == Allowance(144, NOW + SECOND)
    after = allowance(3600, [Spent(NOW, 144)], None, NOW + 0.5 * SECOND)
    assert after == Allowance(0, NOW + SECOND)
    assert allowance(1, [], None, NOW) == Allowance(1, NOW + HOUR + SLOT)


@pytest.mark.parametrize(
    ("spent", "at_once", "calls"),
    [
        pytest.param([(-2 * HOUR, 1980)], True, 0, id="all of the hour, two ahead"),
        pytest.param([(-MINUTE, 980)], True, 1000, id="a part of it, a minute ahead"),
        pytest.param([(-MINUTE, 80)], False, 0, id="the burst"),
        pytest.param([(-MINUTE, 30), (MINUTE, 60)], False, 23, id="a part of the pace"),
    ],
)
def test_calls_that_lie_ahead_after_the_clock_moved_back_count_in_full(
    spent: list[tuple[timedelta, int]], calls: int, *, at_once: bool
):
    said = allowance(2000, _slots(*spent), None, NOW, at_once=at_once)
    assert said.calls == calls
    assert said.next_at is not None
    assert NOW < said.next_at <= NOW + HOUR + SLOT


# --- what holds for every history

_hourlies = st.integers(1, 40) | st.integers(1, 5000)
_steps = st.timedeltas(timedelta(), 4 * MINUTE) | st.sampled_from(
    [timedelta(), SECOND, 10 * SECOND, SLOT, HOUR]
)


@dataclass
class _Ledger:
    """What was granted, kept twice: by slots as the store does, and by instants."""

    hourly: int | None
    slots: dict[datetime, int] = field(default_factory=dict)
    at: list[datetime] = field(default_factory=list)
    sums: list[int] = field(default_factory=lambda: [0])

    def spent(self, now: datetime) -> list[Spent]:
        kept = {at: n for at, n in self.slots.items() if at + HOUR + SLOT > now}
        self.slots = kept
        return [Spent(at, calls) for at, calls in kept.items()]

    def allow(
        self, now: datetime, seen: Seen | None = None, *, at_once: bool = False
    ) -> Allowance:
        return allowance(self.hourly, self.spent(now), seen, now, at_once=at_once)

    def take(self, now: datetime, calls: int) -> None:
        slot = slot_of(now)
        self.slots[slot] = self.slots.get(slot, 0) + calls
        self.at.append(now)
        self.sums.append(self.sums[-1] + calls)

    def fullest_hour(self) -> int:
        """The most calls in any rolling hour, both its ends included."""
        return max(
            self.sums[bisect_right(self.at, start + HOUR)] - self.sums[first]
            for first, start in enumerate(self.at)
        )

    def assert_even(self) -> None:
        """No stretch has more than 4 %, a slot's calls, and those of its length."""
        hourly = self.hourly or 0
        burst = max(1, hourly / 25)
        for last, end in enumerate(self.at):
            for first, start in enumerate(self.at[: last + 1]):
                most = burst + hourly * ((end - start + SLOT) / HOUR)
                assert self.sums[last + 1] - self.sums[first] <= most + 1e-6


@searched
@given(_hourlies, st.lists(st.tuples(_steps, st.floats(0, 1)), max_size=40))
def test_whoever_asks_when_and_takes_what_he_likes_goes_evenly(
    hourly: int, claims: list[tuple[timedelta, float]]
):
    ledger, now = _Ledger(hourly), NOW
    for step, share in claims:
        now += step
        ledger.take(now, round(ledger.allow(now).calls * share))
    ledger.assert_even()


@searched
@given(
    _hourlies,
    st.lists(
        st.tuples(_steps, st.sampled_from(["even", "at once", "reserve"])),
        min_size=1,
        max_size=60,
    ),
)
def test_no_rolling_hour_has_more_than_the_quota_whatever_is_mixed(
    hourly: int, claims: list[tuple[timedelta, str]]
):
    ledger, now = _Ledger(hourly), NOW
    for step, how in claims:
        now += step
        if how != "reserve":
            ledger.take(now, ledger.allow(now, at_once=how == "at once").calls)
        elif may_spend(hourly, ledger.spent(now), now, 1):
            ledger.take(now, 1)
    assert ledger.fullest_hour() <= hourly


@searched
@given(
    hourly=_hourlies,
    claims=st.lists(st.tuples(_steps, st.floats(0, 1)), min_size=1, max_size=20),
    at_once=st.booleans(),
)
def test_the_next_call_is_granted_at_the_instant_that_was_named_and_not_before(
    hourly: int, claims: list[tuple[timedelta, float]], *, at_once: bool
):
    ledger, now = _Ledger(hourly), NOW
    for step, share in claims:
        now += step
        said = ledger.allow(now, at_once=at_once)
        ledger.take(now, round(said.calls * share))
    ledger.take(now, ledger.allow(now, at_once=at_once).calls)
    said = ledger.allow(now, at_once=at_once)
    assert said.calls == 0
    assert said.next_at is not None
    assert now < said.next_at <= now + HOUR + SLOT
    assert ledger.allow(said.next_at - INSTANT, at_once=at_once).calls == 0
    assert ledger.allow(said.next_at, at_once=at_once).calls >= 1


_spent = st.lists(
    st.builds(
        Spent,
        st.timedeltas(-3 * HOUR, 3 * HOUR).map(lambda ahead: slot_of(NOW + ahead)),
        st.integers(0, 3000),
    ),
    max_size=30,
)
_seen = st.builds(
    Seen,
    st.floats(0, 400),
    st.timedeltas(-2 * HOUR, 2 * HOUR).map(lambda ahead: NOW + ahead),
)


@searched
@given(
    hourly=st.none() | _hourlies,
    spent=_spent,
    seen=st.none() | _seen,
    at_once=st.booleans(),
)
def test_whatever_the_clock_did_no_more_is_granted_and_the_next_time_is_ahead(
    hourly: int | None, spent: list[Spent], seen: Seen | None, *, at_once: bool
):
    said = allowance(hourly, spent, seen, NOW, at_once=at_once)
    without_headers = allowance(hourly, spent, None, NOW, at_once=at_once)
    assert 0 <= said.calls <= without_headers.calls
    assert said.calls <= _calls(hourly, at_once=True)
    if said.next_at is None:
        assert said.calls == UNLIMITED
    else:
        assert NOW < said.next_at <= NOW + HOUR + SLOT


# --- a whole day


def _day_of_greed(hourly: int, every: timedelta, length: timedelta) -> list[int]:
    """What each second of the day brings to who takes all he can, ever again."""
    ledger, now = _Ledger(hourly), NOW + 7 * SECOND
    seconds = [0] * (length // SECOND)
    for second in range(0, len(seconds), every // SECOND):
        at = now + second * SECOND
        seconds[second] = ledger.allow(at).calls
        ledger.take(at, seconds[second])
    return seconds


@pytest.mark.parametrize("hourly", [200, 2000, 20_000, 1_000_000])
@pytest.mark.parametrize(
    ("every", "length"),
    [
        pytest.param(60 * SECOND, DAY, id="every minute for a day"),
        pytest.param(10 * SECOND, 3 * HOUR, id="every ten seconds for three hours"),
    ],
)
def test_nearly_the_whole_quota_can_be_used_and_never_more(
    hourly: int, every: timedelta, length: timedelta
):
    seconds = _day_of_greed(hourly, every, length)
    assert sum(seconds) >= 0.97 * hourly * (length / HOUR)
    sums = [0, *accumulate(seconds)]
    hours = [
        sums[min(start + 3601, len(seconds))] - sums[start]
        for start in range(len(seconds))
    ]
    assert max(hours) <= hourly
    assert max(seconds) <= 0.05 * hourly + hourly * (every / HOUR)


@pytest.mark.parametrize("hourly", [1, 10, 60])
def test_tiny_quotas_get_on_too(hourly: int):
    seconds = _day_of_greed(hourly, 30 * SECOND, 5 * HOUR)
    assert sum(seconds) >= 0.95 * hourly * 5
    assert max(seconds) <= max(1, 0.05 * hourly)


# --- what Meta's headers say


def _said(percent: float, ago: timedelta = timedelta()) -> Seen:
    return Seen(percent, NOW - ago)


def test_without_a_quota_and_without_headers_nothing_limits():
    assert allowance(None, _slots((MINUTE, 10**6)), None, NOW) == Allowance(
        UNLIMITED, None
    )


@pytest.mark.parametrize(
    ("hourly", "seen"),
    [
        pytest.param(None, _said(24.9), id="a low usage, no quota"),
        pytest.param(3600, _said(24.9), id="a low usage"),
        pytest.param(None, _said(100, HOUR + INSTANT), id="old, no quota"),
        pytest.param(3600, _said(100, HOUR + INSTANT), id="old"),
        pytest.param(3600, _said(100, -HOUR - INSTANT), id="far ahead"),
    ],
)
def test_low_and_old_headers_say_nothing(hourly: int | None, seen: Seen):
    spent = _evenly(600)
    assert _calls(hourly, *spent, seen=seen) == _calls(hourly, *spent)


@pytest.mark.parametrize(
    ("percent", "calls"),
    [
        pytest.param(25, 2280 - 22 - 600, id="25 %: 2400 in all"),
        pytest.param(50, 1140 - 11 - 600, id="50 %: 1200 in all"),
        pytest.param(84.9, 671 - 6 - 600, id="84.9 %: 706 in all"),
    ],
)
def test_the_quota_is_learned_from_the_headers(percent: float, calls: int):
    """95 % of what 600 calls show, less the reserve, less these calls."""
    seen, spent = _said(percent), _evenly(600)
    assert _calls(None, *spent, seen=seen, at_once=True) == calls
    assert _calls(5000, *spent, seen=seen, at_once=True) == calls


def test_a_quota_learned_larger_than_the_configured_one_changes_nothing():
    seen, spent = _said(30), _evenly(600)
    for at_once in (False, True):
        with_headers = _calls(700, *spent, seen=seen, at_once=at_once)
        assert with_headers == _calls(700, *spent, at_once=at_once)


def test_a_learned_quota_is_used_evenly():
    """A thousand calls just now were half of the hour: the rest waits for the pace."""
    assert _calls(None, (timedelta(), 1000), seen=_said(50)) == 0
    assert _calls(None, (timedelta(), 1000), seen=_said(50), at_once=True) == 881


@pytest.mark.parametrize(
    ("ago", "calls"),
    [
        pytest.param(timedelta(), 881, id="in the same slot"),
        pytest.param(HOUR, 881, id="an hour before"),
        pytest.param(HOUR + INSTANT, 0, id="earlier: not part of what they say"),
        pytest.param(-SLOT, 0, id="later: not part of it either"),
    ],
)
def test_only_the_hour_before_the_headers_teaches(ago: timedelta, calls: int):
    spent = [Spent(NOW - ago, 1000)]
    assert allowance(None, spent, _said(50), NOW, at_once=True).calls == calls


@pytest.mark.parametrize(
    ("hourly", "calls"),
    [
        pytest.param(None, 59, id="no quota"),
        pytest.param(2000, 79, id="a twenty-fifth of the quota"),
        pytest.param(1000, 59, id="a small one"),
        pytest.param(30, 29, id="a tiny one"),
    ],
)
def test_who_made_no_calls_learns_no_quota_and_goes_on_slowly(
    hourly: int | None, calls: int
):
    assert _calls(hourly, seen=_said(60), at_once=True) == calls


@pytest.mark.parametrize(
    ("percent", "calls"),
    [
        pytest.param(84.9, 107, id="not yet"),
        pytest.param(85, 11, id="from 85 %"),
        pytest.param(93, 10, id="a hundredth of an hour"),
        pytest.param(94.9, 0, id="what was learned is used up"),
    ],
)
def test_near_the_end_of_the_quota_only_a_few_calls_go(percent: float, calls: int):
    used = (30 * MINUTE, 1000)
    assert _calls(None, used, seen=_said(percent), at_once=True) == calls


def test_the_few_calls_go_every_other_minute():
    """Eleven of them, counted to the end of their slots as everything is."""
    seen, used = _said(85), Spent(NOW - 30 * MINUTE, 1000)
    first = Spent(NOW - 2 * MINUTE - SLOT + SECOND, 9)
    said = allowance(None, [used, first], seen, NOW, at_once=True)
    assert said == Allowance(2, NOW + SECOND)
    then = [used, first, Spent(NOW, 2)]
    assert allowance(None, then, seen, NOW, at_once=True).calls == 0
    assert allowance(None, then, seen, NOW + SECOND, at_once=True).calls == 9


def test_when_others_use_up_the_quota_one_call_goes_now_and_then():
    """From no calls of our own nothing is learned but that the usage fell."""
    assert allowance(None, [], _said(90), NOW).calls == 1
    spent = _slots((2 * MINUTE, 1))
    assert allowance(None, spent, _said(90), NOW) == Allowance(0, NOW + SLOT)
    assert allowance(9000, [], _said(90), NOW).calls == 1


@pytest.mark.parametrize(
    ("ago", "said"),
    [
        pytest.param(timedelta(), Allowance(0, NOW + 10 * MINUTE), id="just read"),
        pytest.param(
            10 * MINUTE - INSTANT, Allowance(0, NOW + INSTANT), id="nearly over"
        ),
        pytest.param(
            10 * MINUTE, Allowance(1, NOW + 2 * MINUTE + SLOT), id="over: a probe goes"
        ),
        pytest.param(-MINUTE, Allowance(0, NOW + 10 * MINUTE), id="the clock moved"),
    ],
)
def test_at_95_percent_nothing_goes_for_ten_minutes(ago: timedelta, said: Allowance):
    assert allowance(None, [], _said(95, ago), NOW) == said
    assert allowance(None, [], _said(95, ago), NOW, at_once=True) == said
    assert allowance(None, [], _said(94.9, ago), NOW).calls == 1


def test_a_pause_names_no_instant_at_which_nothing_goes_yet():
    spent = _slots((timedelta(), 1000))
    seen = _said(100, 9 * MINUTE)
    said = allowance(1000, spent, seen, NOW)
    assert said.calls == 0
    assert said.next_at is not None
    assert said.next_at > NOW + 10 * MINUTE


@dataclass
class _Meta:
    """An app's true quota, and what others use of it: calls an hour by the hour."""

    quota: int
    others: Callable[[float], float] = lambda _: 0.0

    def play(self, hourly: int | None, most: int, hours: int) -> tuple[float, float]:
        """The highest usage in percent, and our share of the last hour.

        Every half minute as much is taken as may be, but no more than `most`, and
        the answer says how much of the quota is used, in whole numbers.
        """
        ledger, seen, peak = _Ledger(hourly), None, 0.0
        usages: list[float] = []
        for tick in range(hours * 120):
            now = NOW + tick * 30 * SECOND
            usages.append(self.others(tick / 120) / 120)
            calls = min(ledger.allow(now, seen).calls, most)
            if not calls:
                continue
            ledger.take(now, calls)
            lately = bisect_left(ledger.at, now - HOUR + INSTANT)
            ours = ledger.sums[-1] - ledger.sums[lately]
            percent = 100 * (ours + sum(usages[-120:])) / self.quota
            peak, seen = max(peak, percent), Seen(int(percent), now + SECOND)
        last = bisect_left(ledger.at, NOW + (hours - 1) * HOUR)
        return peak, (ledger.sums[-1] - ledger.sums[last]) / self.quota


@pytest.mark.parametrize(
    ("hourly", "most"),
    [
        pytest.param(None, 50, id="no quota is configured"),
        pytest.param(10_000, UNLIMITED, id="one five times too large"),
    ],
)
def test_a_quota_nobody_knew_is_used_well_and_never_up(hourly: int | None, most: int):
    peak, share = _Meta(2000).play(hourly, most, hours=4)
    assert peak < 92
    assert share > 0.75


def test_the_true_quota_is_used_whole_and_never_overdrawn():
    peak, share = _Meta(2000).play(2000, UNLIMITED, hours=4)
    assert peak <= 100
    assert share > 0.95


def test_a_quota_below_the_true_one_is_used_without_any_pause():
    peak, share = _Meta(2000).play(1600, UNLIMITED, hours=4)
    assert peak < 80
    assert share > 0.78


@pytest.mark.parametrize("hourly", [None, 2000])
def test_what_others_use_is_left_to_them(hourly: int | None):
    """They come after an hour and take six tenths: a quarter remains for us."""
    meta = _Meta(2000, lambda hours: 1200 if hours > 1 else 0)
    peak, share = meta.play(hourly, 50, hours=5)
    assert peak < 100
    assert 0.15 < share < 0.3


@pytest.mark.parametrize("hourly", [None, 1500])
def test_when_others_leave_their_calls_are_ours(hourly: int | None):
    meta = _Meta(2000, lambda hours: 1940 if hours < 2 else 0)
    _, share = meta.play(hourly, 50, hours=6)
    assert share > 0.7


# --- how far a quota goes


@pytest.mark.parametrize(
    ("calls", "hourly", "length"),
    [
        pytest.param(5, None, None, id="no quota is known"),
        pytest.param(0, 200, timedelta(), id="nothing to do"),
        pytest.param(-3, 200, timedelta(), id="less than nothing"),
        pytest.param(198, 200, HOUR + SLOT, id="an hour's calls"),
        pytest.param(99, 200, (HOUR + SLOT) / 2, id="half of them"),
        pytest.param(19_800, 2000, 10 * (HOUR + SLOT), id="ten hours' calls"),
        pytest.param(2, 1, 2 * (HOUR + SLOT), id="one an hour"),
    ],
)
def test_so_many_calls_take_so_long(
    calls: int, hourly: int | None, length: timedelta | None
):
    assert time_for(calls, hourly) == length


def test_the_time_named_is_the_time_taken():
    seconds = _day_of_greed(2000, 60 * SECOND, 5 * HOUR)
    calls = sum(seconds)
    length = time_for(calls, 2000)
    assert length is not None
    assert length / (5 * HOUR) == pytest.approx(1, abs=0.03)


def test_a_quota_carries_a_policy_or_not():
    carried = coverage(1188, 198.0, 2000)
    assert carried == Coverage(198.0, 1980 * (HOUR / (HOUR + SLOT)), 6 * HOUR)
    assert carried.enough
    short = coverage(11_880, 3960.0, 2000)
    assert not short.enough
    assert short.sweep == pytest.approx(6 * (HOUR + SLOT), abs=SECOND)


@pytest.mark.parametrize(
    ("needs", "enough"),
    [
        pytest.param(1980 * (HOUR / (HOUR + SLOT)), True, id="just"),
        pytest.param(1980.0, False, id="not quite"),
    ],
)
def test_what_can_be_kept_up_is_what_counts(needs: float, *, enough: bool):
    assert coverage(10_000, needs, 2000).enough is enough


def test_without_a_quota_every_policy_is_carried():
    free = coverage(1200, 200.0, None)
    assert free == Coverage(200.0, None, 6 * HOUR)
    assert free.enough


def test_where_nothing_is_asked_for_there_is_no_sweep():
    assert coverage(0, 0.0, 200).sweep is None
    assert coverage(0, 0.0, 200).enough


# --- who gets them


@pytest.mark.parametrize(
    ("most", "risky", "routine"),
    [
        pytest.param(0, 0, 0, id="nothing"),
        pytest.param(-5, 0, 0, id="less than nothing"),
        pytest.param(2, 1, 1, id="two"),
        pytest.param(3, 2, 1, id="three"),
        pytest.param(4, 3, 1, id="four"),
        pytest.param(5, 3, 2, id="five"),
        pytest.param(50, 37, 13, id="a batch"),
        pytest.param(1000, 750, 250, id="a thousand"),
    ],
)
def test_a_quarter_is_routine_while_both_are_due(most: int, risky: int, routine: int):
    for turn in range(4):
        divided = shares(most, risky_due=True, routine_due=True, turn=turn)
        assert divided == Shares(risky, routine)


def test_of_single_calls_every_fourth_is_routine():
    divided = [
        shares(1, risky_due=True, routine_due=True, turn=turn) for turn in range(8)
    ]
    assert divided == [Shares(0, 1), *3 * [Shares(1, 0)]] * 2


@pytest.mark.parametrize("most", [1, 7])
def test_who_is_due_alone_gets_everything(most: int):
    for turn in range(4):
        assert shares(most, risky_due=True, routine_due=False, turn=turn) == Shares(
            most, 0
        )
        assert shares(most, risky_due=False, routine_due=True, turn=turn) == Shares(
            0, most
        )
    assert shares(most, risky_due=False, routine_due=False, turn=0) == Shares(0, 0)


def test_usage_that_our_own_calls_explain_changes_nothing() -> None:
    """Whoever may use a quota whole is near 100 % by himself."""
    spent = [Spent(NOW - 10 * SLOT, 1_900)]
    assert unexplained(2_000, spent, Seen(96.0, NOW)) is None, "95 %, rounded up"
    others = Seen(97.0, NOW)
    assert unexplained(2_000, spent, others) == others
    assert unexplained(None, spent, others) == others, "nothing to compare it with"
    assert unexplained(2_000, spent, None) is None
    old = [Spent(NOW - timedelta(hours=2), 1_900)]
    assert unexplained(2_000, old, Seen(50.0, NOW)) == Seen(50.0, NOW)
    room = allowance(2_000, spent, Seen(96.0, NOW), NOW, at_once=True)
    assert room.calls == 2_000 - 20 - 1_900, "to the end of the hour's calls"
