"""No secret leaves memory but to Graph and to the mail server."""

import base64
import signal
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from tests.whole.tools import SECRET, Place, graph, mailbox, monitor, plan, until
from tests.whole.tools import scenario as plot_of
from tests.whole.web import listen, shown

TOKEN = "EAAmarkedtokenZDsecret0123456789abcdefghijkl"
OTHER = "EAAsecondtokenZDsecret9876543210zyxwvutsrqpo"
PASSWORD = "smtp-pass+word/0123456789"
HEARTBEAT = "http://127.0.0.1:9/ping/heartbeat-secret-0123456789"


def disguises(secret: str) -> Iterator[bytes]:
    """The secret as it is, and as common encodings show it."""
    raw = secret.encode()
    yield raw
    yield quote(secret, safe="").encode()
    yield quote(secret).encode()
    yield raw.hex().encode()
    yield raw.hex().upper().encode()
    for ahead in range(3):
        # Inside a longer text base64 begins at any of three places.
        coded = base64.b64encode(b"\0" * ahead + raw)
        yield coded[4 if ahead else 0 : len(coded) // 4 * 4 - 4]
        yield base64.urlsafe_b64encode(b"\0" * ahead + raw)[4 if ahead else 0 : -4]


def hits(text: bytes, secrets: list[str]) -> list[str]:
    return [s for s in secrets if any(each in text for each in disguises(s))]


def test_the_search_finds_what_it_is_to_find() -> None:
    for secret in (TOKEN, SECRET, PASSWORD, HEARTBEAT):
        raw = secret.encode()
        for coded in (
            b"x" + raw,
            b"?t=" + quote(secret, safe="").encode(),
            raw.hex().encode(),
            base64.b64encode(raw),
            base64.b64encode(b"a" + raw + b"b"),
            base64.b64encode(b"ab" + raw + b"cd"),
            base64.urlsafe_b64encode(b"abc" + raw),
        ):
            assert hits(b"..." + coded + b"...", [secret]) == [secret]
    assert hits(b"nothing", [TOKEN, SECRET]) == []


def everything(folder: Path, said: list[str]) -> bytes:
    """All the command wrote and said; the files that hold secrets by right apart."""
    by_right = {"monitor.yaml", "monitor.key", "inventory.csv", "scenario.yaml"}
    kept = [
        path
        for path in folder.rglob("*")
        if path.is_file() and path.name not in by_right
    ]
    assert {"monitor.db", "monitor.db-wal", "run.log"} <= {p.name for p in kept}
    return "\n".join(said).encode() + b"".join(path.read_bytes() for path in kept)


def test_no_secret_is_found_in_logs_files_letters_or_words(tmp_path: Path) -> None:
    said: list[str] = []
    plot = plot_of(
        plan("ann-1", more=f'token: "{TOKEN}", expires_in: 3d'),
        plan("bob-1", "bob@harbour.example", f'token: "{OTHER}"'),
    )
    with (
        mailbox("acme", PASSWORD) as post,
        graph(tmp_path / "graph", plot) as served,
    ):
        place = Place.make(tmp_path, graph=served.url, mail=post.port)
        key = place.key.read_text().strip()

        def run(*words: object, code: int = 0, text: str = "") -> None:
            done = monitor(place.folder, "--log-level", "debug", *words, text=text)
            said.extend((done.stdout, done.stderr))
            assert done.returncode == code, done.stderr

        place.change(
            "  tls: none", f"  tls: none\n  username: acme\n  password: {PASSWORD}x"
        )
        place.change("operator: {", f'operator: {{heartbeat_url: "{HEARTBEAT}", ')
        run("config", "show")
        header = "id,token,app_id,owner_email,name\n"
        bad = (
            f"a,{TOKEN} {TOKEN},1234567890,a@b.example,\n"
            f"b,,{TOKEN},a@b.example,\n"
            f"c,{TOKEN},1234567890,{TOKEN},\n"
            f"d,{TOKEN},1234567890,a@b.example,x,{TOKEN}\n"
            f"{TOKEN},,1234567890,a@b.example,\n"
        )
        run("tokens", "import", "-", code=65, text=header + bad)
        json_line = f'{{"id": "a", "token": ["{TOKEN}"], "{TOKEN}": 1}}\n{{"{TOKEN}'
        run("tokens", "import", "-", code=65, text=json_line)
        run("tokens", "import", served.inventory)
        added = ("tokens", "add", "--id", "ann-1", "--app", "1234567890", "--owner")
        run(*added, "ann@bakery.example", text=TOKEN)
        run("check", code=1)
        run("deliver", code=3)  # the password is not right
        assert post.received == []
        place.change(f"{PASSWORD}x", PASSWORD)
        listen(place)
        with shown(place, "--log-level", "debug") as (process, web):
            said.extend(web.get(page)[1] for page in ("healthz", "readyz", "metrics"))
            assert "token_monitor_tokens" in said[-1]
            run("deliver")
            assert len(post.received) == 1
            for words in (
                ("status",),
                ("tokens", "list"),
                ("tokens", "export"),
                ("explain", "ann-1"),
                ("outbox", "list"),
            ):
                run(*words, "--format", "json")
            good = place.config.read_text()
            place.configure(
                good.replace("  port: ", f"  passwort: {PASSWORD}\n  port: ")
                .replace(f"secret: {SECRET}", f"secret: {SECRET}, secret: {SECRET}")
                .replace("secret_file: monitor.key", f"secret: '{key} {key}'")
                .replace(HEARTBEAT, f"ftp://{HEARTBEAT}")
            )
            run("config", "check", code=78)
            process.send_signal(signal.SIGHUP)
            until(lambda: place.events("reload.refused"), "the refusal")
            place.configure(good.replace("127.0.0.1:", "127.0.0.1:1"))
            found = everything(tmp_path, said)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0
        found += everything_left(tmp_path)
        found += b"".join(letter.data for letter in post.received)
        found += "".join(e.text + e.html for e in post.received).encode()
    secrets = [TOKEN, OTHER, SECRET, PASSWORD, key, HEARTBEAT]
    assert hits(found, secrets) == []
    # A control: these files hold them by right, and the search sees it.
    by_right = served.inventory.read_bytes() + good.encode() + place.key.read_bytes()
    assert hits(by_right, secrets) == secrets


def everything_left(folder: Path) -> bytes:
    return b"".join((folder / name).read_bytes() for name in ("monitor.db", "run.log"))
