"""The heartbeat from outside: a real daemon, and a real watchman that listens."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.faults.watchman import PATH
from tests.whole.tools import SECRET, Place, graph, mailbox, plan, scenario, until


class Listener(ThreadingHTTPServer):
    """Counts pings, and answers with a status."""

    def __init__(self) -> None:
        self.pings: list[str] = []
        self.status = 200
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}{PATH}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Listener)
        self.server.pings.append(self.path)
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Say nothing."""


@contextmanager
def listening() -> Iterator[Listener]:
    with Listener() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(30)


def ticks(place: Place) -> int:
    """How many signs of life the daemon has given; its pulse moves at each."""
    found = place.query("SELECT at FROM marks WHERE name LIKE 'daemon:%'")
    return max((int(at) for (at,) in found), default=0)


def some_ticks(place: Place) -> None:
    for _ in range(3):
        before = ticks(place)
        until(lambda at=before: ticks(place) > at, "a tick")  # type: ignore[misc] # bound now


def test_a_daemon_pings_while_all_is_well_and_only_then(tmp_path: Path) -> None:
    plot = scenario(plan("ann-1", more="expires_in: 50d"))
    with (
        listening() as listener,
        mailbox() as post,
        graph(tmp_path / "graph", plot) as served,
    ):
        place = Place.make(tmp_path, graph=served.url, mail=post.port)
        place.change(
            "operator: {email: [ops@acme.example]}",
            f'operator: {{email: [ops@acme.example], heartbeat_url: "{listener.url}"}}',
        )
        place.run("tokens", "import", served.inventory)
        with place.daemon("--log-level", "debug"):
            until(lambda: listener.pings, "the first ping")
        assert listener.pings == [PATH]

        # A watchman who refuses stops nothing and is no secret's end.
        listener.status = 503
        with place.daemon("--log-level", "debug"):
            until(lambda: place.events("heartbeat.failed"), "a ping that failed")
            some_ticks(place)
        (failed,) = place.events("heartbeat.failed")
        assert failed["reason"] == "status 503"
        listener.status = 200
        pings = len(listener.pings)

        # Meta refuses the caller: alive, working, and not to be trusted.
        place.change(SECRET, "mistyped-app-secret")
        place.run("check", code=3)
        with place.daemon("--log-level", "debug"):
            until(lambda: place.events("organ.failed"), "an organ that fails")
            some_ticks(place)
        assert len(listener.pings) == pings
        assert place.events("organ.failed")[0]["organ"] == "graph"
    log = (place.folder / "run.log").read_text(encoding="utf-8")
    assert "canary" not in log
    assert "Traceback" not in log
