"""The command from outside: real processes, a real folder, a real mailbox."""

import asyncio
import csv
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from monitor.app import clock
from monitor.config import new_key
from monitor.sandbox.mailbox import Mailbox

APP, SECRET = "1234567890", "rehearsed-app-secret"
Done = subprocess.CompletedProcess[str]
Process = subprocess.Popen[str]

CONFIG = """\
database: sqlite:///monitor.db
keys: [{{id: k1, secret_file: monitor.key}}]
graph: {{base_url: "{graph}", workers: 2}}
apps:
  - {{id: "{app}", name: Acme Publisher, secret: {secret}}}
policies:
  - name: pages
    match: {{label: {{team: pages}}}}
    confirm_after: 1s
    required_scopes: [pages_manage_posts, pages_read_engagement]
    required_targets: {{pages_manage_posts: ["610000000000001"]}}
  - name: default
    confirm_after: 1s
mail:
  host: 127.0.0.1
  port: {mail}
  tls: none
  group_wait: 1s
  letters_per_day: null
  from: Acme Publisher <tokens@acme.example>
operator: {{email: [ops@acme.example]}}
hold: {{sudden: {{at_least: 1000000}}, owner_letters_per_hour: null}}
schedule: {{tick: 1s, lease: 30s}}
"""


def until(condition: Callable[[], object], what: str, seconds: float = 30) -> None:
    """Poll until something holds; a deadline that passes is a failure."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def until_later_than(at: str, by: timedelta) -> None:
    """Wait until the clock shows more than `by` after an instant of ours."""
    # Printed instants have no fractions: a second more is certain.
    end = datetime.fromisoformat(at) + by + timedelta(seconds=1)
    until(lambda: clock() > end, f"{by} after {at}")


def environment() -> dict[str, str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("TOKEN_MONITOR")}
    return env | {"COLUMNS": "200", "PYTHONPATH": str(Path(__file__).parents[2])}


def monitor(
    folder: Path, *arguments: object, text: str | None = None, timeout: float = 90
) -> Done:
    """Run the command to its end in a folder; never with a terminal."""
    done = subprocess.run(
        [sys.executable, "-m", "monitor", *map(str, arguments)],
        cwd=folder,
        env=environment(),
        input=text if text is not None else "",
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert "Traceback" not in done.stdout, done.stdout
    return done


class Place:
    """A folder with a configuration, an inventory and whatever the command leaves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "monitor.yaml"
        self.database = folder / "monitor.db"
        self.key = folder / "monitor.key"

    @classmethod
    def make(
        cls, folder: Path, *, graph: str = "http://127.0.0.1:9", mail: int = 9
    ) -> "Place":
        """A folder with a configuration and a key; by default nobody answers."""
        folder.mkdir(parents=True, exist_ok=True)
        place = cls(folder)
        place.key.touch(mode=0o600)
        place.key.write_text(new_key(), encoding="ascii")
        place.configure(CONFIG.format(graph=graph, app=APP, secret=SECRET, mail=mail))
        return place

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """What the database holds, read beside whoever else has it open."""
        address = f"file:{self.database}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=30)) as connection:
            return connection.execute(statement).fetchall()

    def ask_graph(self, served: "Graph") -> None:
        """Turn to another simulated Graph from now on."""
        old = self.config.read_text(encoding="utf-8")
        self.configure(re.sub(r'base_url: "[^"]*"', f'base_url: "{served.url}"', old))

    def configure(self, text: str) -> None:
        self.config.write_text(text, encoding="utf-8")

    def change(self, old: str, new: str) -> None:
        text = self.config.read_text(encoding="utf-8")
        assert old in text
        self.configure(text.replace(old, new))

    def run(self, *arguments: object, text: str | None = None, code: int = 0) -> Done:
        """Run a command here; it has to end with this code."""
        done = monitor(self.folder, *arguments, text=text)
        assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
        return done

    def ask(self, *arguments: object) -> Any:
        """What a command prints as JSON; standard output holds nothing else."""
        return json.loads(self.run(*arguments, "--format", "json").stdout)

    def tokens(self) -> dict[str, dict[str, Any]]:
        return {row["id"]: row for row in self.ask("tokens", "list")}

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, encoding="utf-8", newline="")
        return path

    def start(self, *arguments: object, log: str = "run.log") -> Process:
        """Start a command and leave it running; what it says is added to a file."""
        with (self.folder / log).open("a", encoding="utf-8") as stream:
            return subprocess.Popen(
                [sys.executable, "-m", "monitor", *map(str, arguments)],
                cwd=self.folder,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                text=True,
            )

    @contextmanager
    def daemon(self, *options: str) -> Iterator[Process]:
        """A running daemon that does its work; killed at the end if it still lives."""
        process = self.start(*options, "run")
        try:
            yield process
        finally:
            kill(process)

    def log(self, name: str = "run.log") -> list[dict[str, Any]]:
        """What the daemon said so far, each line an event."""
        lines = (self.folder / name).read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def events(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.log() if event["event"] == name]


