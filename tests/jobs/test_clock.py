"""A clock that goes wrong under a whole house, and one that only looks as if."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

import pytest

from monitor.core.clockwork import Doubt
from monitor.core.delivery import Hours
from monitor.core.policy import Rule
from monitor.jobs import Checker, ClockGuard, Courier, Watch
from monitor.notify.compose import Composer
from monitor.notify.email import Mailer
from monitor.notify.server import Server, Tls
from monitor.probe.meta import MetaProbe
from monitor.sandbox.clock import VirtualClock
from monitor.store.times import mend
from tests.jobs.house import ANN, DAY, HOUR, MINUTE, OPS, Builder, House, a_token

YEARS = 3650 * DAY


@dataclass
class Guarded:
    """A house whose own clock may differ from Meta's, and its guard."""

    home: House
    wall: VirtualClock
    steady: VirtualClock
    guard: ClockGuard

    def advance(self, by: timedelta) -> None:
        """Time passes, for everybody."""
        for each in (self.home.clock, self.wall, self.steady):
            each.advance(by)

    async def work(self) -> None:
        """A tick of the daemon, as daemon.py does it."""
        if await self.guard.tick():
            await self.home.check()
        await self.home.deliver()

    async def live(self, span: timedelta, step: timedelta = MINUTE) -> None:
        for _ in range(span // step):
            self.advance(step)
            await self.work()

    @property
    def trusted(self) -> bool:
        return self.guard.doubted_since is None


async def guarded(
    home: House, *, off: timedelta = timedelta(), start=True, blind=False
) -> Guarded:
    """Put a clock of its own under the house, and a guard over it."""
    wall = VirtualClock(home.clock() + off)
    steady = VirtualClock(home.clock())
    zero = steady()
    watch = Watch(wall, None if blind else lambda: steady() - zero)
    probe = MetaProbe(home.graph.url, "v25.0", timedelta(seconds=1))
    server = Server(home.mailbox.host, home.mailbox.port, Tls.NONE)
    composer = Composer("Acme <tokens@acme.example>", "help@acme.example")
    wishes, store = home.charter, home.store
    home.checker = Checker(store, probe, wishes, wall, watch)
    random = home.courier._random
    home.courier = Courier(
        store, composer, lambda: Mailer(server), wishes, wall, random, watch
    )

    async def set_right(at: datetime) -> None:
        if await mend(
            store.database,
            at,
            lease=wishes.lease,
            group_wait=wishes.group_wait,
            hold=4 * HOUR,
            sweep=6 * HOUR,
        ):
            await home.checker.judge_again()

    guard = ClockGuard(store, probe, wishes, watch, set_right)
    if start:
        guard.require()
    return Guarded(home, wall, steady, guard)


async def test_a_right_clock_is_believed_at_the_first_tick(house: Builder) -> None:
    place = await guarded(await house(a_token()))
    assert place.guard.watch.doubt is Doubt.UNPROVEN
    await place.work()
    assert place.trusted
    assert (await place.home.view()).severity == "ok"
    assert place.home.letters() == []


@pytest.mark.parametrize("off", [-DAY, DAY, YEARS, -20_000 * DAY])
async def test_a_start_by_a_wrong_clock_judges_nothing_and_tells_the_operator(
    house: Builder, off: timedelta
) -> None:
    home = await house(a_token(expires_in=40 * DAY), a_token("dead"))
    home.graph.set_state("dead", "revoked")
    place = await guarded(home, off=off)
    await place.live(20 * MINUTE)
    assert home.owner_letters == []
    (letter,) = home.letters(OPS)
    assert "does not trust its own clock" in letter.subject
    assert {(await home.view(n)).last_checked_at for n in ("north", "dead")} == {None}
    place.wall.now = home.clock()
    await place.live(30 * MINUTE)
    assert place.trusted
    assert (await home.view()).severity == "ok"
    assert [each.envelope_to for each in home.letters(ANN)] == [(ANN,)]
    assert home.subjects(OPS)[1:] == [
        "[token-monitor] The monitor trusts its clock again"
    ]


@pytest.mark.parametrize("off", [-DAY, DAY, YEARS, 3 * MINUTE])
async def test_a_clock_that_is_set_while_we_run_is_noticed_at_once(
    house: Builder, off: timedelta
) -> None:
    home = await house(a_token(expires_in=14 * DAY + 12 * HOUR))
    place = await guarded(home)
    await place.live(10 * MINUTE)
    before = await home.view()
    place.wall.advance(off)
    assert not place.guard.watch.trusted()
    if abs(off) > HOUR:
        await place.live(10 * MINUTE)
        assert not place.trusted
        assert await home.view() == before
        place.wall.now = home.clock()
    await place.live(15 * MINUTE)
    assert place.trusted
    assert home.letters(ANN) == []


async def test_a_move_that_meta_confirms_is_no_trouble(house: Builder) -> None:
    """A virtual machine was frozen from outside: its steady clock stood still."""
    place = await guarded(await house(a_token()))
    await place.work()
    place.wall.advance(9 * HOUR)
    place.home.clock.advance(9 * HOUR)
    assert not place.guard.watch.trusted()
    await place.live(10 * MINUTE)
    assert place.trusted
    assert place.home.letters() == []


async def test_a_date_of_meta_that_lies_elsewhere_is_noticed_in_a_sweep(
    house: Builder,
) -> None:
    """A clock that creeps away is caught by the replies that come anyway."""
    home = await house(a_token("north"), a_token("south"))
    home.graph.set_state("south", "revoked")
    place = await guarded(home)
    await place.work()
    home.clock.advance(9 * HOUR)  # Meta's clock alone: ours and the steady one agree
    place.wall.advance(7 * HOUR)
    place.steady.advance(7 * HOUR)
    before = await home.view("south")
    await home.check()
    assert place.guard.watch.doubt is Doubt.APART
    assert (await home.view("south")).observation == before.observation


async def test_without_graph_a_clock_behind_the_database_stays_doubted(
    house: Builder,
) -> None:
    home = await house(a_token(expires_in=10 * DAY))
    place = await guarded(home)
    await place.live(5 * MINUTE)
    assert place.trusted
    again = await guarded(home, off=-DAY)
    home.graph.fail_with("reset")
    await again.live(10 * MINUTE)
    assert again.guard.watch.doubt is Doubt.BEHIND
    assert again.guard.doubted_since is not None
    (letter,) = home.letters(OPS)
    assert "before an instant the monitor" in " ".join(letter.text.split())
    assert len(home.letters(ANN)) == 1  # of the first start, whose clock was right


async def test_without_graph_a_fresh_mark_vouches_for_a_restart(house: Builder) -> None:
    home = await house(a_token(expires_in=10 * DAY))
    place = await guarded(home)
    await place.live(2 * MINUTE)
    home.graph.fail_with("reset")
    soon = await guarded(home)
    soon.advance(2 * MINUTE)
    await soon.work()
    assert soon.trusted


async def test_without_graph_nobody_waits_long_for_a_date(house: Builder) -> None:
    home = await house(a_token(expires_in=17 * DAY))
    await home.check()
    home.graph.fail_with("reset")
    home.clock.advance(3 * DAY + HOUR)
    place = await guarded(home)
    await place.work()
    assert await home.entries() == [], "not believed yet"
    place.advance(MINUTE)
    await place.work()
    assert place.trusted, "an outage of Meta's is no evidence against the clock"
    await place.live(20 * MINUTE)
    assert len(home.letters(ANN)) == 1, "known dates are told all the same"
    assert home.letters(OPS) == []


@pytest.mark.parametrize("off", [YEARS, 30 * DAY])
async def test_a_restart_ends_no_doubt_that_was_written_down(
    house: Builder, off: timedelta
) -> None:
    """It did once, if Graph was down: owners read that living tokens had ended."""
    home = await house(a_token(expires_in=40 * DAY))
    place = await guarded(home)
    await place.live(10 * MINUTE)
    place.wall.advance(off)
    await place.live(10 * MINUTE)
    home.graph.fail_with("reset")
    place = await guarded(home, off=off)
    await place.live(HOUR)
    assert place.guard.doubted_since is not None
    assert home.owner_letters == []
    home.graph.fail_with(None)
    place.wall.now = home.clock()
    await place.live(30 * MINUTE)
    assert place.trusted
    assert home.owner_letters == []


async def test_a_command_by_hand_is_believed_unless_something_is_against_it(
    house: Builder,
) -> None:
    home = await house(a_token())
    right = await guarded(home, start=False)
    assert await right.guard.glance()
    right.guard.require()
    await right.work()
    wrong = await guarded(home, off=-DAY, start=False)
    assert not await wrong.guard.glance()
    assert wrong.guard.watch.doubt is Doubt.APART


async def test_after_a_visit_to_2036_everything_is_due_and_told_again(
    house: Builder,
) -> None:
    """Nobody guarded the clock: it ran years ahead for an hour, and came back."""
    home = await house(
        a_token("north", expires_in=20 * DAY), a_token("south"), a_token("dead")
    )
    home.graph.set_state("dead", "revoked")
    await (await guarded(home)).live(HOUR)
    assert len(home.letters(ANN)) == 1
    home.graph.set_state("south", "revoked")
    ahead = await guarded(home, off=YEARS, start=False, blind=True)
    await ahead.live(HOUR)
    home.graph.set_state("south", "valid")
    view = await home.view("south")
    assert view.last_checked_at is not None
    assert view.last_checked_at > home.clock() + DAY
    before = len(home.letters(ANN))
    place = await guarded(home)
    await place.live(HOUR)
    now = home.clock()
    for name in ("north", "south", "dead"):
        view = await home.view(name)
        seen = view.observation.verified_at
        assert seen is not None
        assert now - 2 * HOUR <= seen <= now
        assert now < view.next_check_at <= now + 6 * HOUR
    # South's matter, told in 2036, closed; what is true now is told anew.
    assert {n: (await home.view(n)).codes for n in ("north", "south", "dead")} == {
        "north": (),
        "south": (),
        "dead": ("revoked",),
    }
    assert [letter.message["X-Token-Monitor-Reason"] for letter in home.letters(ANN)][
        before:
    ] == ["opened"]
    # The ladder goes on where it was: fourteen days before its end north is told.
    told = len(home.letters(ANN))
    await place.live(7 * DAY, 2 * HOUR)
    reasons = [each.message["X-Token-Monitor-Reason"] for each in home.letters(ANN)]
    assert "opened" in reasons[told:]


async def test_three_days_asleep_over_three_thresholds_is_one_letter_a_token(
    house: Builder,
) -> None:
    rule = Rule(warn_before=(3 * DAY, 2 * DAY, DAY))
    home = await house(a_token(expires_in=3 * DAY + 6 * HOUR), rule=rule)
    place = await guarded(home)
    await place.live(10 * MINUTE)
    looks = (await home.view()).looks
    place.advance(3 * DAY)
    assert place.guard.watch.trusted(), "a long sleep is no evidence of trouble"
    await place.live(10 * MINUTE)
    assert (await home.view()).looks - looks == 1
    assert await home.entries() == [(ANN, "opened", "sent")]
    assert len(home.letters(ANN)) == 1


async def test_a_simulated_year_tells_each_threshold_once(house: Builder) -> None:
    rule = Rule(check_every=12 * DAY, remind_every=400 * DAY)
    home = await house(a_token(expires_in=340 * DAY), rule=rule)
    await home.live(365 * DAY)
    reasons = [reason for _, reason, _ in await home.entries()]
    assert sorted(reasons) == ["closer", "closer", "closer", "opened", "worsened"]
    assert len(home.letters(ANN)) == 5


BERLIN = Hours(frozenset(range(7)), time(9), time(17))


@pytest.mark.parametrize(
    ("day", "opens"),
    [
        pytest.param("2026-10-24", 7, id="summer time"),
        pytest.param("2026-10-25", 8, id="the day of 25 hours"),
        pytest.param("2027-03-27", 8, id="winter time"),
        pytest.param("2027-03-28", 7, id="the day of 23 hours"),
    ],
)
def test_office_hours_follow_the_readers_clock(day: str, opens: int) -> None:
    midnight = datetime.fromisoformat(day).replace(tzinfo=UTC) - 2 * HOUR
    found = BERLIN.next_open(midnight, "Europe/Berlin")
    assert found == datetime.fromisoformat(day).replace(tzinfo=UTC, hour=opens)


@pytest.mark.parametrize("day", ["2026-10-24", "2027-03-27"])
async def test_the_night_the_clocks_change_nobody_is_told_twice(
    house: Builder, clock: VirtualClock, day: str
) -> None:
    clock.now = datetime.fromisoformat(day).replace(tzinfo=UTC, hour=20)
    home = await house(a_token(expires_in=14 * DAY + 4 * HOUR), hours=BERLIN)
    place = await guarded(home)
    await place.live(DAY, HOUR / 2)
    assert place.trusted
    assert await home.entries() == [(ANN, "opened", "sent")]
