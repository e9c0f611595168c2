"""Two clocks of a token: its own end, and the end of data access."""

from datetime import datetime, timedelta
from pathlib import Path

from monitor.app import clock
from monitor.sandbox.mailbox import Mailbox
from tests.whole.tools import Place, graph, plan, scenario


def test_a_token_that_ends_at_0_never_expires(tmp_path: Path) -> None:
    plot = scenario(
        plan("forever", more="kind: page"),
        plan("said-so", more="events: [{after: 0s, state: never_expiring}]"),
        plan("lapsing", more="data_access_expires_in: 5d"),
        plan("lapsed", more="data_access_expires_in: -1d"),
        plan("ending", more="expires_in: 5d, data_access_expires_in: 60d"),
        plan("robot", more="kind: system_user, data_access_expires_in: 5d"),
    )
    with graph(tmp_path / "graph", plot) as served:
        place = Place.make(tmp_path, graph=served.url)
        place.run("tokens", "import", served.inventory)
        place.run("check", code=1)
    rows = place.tokens()
    assert {i: (r["severity"], r["codes"]) for i, r in rows.items()} == {
        "forever": ("ok", []),
        "said-so": ("ok", []),
        "lapsing": ("warning", ["data_access_expiring"]),
        "lapsed": ("critical", ["data_access_expired"]),
        "ending": ("warning", ["expiring"]),
        "robot": ("ok", []),
    }
    assert rows["forever"]["expires_at"] is None
    assert rows["lapsing"]["expires_at"] is None
    assert rows["robot"]["data_access_expires_at"] is None
    lapses_at = datetime.fromisoformat(rows["lapsing"]["data_access_expires_at"])
    assert timedelta(days=4, hours=23) < lapses_at - clock() < timedelta(days=5)


def test_first_seen_20_days_and_next_2_days_before_its_end_it_gets_one_letter(
    tmp_path: Path, post: Mailbox
) -> None:
    place = Place.make(tmp_path, mail=post.port)
    letters = []
    for days, rounds in ((20, 1), (2, 2), (1, 1)):
        # The same text: to the monitor it is the very same token, later.
        plot = scenario(plan("bakery", more=f"expires_in: {days}d, token: EAAsame1"))
        with graph(tmp_path / str(days), plot) as served:
            place.ask_graph(served)
            if days == 20:
                place.run("tokens", "import", served.inventory)
            for _ in range(rounds):
                place.run("check", code=0 if days == 20 else 1)
                place.run("deliver")
            letters.append(len(post.received))
    assert letters == [0, 1, 2]
    opened, closer = (letter.message for letter in post.received)
    assert opened["X-Token-Monitor-Reason"] == "opened"
    assert closer["X-Token-Monitor-Reason"] == "closer"
    assert closer["References"] == opened["Message-ID"]


def test_a_token_renewed_meanwhile_gets_no_letter_though_one_was_planned(
    tmp_path: Path, post: Mailbox
) -> None:
    place = Place.make(tmp_path, mail=post.port)
    for days, text in ((2, "EAAold11"), (60, "EAAnew22")):
        more = f"expires_in: {days}d, token: {text}"
        plot = scenario(plan("bakery", more=more))
        with graph(tmp_path / str(days), plot) as served:
            place.ask_graph(served)
            place.run("tokens", "import", served.inventory)
            if days == 2:
                place.run("check", code=1)
                states = place.query("SELECT state FROM outbox")
                assert states == [("waiting",)]
            else:
                place.run("check")
                place.run("deliver")
    assert post.received == []
    (row,) = place.tokens().values()
    assert (row["version"], row["severity"]) == (2, "ok")
