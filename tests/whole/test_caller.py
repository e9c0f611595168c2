"""A bad caller, and a silent Graph: nobody's token is to blame."""

from pathlib import Path
from typing import Any

from monitor.sandbox.mailbox import Mailbox
from tests.whole.tools import APP, SECRET, Place, graph, plan, scenario

PLOT = scenario(
    plan("ann-1", more="expires_in: 50d"),
    plan("ann-2", more="expires_in: 5d"),
    plan("bob-1", "bob@harbour.example"),
)
KNOWN = ("severity", "codes", "suspicion", "verified_at", "incident")


def known(place: Place) -> dict[str, list[Any]]:
    return {i: [row[key] for key in KNOWN] for i, row in place.tokens().items()}


def test_neither_a_wrong_secret_nor_a_silent_graph_touches_what_is_known(
    tmp_path: Path, post: Mailbox
) -> None:
    with graph(tmp_path / "graph", PLOT) as served:
        place = Place.make(tmp_path, graph=served.url, mail=post.port)
        place.run("tokens", "import", served.inventory)
        place.run("check", code=1)
        place.run("deliver")
        assert [e.envelope_to for e in post.received] == [("ann@bakery.example",)]
        before = known(place)
        assert sorted(row[0] for row in before.values()) == ["ok", "ok", "warning"]

        place.change(SECRET, "mistyped-app-secret")
        done = place.run("check", code=3)
        assert f"app {APP} could not be asked: Meta refuses its id" in done.stderr
        place.run("check", code=3)
        assert known(place) == before
        place.run("deliver")
        place.run("deliver")
        assert [e.envelope_to for e in post.received[1:]] == [("ops@acme.example",)]
        printed = place.run("status", "--format", "json", "--exit-code", code=1).stdout
        assert f'"subject": "app:{APP}"' in printed
        assert "mistyped" not in printed

        place.change("mistyped-app-secret", SECRET)
        place.run("check", code=1)
        place.run("check", code=1)
        (app,) = place.ask("status")["apps"]
        assert (app["rejected_since"], app["paused_until"]) == (None, None)
        before = known(place)

    done = place.run("check", code=3)
    assert f"app {APP} could not be asked: no answer" in done.stderr
    assert known(place) == before
    owners = [e for e in post.received if e.envelope_to != ("ops@acme.example",)]
    assert len(owners) == 1


def test_a_wrong_secret_from_the_start_tells_the_operator_alone(
    tmp_path: Path, post: Mailbox
) -> None:
    with graph(tmp_path / "graph", PLOT) as served:
        place = Place.make(tmp_path, graph=served.url, mail=post.port)
        place.change(SECRET, "mistyped-app-secret")
        place.run("tokens", "import", served.inventory)
        place.run("check", code=3)
        place.run("deliver")
    assert [each.envelope_to for each in post.received] == [("ops@acme.example",)]
    assert {row["severity"] for row in place.tokens().values()} == {"unknown"}
