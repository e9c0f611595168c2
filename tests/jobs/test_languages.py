"""In which language and zone a reader reads, from the inventory to the letter."""

from datetime import timedelta

from monitor.core.policy import Rule
from tests.jobs.house import ANN, BOB, DAY, HOUR, OPS, Builder, a_token

BOSS = "boss@acme.example"
IN_THREE_DAYS = timedelta(days=2, hours=20)


async def test_whoever_has_no_language_reads_the_one_of_the_house(house: Builder):
    home = await house(
        a_token("north", expires_in=IN_THREE_DAYS),
        a_token("south", BOB, expires_in=IN_THREE_DAYS),
        locale="de",
        timezone="Asia/Tokyo",
    )
    bobs = house.row(home, "south", locale="en-US", timezone="America/New_York")
    await home.store.inventory.import_rows([bobs], home.clock())
    await home.live(HOUR)
    (anns,), (his,) = home.letters(ANN), home.letters(BOB)
    assert "endet am Fr., 27. Nov." in anns.subject
    assert "27. Nov. 2026, 14:00 JST" in " ".join(anns.text.split())
    assert "ends Fri 27 Nov (in 3 days)" in his.subject
    assert "27 Nov 2026, 00:00 EST" in " ".join(his.text.split())


async def test_the_operator_and_the_escalation_read_the_one_of_the_house(
    house: Builder,
):
    home = await house(
        a_token("north"),
        a_token("south", BOB),
        rule=Rule(escalate_to=(BOSS,), escalate_after=DAY),
        locale="de",
    )
    home.graph.set_state("north", "revoked")
    home.graph.set_state("south", "malformed")
    await home.live(3 * DAY)
    assert any("„South“" in subject for subject in home.subjects(OPS))
    (letter,) = [each for each in home.letters(BOSS) if "„North“" in each.subject]
    assert "Guten Tag" in letter.text
