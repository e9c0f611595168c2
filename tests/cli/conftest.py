import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from tests.whole.tools import Place, graph, mailbox, plan, scenario, until_later_than

PLOT = scenario(
    plan(
        "bakery-north",
        more='kind: page, name: "Bakery North", used_for: the morning posts, '
        "expires_in: 3d, labels: {team: bakery}",
    ),
    plan("bakery-south", more="events: [{after: 0s, state: password_changed}]"),
    plan("harbour", "bob@harbour.example", 'name: "=1+1", expires_in: 50d'),
    plan("newsroom", "bob@harbour.example", "events: [{after: 0s, state: null_item}]"),
    plan("moved", "gone@bakery.example", "expires_in: 1d"),
)


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A small inventory, looked at twice and told of; nobody answers any more."""
    folder: Path = tmp_path_factory.mktemp("told")
    with mailbox() as post, graph(folder / "graph", PLOT) as served:
        post.refuse("gone@bakery.example")
        place = Place.make(folder / "place", graph=served.url, mail=post.port)
        shutil.copy(served.inventory, place.folder / "inventory.csv")
        place.run("tokens", "import", "inventory.csv")
        place.run("check", code=1)
        since = place.tokens()["bakery-south"]["suspicion"]["since"]
        until_later_than(since, timedelta(seconds=1))
        place.run("check", code=1)
        done = place.run("deliver", code=3)
        assert done.stdout.startswith("1 letter sent\n")
        assert "1 refused for good" in done.stderr
    return place


@pytest.fixture
def place(told: Place, tmp_path: Path) -> Place:
    """A copy of it, to be changed."""
    shutil.copytree(told.folder, tmp_path / "place")
    return Place(tmp_path / "place")


@pytest.fixture
def fresh(tmp_path: Path) -> Place:
    """A configuration and a key, and no database yet."""
    return Place.make(tmp_path / "fresh")
