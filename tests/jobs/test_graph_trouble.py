"""Trouble at Graph, with the caller, or with one row: nobody's token is blamed."""

from datetime import timedelta

import pytest
from sqlalchemy import text, update

from monitor.core.observation import Look
from monitor.core.policy import Rule
from monitor.core.tokens import Cause
from monitor.core.verdict import Severity
from monitor.errors import UnavailableError
from monitor.jobs.court import Court
from monitor.sandbox.faults import FAULTS
from monitor.sandbox.scenario import AppPlan
from monitor.store.judging import Judgement, Record
from monitor.store.tables import tokens
from tests.jobs.house import (
    ACME,
    ADS,
    ANN,
    BOB,
    DAY,
    HOUR,
    MINUTE,
    OPS,
    Builder,
    House,
    a_token,
)

SLOW = {"hang", "slow"}
SUDDEN = {"all_460"}
"""Faults that say something conclusive and false about tokens."""


@pytest.mark.parametrize("fault", sorted(set(FAULTS) - SUDDEN))
async def test_no_fault_of_a_call_changes_what_we_think(
    house: Builder, fault: str
) -> None:
    home = await house(a_token("dead"), a_token("well", BOB))
    home.graph.set_state("dead", "revoked")
    await home.live(30 * MINUTE)
    before = {name: await home.view(name) for name in ("dead", "well")}
    sent = len(home.owner_letters)

    home.graph.fail_with(fault)
    for _ in range(1 if fault in SLOW else 4):
        home.clock.advance(7 * HOUR)
        await home.check()
        await home.deliver()
    for name, was in before.items():
        now = await home.view(name)
        assert (now.severity, now.codes) == (was.severity, was.codes)
        assert now.observation.known == was.observation.known
        assert now.observation.suspicion is None
    assert len(home.owner_letters) == sent


async def test_a_mass_lie_that_ends_before_the_second_look_costs_no_letter(
    house: Builder,
) -> None:
    home = await house(a_token("north"), a_token("west", BOB))
    await home.check()
    home.graph.fail_with("all_460")
    home.clock.advance(7 * HOUR)
    assert (await home.check()).suspected == 2
    home.graph.fail_with(None)
    await home.live(DAY)
    assert home.subjects() == []
    assert (await home.view()).severity == "ok"


async def test_a_wrong_app_secret_is_one_letter_to_the_operator_and_no_verdict(
    house: Builder,
) -> None:
    home = await house(a_token("dead"), a_token("well", BOB))
    home.graph.set_state("dead", "revoked")
    home.graph.set_app_secret(ACME.id, "another-secret")
    await home.live(8 * HOUR)
    assert [each.envelope_to for each in home.letters()] == [(OPS,)]
    assert (await home.view("dead")).severity == "unknown"
    assert (await home.view("dead")).observation.suspicion is None

    home.graph.set_app_secret(ACME.id, ACME.secret)
    await home.live(3 * HOUR)
    matters = await home.entries()
    assert [m for m in matters if m[0] == OPS] == [
        (OPS, "opened", "sent"),
        (OPS, "resolved", "sent"),
    ]
    assert len(home.subjects(ANN)) == 1, "and now the owner hears what is true"


async def test_a_secret_that_goes_wrong_under_an_open_incident_adds_nothing(
    house: Builder,
) -> None:
    home = await house(a_token("dead"), a_token("well", BOB))
    home.graph.set_state("dead", "revoked")
    await home.live(30 * MINUTE)
    assert len(home.subjects(ANN)) == 1
    home.graph.set_app_secret(ACME.id, "another-secret")
    home.graph.set_state("well", "revoked")
    await home.live(10 * HOUR)
    assert (len(home.subjects(ANN)), len(home.subjects(OPS))) == (1, 1)
    assert home.subjects(BOB) == []
    view = await home.view("dead")
    assert view.codes == ("revoked",)
    assert view.incident is not None
    assert (await home.view("well")).severity == "ok"


async def test_a_throttled_app_rests_for_the_named_time_and_the_others_go_on(
    house: Builder,
) -> None:
    acme = AppPlan(
        "1", "Acme", secret="acme-secret", hourly_calls=3, regain=timedelta(minutes=19)
    )
    home = await house(
        *(a_token(f"north-{n}") for n in range(10)),
        *(a_token(f"ads-{n}", BOB, app=ADS.id) for n in range(10)),
        apps=(acme, ADS),
    )
    tally = await home.check()
    assert tally.by_severity[Severity.OK] >= 10
    states = await home.store.apps.states(["1", "2"])
    assert states["1"].pause_cause == Cause.THROTTLED
    assert states["1"].paused_until == home.clock() + 19 * MINUTE
    assert states["2"].paused_until is None
    for n in range(10):
        assert (await home.view(f"ads-{n}")).severity == "ok"

    asked = len(home.graph.calls)
    home.clock.advance(18 * MINUTE)
    await home.check()
    assert len(home.graph.calls) == asked
    home.clock.advance(2 * HOUR)
    await home.check()
    assert len(home.graph.calls) > asked


