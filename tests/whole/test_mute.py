"""A reader's link from outside: a real daemon's letter and page, and no word of it."""

import re
import sqlite3
from base64 import urlsafe_b64decode
from contextlib import closing
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from monitor.store.seal import Key, Keyring
from tests.whole.test_presence import free_port
from tests.whole.test_secrets import everything, hits
from tests.whole.tools import Place, graph, mailbox, plan, scenario, until
from tests.whole.web import listen, shown


def visit(url: str, data: bytes | None = None) -> tuple[int, str]:
    """What a page answers; with data by POST."""
    request = Request(url, data)  # noqa: S310 - loopback
    try:
        with urlopen(request, timeout=10) as reply:  # noqa: S310 - as above
            return reply.status, reply.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def mute_key(place: Place) -> bytes:
    """The key of the links, as only who has the monitor's own key can read it."""
    material = Key("k1", urlsafe_b64decode(place.key.read_text(encoding="ascii")))
    with closing(sqlite3.connect(place.database)) as connection:
        query = "SELECT sealed FROM vault WHERE name = 'mute-key'"
        (sealed,) = connection.execute(query).fetchone()
    return Keyring([material]).open(sealed, b"vault:mute-key")


def test_one_click_and_no_word_of_the_link_anywhere(tmp_path: Path) -> None:
    plot = scenario(plan("north", more="expires_in: 3d"))
    port = free_port()
    with mailbox() as post, graph(tmp_path / "graph", plot) as served:
        place = Place.make(tmp_path / "place", graph=served.url, mail=post.port)
        place.run("tokens", "import", served.inventory)
        listen(place, port)
        base = f"http://127.0.0.1:{port}"
        place.change("web: {", f'web: {{public_url: "{base}", ')
        with shown(place, "--log-level", "debug"):
            until(lambda: post.received, "the letter")
            (letter,) = post.received
            url = str(letter.message["List-Unsubscribe"])[1:-1]
            assert url.startswith(f"{base}/mute/")
            assert url in letter.text
            assert visit(url)[0] == 200
            assert place.ask("explain", "north")["muted"] == []
            status, page = visit(url, b"List-Unsubscribe=One-Click")
            assert (status, "Reminders are stopped" in page) == (200, True)
            (mute,) = place.ask("explain", "north")["muted"]
            assert mute["reader"] == "ann@bakery.example"
            told = place.run("explain", "north", "--format", "table").stdout
            assert "ann@bakery.example stopped reminders at" in told
            forged = f"{url[:-4]}aaaa"
            for data in (None, b"List-Unsubscribe=One-Click"):
                assert visit(forged, data)[0] == 404
            assert "sent again" in visit(url, b"reminders=on")[1]
            assert place.ask("explain", "north")["muted"] == []
            asked = (("status",), ("outbox", "list"), ("explain", "north"))
            said = [place.run(*words, "--format", "json").stdout for words in asked]
            said += [page, visit(base + "/metrics")[1]]
            key = mute_key(place)
            seen = everything(place.folder, said)
        log = place.log()
        stopped = [each for each in log if each["event"].startswith("reminders.")]
        assert [each["event"] for each in stopped] == [
            "reminders.stopped",
            "reminders.resumed",
        ]
        signature = url.rpartition(".")[2]
        assert re.fullmatch("[a-z2-7]{16}", signature)
        assert hits(letter.data, [signature]) == [signature], "the search finds it"
        assert hits(seen, [signature, url, forged[-16:]]) == []
        assert key not in seen
        assert key.hex().encode() not in seen
