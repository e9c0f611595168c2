"""Two hundred faults, one a function: no secret comes out, and no letter is lost."""

import base64
import gc
import io
import logging
import os
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, nullcontext, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType
from urllib.parse import quote

import pytest
import structlog

from monitor import log
from monitor.cli import main
from monitor.sandbox.mailbox import Mailbox
from tests.faults.canaries import (
    APP_SECRET,
    BEAT,
    DATABASE,
    LENGTH,
    PASSWORD,
    TOKEN,
    Search,
    Watch,
    watching,
)
from tests.whole.tools import SECRET, Place, graph, mailbox, plan
from tests.whole.tools import scenario as plot_of

pytestmark = [
    # A fault in what closes a connection leaves it to the collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]
FAULTS = 200
ANN = "ann@bakery.example"
KINDS = (RuntimeError, ValueError, OSError)
DOCUMENTED = {0, 1, 3, 69, 78}
HOUR = 3_600_000_000


@dataclass
class Life:
    """What a command of this process said and how it ended."""

    code: int
    said: str


def live(place: Place, *words: str, watch: Watch | None = None) -> Life:
    """Run a command here, at debug, as the interpreter would."""
    log._words.clear()  # as in a new process
    out = io.StringIO()
    arguments = ["-c", str(place.config), "--log-level", "debug", *words]
    with redirect_stdout(out), redirect_stderr(out):
        try:
            with watching(watch) if watch is not None else nullcontext():
                main(arguments)
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
    return Life(code, out.getvalue())


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """A command changes the log and the collector of its process."""
    root, limits = logging.getLogger(), gc.get_threshold()
    handlers, level, config = root.handlers[:], root.level, structlog.get_config()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**config)
    gc.set_threshold(*limits)
    gc.unfreeze()
    gc.collect()  # what a fault left open is closed here


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, Mailbox]]:
    """One token near its end, one well; every secret of the configuration marked."""
    folder = tmp_path_factory.mktemp("canaries")
    dying = f'token: "{TOKEN}", expires_in: 3d'
    plot = plot_of(plan("ann-1", more=dying), plan("bob-1", "bob@harbour.example"))
    plot = plot.replace(SECRET, APP_SECRET)
    with mailbox("acme", PASSWORD) as post, graph(folder / "graph", plot) as served:
        place = Place.make(folder, graph=served.url, mail=post.port)
        login = f"  username: acme\n  password: {PASSWORD}"
        place.change("  tls: none", f"  tls: none\n{login}")
        place.change("operator: {", f'operator: {{heartbeat_url: "{BEAT}", ')
        place.change(SECRET, APP_SECRET)
        place.run("tokens", "import", served.inventory)
        shutil.copy(place.database, folder / "fresh.db")
        place.run("check", code=1)
        shutil.copy(place.database, folder / "checked.db")
        yield place, post


def restore(place: Place, name: str) -> None:
    """The database as it was then, in another file: a fault may have left one open."""
    for end in ("", "-wal", "-shm"):
        Path(f"{place.database}{end}").unlink(missing_ok=True)
    shutil.copy(place.folder / f"{name}.db", place.database)


def kept(place: Place) -> bytes:
    """Every byte of the database and of its journal."""
    files = place.folder.glob("monitor.db*")
    return b"".join(path.read_bytes() for path in files)


def pass_time(place: Place) -> None:
    """Two hours go by: what rests, is claimed or set apart is due again."""
    ages = {
        "health": ("next_check_at", "judge_at"),
        "outbox": ("due_at",),
        "letters": ("due_at", "attempt_until"),
        "apps": ("paused_until",),
        "marks": ("until",),
    }
    with closing(sqlite3.connect(place.database)) as connection:
        for table, columns in ages.items():
            sets = ", ".join(f"{name} = {name} - {2 * HOUR}" for name in columns)
            connection.execute(f"UPDATE {table} SET {sets}")  # noqa: S608
        connection.commit()


def secrets_of(place: Place) -> list[str]:
    return [TOKEN, APP_SECRET, PASSWORD, BEAT, place.key.read_text().strip()]


def spread(codes: list[CodeType]) -> list[CodeType]:
    """All of them, in an order of which every beginning is spread evenly."""
    codes = [code for code in codes if named(code) != "__init__.Door.invoke"]
    return sorted(codes, key=lambda code: codes.index(code) * 0.6180339887 % 1)


def an_error(number: int, place: Place) -> Exception:
    """An error whose text is the worst there could be: it repeats every secret."""
    kind = KINDS[number % len(KINDS)]
    return kind(f"fault {number}: {' '.join(secrets_of(place))}")


def named(code: CodeType) -> str:
    return f"{Path(code.co_filename).stem}.{code.co_qualname}"


@dataclass
class Tried:
    """What came of the faults."""

    faults: int = 0
    ended: Counter[int] = field(default_factory=Counter)
    leaks: list[tuple[str, list[str]]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)


def planned(place: Place) -> bool:
    """Whether the owner's letter waits to be sent."""
    waiting = "SELECT 1 FROM outbox WHERE state IN ('waiting', 'sealed')"
    return bool(place.query(f"{waiting} AND recipient = '{ANN}'"))


