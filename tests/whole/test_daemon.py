"""The daemon under the signals of the world: nothing lost, nothing told twice."""

import signal
from collections import Counter
from pathlib import Path

from monitor.sandbox.mailbox import Mailbox
from tests.whole.tools import (
    APP,
    Place,
    Process,
    graph,
    kill,
    plan,
    scenario,
    until,
)

LINES = 4
"""Letters under way at once: so many may be in the ack window at a kill."""
OWNERS = 40
_FAR = "SELECT severity FROM tokens JOIN health ON token_row = row_id WHERE id = 'far'"


def fleet(token_id: str, more: str) -> str:
    owner = f"{token_id}-{{n}}@bakery.example"
    return plan(f"{token_id}-{{n}}", owner, f"count: {OWNERS}, {more}")


def alive(place: Place, process: Process) -> None:
    """Wait until the daemon has given a sign of life."""
    assert process.poll() is None, place.log()
    until(lambda: place.events("daemon.started"), "daemon.started")
    until(lambda: place.events("check.done"), "its first sweep")


def open_entries(place: Place) -> int:
    (count,) = place.query("SELECT count(*) FROM outbox WHERE state != 'sent'")[0]
    return int(count)


def never_checked(place: Place) -> int:
    return int(
        place.query("SELECT count(*) FROM health WHERE last_checked_at IS NULL")[0][0]
    )


def test_kill_9_in_a_sweep_and_in_delivering_loses_and_doubles_nothing(
    tmp_path: Path, post: Mailbox
) -> None:
    plot = scenario(
        groups=(
            fleet("ending", "expires_in: 3d"),
            fleet("reset", "events: [{after: 0s, state: password_changed}]"),
            fleet("fine", "expires_in: 50d"),
        )
    )
    plot += "faults: [{after: 0s, for: 8s, app: all, fault: slow(1s)}]\n"
    with graph(tmp_path / "graph", plot) as served:
        place = Place.make(tmp_path, graph=served.url, mail=post.port)
        place.change("lease: 30s", "lease: 5s")
        place.change("workers: 2", "workers: 1, batch_size: 20")
        place.run("tokens", "import", served.inventory)
        with place.daemon() as first:
            until(lambda: never_checked(place) < 3 * OWNERS, "the sweep has begun")
            kill(first)
        assert 0 < never_checked(place) < 3 * OWNERS, "killed in the middle"
        with place.daemon() as second:
            until(lambda: len(post.received) >= 10, "letters leave")
            kill(second)
        told = place.query("SELECT count(*) FROM outbox WHERE state = 'sent'")[0][0]
        assert told < 2 * OWNERS, "killed in the middle"
        with place.daemon() as third:
            until(
                lambda: (
                    never_checked(place) == 0
                    and len({e.envelope_to for e in post.received}) >= 2 * OWNERS
                    and open_entries(place) == 0
                ),
                "everything is told",
                60,
            )
            third.send_signal(signal.SIGTERM)
            assert third.wait(timeout=30) == 0

    received = Counter(e.message["Message-ID"] for e in post.received)
    stored = {each for (each,) in place.query("SELECT message_id FROM letters")}
    assert set(received) == stored, "every letter arrived, and no other"
    assert sum(received.values()) - len(received) <= LINES, "the ack window at most"
    people = Counter({e.message["Message-ID"]: e.envelope_to for e in post.received})
    readers = Counter(people.values())
    assert set(readers.values()) == {1}, "one letter a person, under one Message-ID"
    assert len(readers) == 2 * OWNERS


def test_a_running_daemon_shares_its_database_and_reloads(
    tmp_path: Path, post: Mailbox
) -> None:
    plot = scenario(
        plan("near", more="expires_in: 3d"),
        plan("far", "bob@harbour.example", more="expires_in: 40d"),
    )
    with graph(tmp_path / "graph", plot) as served:
        place = Place.make(tmp_path, graph=served.url, mail=post.port)
        place.run("tokens", "import", served.inventory)
        with place.daemon() as process:
            alive(place, process)

            second = place.run("run", code=73)
            assert f"(process {process.pid}) has this file" in second.stderr
            assert second.stderr.count("\n") == 1
            place.run("check", code=1)
            place.run("deliver")
            until(lambda: len(post.received) == 1, "the letter")
            place.run("status", "--exit-code")

            good = place.config.read_text(encoding="utf-8")
            place.configure(good.replace("workers: 2", "wokers: 2"))
            process.send_signal(signal.SIGHUP)
            until(lambda: place.events("reload.refused"), "the refusal")
            (refused,) = place.events("reload.refused")
            assert "monitor.yaml:3:" in refused["faults"][0]
            assert "did you mean" in refused["faults"][0]
            assert process.poll() is None

            calls = len(served.calls())
            place.configure(
                good.replace(
                    "  - name: default\n",
                    "  - name: default\n    warn_before: [60d]\n",
                )
            )
            process.send_signal(signal.SIGHUP)
            until(lambda: place.events("policy.applied"), "the new policy")
            assert len(served.calls()) == calls, "judged again without asking"
            severity = _FAR
            assert place.query(severity) == [("warning",)]
            until(lambda: len(post.received) == 2, "the letter of the new policy")
            assert post.received[1].envelope_to == ("bob@harbour.example",)

            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0
        assert place.log()[-1]["event"] == "daemon.stopped"
        assert "Traceback" not in (place.folder / "run.log").read_text()
    assert len(post.received) == 2


def test_sigterm_ends_a_daemon_that_waits_for_graph_and_for_the_mail_server(
    tmp_path: Path, post: Mailbox
) -> None:
    plot = scenario(groups=(fleet("ending", "expires_in: 3d"),))
    with graph(tmp_path / "graph", plot) as served:
        place = Place.make(tmp_path, graph=served.url, mail=post.port)
        place.run("tokens", "import", served.inventory)
        post.hang_at("RCPT")
        with place.daemon() as process:
            until(lambda: post.connections >= LINES, "letters are under way")
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0
        assert place.log()[-1]["event"] == "daemon.stopped"
        assert post.received == []
        post.mend()
        place.run("deliver")
    assert len(post.received) == OWNERS
    assert open_entries(place) == 0
    assert APP not in {str(e.envelope_to) for e in post.received}
