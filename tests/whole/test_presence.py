"""The daemon from outside: the web of a real process, and what systemd hears of it."""

import signal
import socket
import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from monitor.sandbox.mailbox import Mailbox
from tests.postgres import none_found, own_server
from tests.whole.tools import APP, Place, graph, plan, scenario, until
from tests.whole.web import Web, listen, shown

CROWD = 200


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_database_that_is_gone_for_a_while_is_seen_and_forgiven(
    tmp_path: Path,
) -> None:
    place = Place.make(tmp_path)
    listen(place)
    database = 'token_monitor_ready{organ="database"}'
    with shown(place) as (process, web):
        assert web.metric(database) == "1.0"
        with closing(sqlite3.connect(place.database, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            until(lambda: not web.ready, "readiness is gone", 10)
            status, text = web.get("readyz")
            assert (status, text) == (503, "database: took no write within 2 seconds\n")
            assert web.alive
            assert web.metric(database) == "0.0"
            other.execute("ROLLBACK")
        until(lambda: web.ready, "ready again by itself", 10)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
        assert not web.alive


def test_a_postgres_that_is_stopped_and_started_is_seen_and_forgiven(
    tmp_path: Path,
) -> None:
    with own_server() as server:
        if server is None:
            none_found()
        place = Place.make(tmp_path)
        place.change("sqlite:///monitor.db", server.create("ready"))
        listen(place)
        with shown(place) as (process, web):
            server.stop()
            until(lambda: not web.ready, "readiness is gone", 10)
            assert web.get("readyz")[1].startswith("database: ")
            assert web.alive
            server.start()
            until(lambda: web.ready, "ready again by itself", 20)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0


def test_two_hundred_slow_visitors_delay_no_sweep(tmp_path: Path) -> None:
    plot = scenario(plan("late", more="expires_in: 40d"))
    with graph(tmp_path / "graph", plot) as served, ExitStack() as crowd:
        place = Place.make(tmp_path, graph=served.url)
        listen(place)
        with shown(place) as (_, web):
            for _ in range(CROWD):
                visitor = socket.create_connection(("127.0.0.1", web.port), timeout=5)
                crowd.enter_context(visitor)
                visitor.sendall(b"GET /healthz HTTP/1.1\r\nX-Slow: ")
            place.run("tokens", "import", served.inventory)
            until(lambda: served.looks("late"), "the sweep", 5)
            assert web.alive
            tokens = f'token_monitor_tokens{{app="{APP}",severity="ok"}}'
            until(lambda: web.metric(tokens) == "1.0", "it is counted", 10)
            assert web.metric('token_monitor_looks_total{result="conclusive"}') == "1.0"


def test_the_web_moves_with_a_reload_and_a_taken_place_changes_nothing(
    tmp_path: Path,
) -> None:
    place, moved = Place.make(tmp_path), Web(free_port())
    listen(place)
    with shown(place) as (process, web), socket.socket() as taken:
        process.send_signal(signal.SIGHUP)
        until(lambda: place.events("policy.applied"), "the same again")
        assert web.ready, "an unchanged place stays"

        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        listen(place, port)
        process.send_signal(signal.SIGHUP)
        until(lambda: place.events("reload.refused"), "the refusal")
        (refused,) = place.events("reload.refused")
        fault = f"web.listen: cannot listen on 127.0.0.1:{port}: Address already in use"
        (told,) = refused["faults"]
        assert told.startswith(fault)
        assert web.ready
        other = Place.make(tmp_path / "other")
        listen(other, port)
        assert fault in other.run("run", code=69).stderr

        listen(place, moved.port)
        process.send_signal(signal.SIGHUP)
        until(lambda: moved.ready, "the new place")
        assert web.get("healthz")[0] == 0, "the old one is left"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0


def test_systemd_hears_how_the_daemon_is(
    tmp_path: Path, post: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place.make(tmp_path, mail=post.port)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
        door.bind(str(tmp_path / "notify"))
        door.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "400000")

        def next_word() -> str:
            """What is said next, but for pings."""
            for _ in range(100):  # 20 seconds of pings
                word = door.recv(4096).decode().partition("\n")[0]
                if word != "WATCHDOG=1":
                    return word
            return "nothing"

        with place.daemon() as process:
            assert next_word() == "READY=1"
            assert [door.recv(4096) for _ in range(3)] == [b"WATCHDOG=1"] * 3
            process.send_signal(signal.SIGHUP)
            assert next_word() == "RELOADING=1"
            assert next_word() == "READY=1"
            place.write("monitor.yaml", "nonsense")
            process.send_signal(signal.SIGHUP)
            assert next_word() == "RELOADING=1"
            assert next_word() == "READY=1", "systemd waits for it in any case"
            process.send_signal(signal.SIGTERM)
            assert next_word() == "STOPPING=1"
            assert process.wait(timeout=30) == 0
