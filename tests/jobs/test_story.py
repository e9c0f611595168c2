"""Stories in virtual time; what people received is the whole assertion."""

from datetime import datetime

from monitor.core.policy import Rule
from tests.jobs.house import ANN, BOB, DAY, HOUR, MINUTE, OPS, Builder, House, a_token

BOSS = "boss@bakery.example"


async def told(home: House, start: datetime) -> list[tuple[int, str, str]]:
    """Day, reader and reason of everything that was sent."""
    rows = await home.store.reports.entries(state="sent")
    rows.sort(key=lambda row: (row["settled_at"], row["recipient"]))
    return [
        ((row["settled_at"] - start).days, row["recipient"], row["reason"])
        for row in rows
    ]


async def test_sixty_days_of_a_token_nobody_renews_and_then_somebody_does(
    house: Builder,
) -> None:
    rule = Rule(escalate_to=(BOSS,), escalate_after=4 * DAY, check_every=12 * HOUR)
    home = await house(a_token(expires_in=40 * DAY), rule=rule)
    start = home.clock()
    await home.live(58 * DAY)
    fresh = home.graph.replace_token("north")
    row = house.row(home, "north", token=fresh)
    await home.store.inventory.import_rows([row], home.clock())
    await home.live(2 * DAY)
    assert await told(home, start) == [
        (26, ANN, "opened"),
        (33, ANN, "closer"),
        (37, ANN, "closer"),
        (39, ANN, "closer"),
        (40, ANN, "worsened"),
        (43, ANN, "reminder"),
        (44, BOSS, "escalated"),
        (47, ANN, "reminder"),
        (50, ANN, "reminder"),
        (58, ANN, "resolved"),
        (58, BOSS, "resolved"),
    ]
    assert len(home.subjects(ANN)) == 9
    assert home.subjects(OPS) == []
    first, *rest = home.letters(ANN)
    assert all(
        first.message["Message-ID"] in each.message["References"] for each in rest
    )


async def test_a_daemon_asleep_for_weeks_says_one_thing_on_waking(
    house: Builder,
) -> None:
    home = await house(a_token(expires_in=20 * DAY))
    await home.check()
    home.clock.advance(18 * DAY)
    await home.live(HOUR)
    assert await home.entries() == [(ANN, "opened", "sent")]
    assert len(home.subjects(ANN)) == 1


async def test_reminders_end_after_three_and_the_escalation_is_told_once(
    house: Builder,
) -> None:
    rule = Rule(remind_every=DAY, escalate_to=(BOSS,), escalate_after=36 * HOUR)
    home = await house(a_token(), rule=rule)
    home.graph.set_state("north", "revoked")
    start = home.clock()
    await home.live(10 * DAY)
    assert await told(home, start) == [
        (0, ANN, "opened"),
        (1, ANN, "reminder"),
        (1, BOSS, "escalated"),
        (2, ANN, "reminder"),
        (3, ANN, "reminder"),
    ]


async def test_an_owner_hears_once_of_everything_that_ends_together(
    house: Builder,
) -> None:
    home = await house(
        *(a_token(f"page-{n:02}", expires_in=10 * DAY) for n in range(30)),
        *(a_token(f"beer-{n}", BOB, expires_in=10 * DAY) for n in range(3)),
    )
    await home.live(HOUR)
    assert sorted(each.envelope_to for each in home.letters()) == [(ANN,), (BOB,)]
    await home.live(MINUTE)