def kill(process: Process) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    process.wait(timeout=30)


class Graph:
    """A simulated Graph in a process of its own."""

    def __init__(self, url: str, inventory: Path) -> None:
        self.url = url
        self.inventory = inventory

    def set_state(self, token: str, state: str) -> None:
        self._call("POST", f"state?token={token}&state={state}")

    def calls(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._call("GET", "calls")
        return found

    def looks(self, token: str) -> int:
        return sum(call["items"].count(token) for call in self.calls())

    def _call(self, method: str, path: str) -> Any:
        request = urllib.request.Request(  # noqa: S310 - loopback
            f"{self.url}/_sandbox/{path}", method=method
        )
        with urllib.request.urlopen(request, timeout=30) as reply:  # noqa: S310
            return json.load(reply)


@contextmanager
def graph(folder: Path, scenario: str, *options: str) -> Iterator[Graph]:
    """Serve a scenario by `token-monitor sandbox` until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    plot, inventory = folder / "scenario.yaml", folder / "inventory.csv"
    plot.write_text(scenario, encoding="utf-8")
    command = [sys.executable, "-m", "monitor", "sandbox", "--port", "0"]
    with subprocess.Popen(
        [*command, "--scenario", plot, "--inventory", inventory, *options],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield Graph(process.stdout.readline().split()[-1], inventory)
        finally:
            process.terminate()
            assert process.wait(timeout=30) == 0


@contextmanager
def mailbox(username: str | None = None, password: str = "") -> Iterator[Mailbox]:
    """A real SMTP server in a thread of this process."""
    loop = asyncio.new_event_loop()
    opened: list[Mailbox] = []
    up, leave = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with Mailbox.open(
            clock=clock, username=username, password=password
        ) as box:
            opened.append(box)
            up.set()
            await leave.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert up.wait(30), "the mailbox did not open"
        yield opened[0]
    finally:
        loop.call_soon_threadsafe(leave.set)
        thread.join(30)
        loop.close()


def scenario(*tokens: str, groups: tuple[str, ...] = ()) -> str:
    """A scenario of one app; tokens and groups in YAML's flow style."""
    lines = [f'apps: [{{id: "{APP}", name: Acme Publisher, secret: {SECRET}}}]']
    for name, rows in (("tokens", tokens), ("groups", groups)):
        if rows:
            lines += [f"{name}:", *(f"  - {row}" for row in rows)]
    return "\n".join(lines) + "\n"


def plan(token_id: str, owner: str = "ann@bakery.example", more: str = "") -> str:
    """One token, or with `{n}` and a count a group, of a scenario."""
    extra = f", {more}" if more else ""
    return f'{{id: "{token_id}", app: "{APP}", owner: {{email: "{owner}"}}{extra}}}'


def inventory(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))
