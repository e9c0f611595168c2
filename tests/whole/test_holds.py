"""Holds by the commands: what is held is listed, released once, and then told once."""

from collections import Counter
from datetime import timedelta
from pathlib import Path

from monitor.sandbox.mailbox import Mailbox
from tests.whole.tools import (
    APP,
    Graph,
    Place,
    graph,
    plan,
    scenario,
    until_later_than,
)

OPS = "ops@acme.example"
FLEET = [f"page-{n}" for n in range(8)]


def a_storm(place: Place, served: Graph) -> None:
    """Everything ends at once, and is confirmed."""
    place.run("tokens", "import", served.inventory)
    place.run("check")
    for each in FLEET:
        served.set_state(each, "revoked")
    place.run("check", code=1)
    since = place.tokens()[FLEET[0]]["suspicion"]["since"]
    until_later_than(since, timedelta(seconds=1))
    place.run("check", code=1)


def told(post: Mailbox) -> Counter[str]:
    return Counter(each.envelope_to[0] for each in post.received)


def test_a_storm_is_held_until_the_operator_releases_it(
    tmp_path: Path, post: Mailbox
) -> None:
    plot = scenario(*(plan(each, f"{each}@bakery.example") for each in FLEET))
    with graph(tmp_path / "graph", plot) as served:
        place = Place.make(tmp_path, graph=served.url, mail=post.port)
        place.change("at_least: 1000000", "at_least: 5")
        a_storm(place, served)
        assert place.ask("holds") == []
        place.run("deliver")
        place.run("deliver")
        assert told(post) == {OPS: 1}
        assert "Held" in post.received[0].subject

        (hold,) = place.ask("holds")
        assert (hold["app_id"], hold["users"], hold["entries"]) == (APP, 8, 8)
        status = place.ask("status")
        assert status["outbox"]["held"] == 8
        assert status["holds"][0]["id"] == hold["id"]
        waiting = place.ask("outbox", "list", "--state", "waiting")
        assert {entry["waits_for"] for entry in waiting} == {"hold"}
        listed = place.run("holds", "--format", "table").stdout
        assert f"holds release {APP}" in listed

        assert "no app has the id" in place.run("holds", "release", "9", code=2).stderr
        done = place.run("holds", "release", APP, "--reason", "it is real").stdout
        assert "8 notices to 8 readers" in done
        assert "nothing is held" in place.run("holds", "release", APP).stdout
        place.run("deliver")
        owners = {f"{each}@bakery.example": 1 for each in FLEET}
        assert told(post) == {OPS: 1, **owners}
        place.run("deliver")
        assert told(post).total() == 9
        (past,) = place.ask("holds", "--all")
        assert (past["ended_how"], past["reason"]) == ("released", "it is real")
        assert place.query("SELECT action, subject FROM audit") == [
            ("release", f"app:{APP}")
        ]


def test_what_recovers_is_forgotten_and_what_is_discarded_is_not_told(
    tmp_path: Path, post: Mailbox
) -> None:
    plot = scenario(*(plan(each, f"{each}@bakery.example") for each in FLEET))
    with graph(tmp_path / "graph", plot) as served:
        place = Place.make(tmp_path, graph=served.url, mail=post.port)
        place.change("at_least: 1000000", "at_least: 5")
        a_storm(place, served)
        place.run("deliver")
        served.set_state(FLEET[0], "valid")
        place.run("check", code=1)
        done = place.run("holds", "discard", APP).stdout
        assert "discarded, 8 notices" in done
        place.run("deliver")
        assert told(post) == {OPS: 1}
        assert place.ask("status")["outbox"] == {
            "waiting": 0,
            "sent": 1,
            "refused": 0,
            "held": 0,
            "dropped": 8,
        }