async def test_one_misplaced_token_is_the_operators_at_the_second_look(
    house: Builder,
) -> None:
    home = await house(
        a_token("stray", app=ADS.id, inventory={"app_id": ACME.id}),
        a_token("north"),
        a_token("south"),
        apps=(ACME, ADS),
    )
    assert (await home.check()).suspected == 1
    await home.live(30 * MINUTE)
    assert (await home.view("stray")).codes == ("wrong_app",)
    assert [each.envelope_to for each in home.letters()] == [(OPS,)]


async def test_a_mistyped_app_id_is_one_letter_and_no_verdict(house: Builder) -> None:
    home = await house(
        *(
            a_token(f"t-{n}", app=ADS.id, inventory={"app_id": ACME.id})
            for n in range(5)
        ),
        apps=(ACME, ADS),
    )
    await home.live(2 * HOUR)
    (letter,) = home.letters()
    assert letter.envelope_to == (OPS,)
    assert {(await home.view(f"t-{n}")).severity for n in range(5)} == {"unknown"}


async def test_an_unreadable_secret_stops_nobody_else(house: Builder) -> None:
    home = await house(a_token("torn"), a_token("well", BOB), a_token("dead", BOB))
    home.graph.set_state("dead", "revoked")
    async with home.store.database.write() as connection:
        await connection.execute(
            update(tokens).where(tokens.c.id == "torn").values(secret=b"\x01torn" * 20)
        )
    await home.live(30 * MINUTE)
    torn = await home.view("torn")
    assert (torn.inconclusive_cause, torn.severity) == ("secret", "unknown")
    assert (await home.view("well")).severity == "ok"
    assert sorted(each.envelope_to[0] for each in home.letters()) == [BOB, OPS]


class StumblingCourt(Court):
    """Cannot judge the tokens whose id begins with `bad`."""

    def judge(self, record: Record, look: Look | None) -> Judgement:
        if record.id.startswith("bad") and look and look.proved_at is not None:
            answer = look.answer
            if getattr(answer, "cause", None) is not Cause.INTERNAL:
                raise ZeroDivisionError
        return super().judge(record, look)


class LostCourt(Court):
    """Finds the database gone."""

    def judge(self, record: Record, look: Look | None) -> Judgement:
        raise UnavailableError(f"the disk of {record.id} is gone: {look is None}")


def preside(home: House, court: type[Court]) -> None:
    home.checker._court = court(home.charter, home.clock)


async def test_a_token_we_cannot_judge_spoils_no_other(house: Builder) -> None:
    plans = [a_token(f"t-{n:02}") for n in range(49)]
    home = await house(*plans, a_token("bad"))
    preside(home, StumblingCourt)
    tally = await home.check()
    assert (tally.looked, tally.conclusive, tally.failed) == (50, 49, 0)
    assert tally.by_severity[Severity.OK] == 49
    assert (await home.view("bad")).inconclusive_cause == "internal"
    history = await home.store.reports.history((await home.view("bad")).row_id)
    assert [row["answer"] for row in history] == [
        '{"detail":"","inconclusive":"internal"}'
    ]


async def test_a_database_that_is_gone_is_told_in_words(house: Builder) -> None:
    home = await house(a_token())
    preside(home, LostCourt)
    with pytest.raises(UnavailableError, match="the disk of north is gone"):
        await home.check()


async def test_a_token_of_an_app_no_longer_configured_delays_nobody(
    house: Builder,
) -> None:
    home = await house(
        a_token("north"), a_token("ads", BOB, app=ADS.id), apps=(ACME, ADS)
    )
    home.graph.set_state("north", "revoked")
    home.graph.set_state("ads", "revoked")
    await home.confirm()
    del home.charter.apps[ADS.id]  # type: ignore[attr-defined] # a dict, in truth
    home.clock.advance(MINUTE)
    delivered = await home.courier.deliver_now(home.checker.check_named)
    assert delivered.sent == 1
    assert [each.envelope_to for each in home.letters()] == [(ANN,)]


async def test_a_stopped_checker_gives_its_claims_back(house: Builder) -> None:
    home = await house(*(a_token(f"t-{n}") for n in range(120)))
    home.checker.stop()
    assert (await home.check()).looked == 0
    assert home.graph.calls == []
    async with home.store.database.read() as connection:
        query = text("SELECT count(*) FROM health WHERE next_check_at <= :now")
        due = await connection.scalar(
            query, {"now": int(home.clock().timestamp() * 1_000_000)}
        )
    assert due == 120


async def test_an_operator_hears_nothing_while_all_is_well(house: Builder) -> None:
    home = await house(a_token(expires_in=60 * DAY), rule=Rule())
    await home.live(3 * DAY)
    assert home.subjects() == []
