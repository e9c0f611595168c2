"""Real daemons under a clock that lies: libfaketime moves what they take for now."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from monitor.sandbox.mailbox import Mailbox
from tests.whole.tools import (
    Graph,
    Place,
    Process,
    graph,
    kill,
    mailbox,
    plan,
    scenario,
    until,
)

OPS: Final = "ops@acme.example"
LIBRARY: Final = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)

pytestmark = pytest.mark.skipif(
    LIBRARY is None, reason="no libfaketime: apt-get install libfaketime"
)


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    """A file whose text moves the wall clock of the daemons started from now on.

    The steady clocks stay what they are, as when somebody sets the wall clock.
    """
    path = tmp_path / "wrong-by"
    path.write_text("+0", encoding="ascii")
    return path


@contextmanager
def daemon(place: Place, wrong: Path) -> Iterator[Process]:
    """A daemon that takes for now what the file says; the tools are not deceived."""
    lies = {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(wrong),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with (place.folder / "run.log").open("a", encoding="utf-8") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "monitor", "run"],
            cwd=place.folder,
            env={**os.environ, **lies},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            text=True,
        )
    try:
        yield process
    finally:
        kill(process)


def owners(post: Mailbox) -> list[str]:
    return [each.subject for each in post.received if each.envelope_to[0] != OPS]


def operators(post: Mailbox) -> list[str]:
    return [each.subject for each in post.received if each.envelope_to[0] == OPS]


PLOT: Final = scenario(
    plan("soon", more="expires_in: 348h"),
    plan("later", more="expires_in: 300d"),
    plan("never"),
)


LATE: Final = (
    "SELECT count(*) FROM health "
    "WHERE next_check_at > (strftime('%s', 'now') + 21600) * 1000000"
)
"""Tokens due later than the six hours of their rule."""


@contextmanager
def town(folder: Path) -> Iterator[tuple[Place, Mailbox, Graph]]:
    with graph(folder / "graph", PLOT) as served, mailbox() as post:
        place = Place.make(folder, graph=served.url, mail=post.port)
        place.run("tokens", "import", served.inventory)
        yield place, post, served


def test_a_daemon_started_by_a_wrong_clock_claims_nothing_until_it_is_right(
    tmp_path: Path, wrong: Path
) -> None:
    """-20000d is 1972: what a machine without a battery may take for now."""
    with town(tmp_path) as (place, post, served):
        for number, off in enumerate(("-20000d", "-1d", "+1d", "+3650d"), 1):
            wrong.write_text(off, encoding="ascii")
            (tmp_path / "run.log").unlink(missing_ok=True)
            with daemon(place, wrong) as process:
                until(lambda: place.events("clock.doubted"), "the clock is doubted")
                until(lambda: operators(post), "the operator hears")
                assert place.query("SELECT sum(looks) FROM health") == [(0,)]
                if number == 4:
                    set_clock(place, wrong, "+0", "clock.trusted")
                    until(lambda: place.events("check.done"), "tokens are looked at")
                    process.terminate()
                    assert process.wait(timeout=30) == 0
        rows = place.tokens()
        assert {row["severity"] for row in rows.values()} == {"ok"}
        assert place.query(LATE) == [(0,)]
        assert owners(post) == []
        assert all("its own clock" in each for each in operators(post))
        assert served.looks("never") == 1


def set_clock(place: Place, wrong: Path, off: str, event: str) -> None:
    before = len(place.events(event))
    wrong.write_text(off, encoding="ascii")
    until(lambda: len(place.events(event)) > before, f"{event} at {off}")


def test_a_clock_that_is_set_under_a_running_daemon_tells_no_owner(
    tmp_path: Path, wrong: Path
) -> None:
    with town(tmp_path) as (place, post, _), daemon(place, wrong):
        until(lambda: len(place.events("check.done")) == 1, "a sweep")
        for off in ("-1d", "+1d", "+3650d"):
            set_clock(place, wrong, off, "clock.doubted")
            assert len(place.events("check.done")) == 1
            set_clock(place, wrong, "+0", "clock.trusted")
        # It works on: what falls due is looked at.
        place.run("tokens", "import", place.write("more.csv", another()))
        until(lambda: len(place.events("check.done")) > 1, "another sweep")
        assert owners(post) == []
        rows = place.tokens()
        assert {rows[each]["severity"] for each in ("soon", "never")} == {"ok"}


def another() -> str:
    """A token Graph does not know: it is looked at all the same."""
    return "id,token,app_id,owner_email\nnew,EAAnew,1234567890,ann@bakery.example\n"


def test_a_daemon_that_believes_any_clock_would_tell_owners_nonsense(
    tmp_path: Path, wrong: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: with the guard taken out, +1d tells of a rung too early."""
    with town(tmp_path) as (place, post, _):
        wrong.write_text("+1d", encoding="ascii")
        site = tmp_path / "site"
        site.mkdir()
        (site / "sitecustomize.py").write_text(
            "import monitor.jobs.watch as w\n"
            "w.Watch.distrust = lambda self, why, now: None\n"
            "w.Watch.trusted = lambda self: True\n",
            encoding="utf-8",
        )
        monkeypatch.setenv("PYTHONPATH", str(site))
        with daemon(place, wrong):
            until(lambda: owners(post), "an owner is told what is not true yet")