def try_all(
    place: Place, post: Mailbox, command: str, codes: list[CodeType], tried: Tried
) -> None:
    """A life with a fault at one of these functions, then one without; many times."""
    enough = tried.faults + FAULTS // 2
    search = Search(secrets_of(place))
    for code in spread(codes):
        if tried.faults >= enough and not os.environ.get("SOAK"):
            break
        restore(place, "fresh" if command == "check" else "checked")
        before = len(post.received)
        number = tried.faults
        watch = Watch(code, an_error(number, place))
        life = live(place, command, watch=watch)
        if not watch.fired:
            continue  # this life took another way
        tried.faults += 1
        tried.ended[life.code] += 1
        assert life.code in DOCUMENTED, (named(code), life)
        done = planned(place) if command == "check" else len(post.received) > before
        if not done:
            pass_time(place)
            life.said += live(place, command).said
        if command == "check" and number % 10 == 0:
            life.said += live(place, "deliver").said
        every = post.received[before:]
        came = [each for each in every if each.envelope_to == (ANN,)]
        if not came and (command == "deliver" or not planned(place)):
            tried.lost.append(named(code))
        if len({each.message["Message-ID"] for each in came}) > 1:
            tried.twice.append(named(code))
        written = "".join([life.said, *(each.text + each.html for each in every)])
        raw = b"".join(each.data for each in every)
        if leaks := search(written.encode() + raw + kept(place)):
            tried.leaks.append((named(code), leaks))


def test_the_search_finds_what_it_is_to_find(stage: tuple[Place, Mailbox]) -> None:
    """The control: any sixteen characters, in any disguise, wherever they stand."""
    place, _ = stage
    secrets = secrets_of(place)
    search = Search(secrets)
    for secret in secrets:
        for start in (0, 3, len(secret) - LENGTH):
            part = secret[start : start + LENGTH]
            for shown in (part, quote(part, safe=""), part.encode().hex()):
                assert search(f"<{shown}>".encode()) == [secret], shown
        for ahead in (b"", b"a", b"ab", b"abc"):
            coded = base64.b64encode(ahead + secret.encode() + b"tail")
            assert search(b"<" + coded[8:-8] + b">") == [secret]
    assert search(b"nothing") == []
    by_right = place.config.read_bytes() + place.key.read_bytes()
    assert search(by_right) == secrets[1:]


def test_a_log_that_hides_nothing_is_found_out(
    stage: tuple[Place, Mailbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the proof itself: one leak is enough to be seen."""
    place, post = stage
    monkeypatch.setattr(log.Redactor, "text", lambda _, text: text)
    tried = Tried()
    restore(place, "fresh")
    watch = Watch()
    live(place, "check", watch=watch)
    target = [code for code in watch.seen if named(code) == "app.charter_of"]
    try_all(place, post, "check", target, tried)
    assert [name for name, _ in tried.leaks] == ["app.charter_of"]


def test_two_hundred_faults_show_no_secret_and_lose_no_letter(
    stage: tuple[Place, Mailbox], capsys: pytest.CaptureFixture[str]
) -> None:
    place, post = stage
    began = time.monotonic()
    for command in ("check", "deliver"):
        live(place, command)  # some things are worked out once a process
    before = len(post.received)
    restore(place, "fresh")
    checking, delivering = Watch(), Watch()
    live(place, "check", watch=checking)
    live(place, "deliver", watch=delivering)
    assert len(post.received) == before + 1
    mailing = [code for code in delivering.seen if code not in checking.seen]
    tried = Tried()
    try_all(place, post, "check", list(checking.seen), tried)
    try_all(place, post, "deliver", mailing, tried)
    with capsys.disabled():
        print(  # noqa: T201 - the figures of the proof
            f"\ncanaries: {tried.faults} faults in {len(checking.seen) + len(mailing)} "
            f"functions, ended {dict(tried.ended)}; {len(tried.leaks)} leaks, "
            f"{len(tried.lost)} lost, {time.monotonic() - began:.0f} s"
        )
    assert tried.leaks == []
    assert tried.lost == []
    assert tried.twice == []
    assert tried.faults >= FAULTS


def test_a_line_that_cannot_be_formed_is_not_repeated(
    stage: tuple[Place, Mailbox],
) -> None:
    """The library would print what it was given, and the error, as they are."""
    place, post = stage
    restore(place, "fresh")
    tried = Tried()
    form = log._Redacted.format.__code__
    try_all(place, post, "check", [form, log.Redactor.__call__.__code__], tried)
    assert (tried.faults, tried.leaks, tried.lost) == (2, [], [])


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_on_the_line_is_not_taken_for_a_reply(
    stage: tuple[Place, Mailbox], kind: type[Exception]
) -> None:
    """A reply is kept with the letter and shown; what we raise ourselves is neither."""
    place, post = stage
    restore(place, "checked")
    seen = Watch()
    live(place, "deliver", watch=seen)
    mine = [code for code in seen.seen if named(code) == "dialogue.Line.__init__"]
    assert len(mine) == 1
    tried = Tried(faults=KINDS.index(kind))  # which chooses the error
    try_all(place, post, "deliver", mine, tried)
    assert (tried.leaks, tried.lost, tried.twice) == ([], [], [])


def test_a_database_out_of_reach_shows_no_password(
    stage: tuple[Place, Mailbox],
) -> None:
    """Its URL holds the password; a fault in each function that has it in hand."""
    place, _ = stage
    here = place.config.read_text()
    url = f"postgresql://monitor:{quote(DATABASE, safe='')}@127.0.0.1:9/tokens"
    place.change("sqlite:///monitor.db", url)
    search = Search([DATABASE, quote(DATABASE, safe="")])
    try:
        seen = Watch()
        life = live(place, "check", watch=seen)
        assert life.code == 69
        said = life.said
        rooms = ("app.py", "store", "database.py", "postgres.py")
        near = [code for code in seen.seen if Path(code.co_filename).name in rooms]
        for code in near:
            life = live(place, "check", watch=Watch(code, OSError(f"at {url}")))
            assert life.code in DOCUMENTED
            said += life.said
    finally:
        place.configure(here)
    assert len(near) >= 10
    assert search(said.encode()) == []
    assert search(url.encode()) != []
