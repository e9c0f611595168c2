"""bounces ingest: a message, a Maildir, an mbox, and whatever else somebody sends."""

import json
from pathlib import Path

from monitor.cli.bouncing import messages
from tests.notify.reports import a_bounce, an_away_note
from tests.whole.tools import Place


def test_what_came_back_is_read_from_anywhere(place: Place, tmp_path: Path) -> None:
    told = {e["recipient"]: e for e in place.ask("outbox", "list", "--state", "sent")}
    (reader,) = told
    lost = a_bounce(final=reader, message_id=told[reader]["message_id"])
    maildir = tmp_path / "Maildir"
    for folder in ("new", "cur", "tmp"):
        (maildir / folder).mkdir(parents=True)
    (maildir / "new" / "1").write_bytes(lost)
    (maildir / "cur" / "2:2,S").write_bytes(an_away_note())
    (maildir / "tmp" / "3").write_bytes(b"half a mess")
    counts = place.ask("bounces", "ingest", str(maildir))
    assert {k: v for k, v in counts.items() if v} == {
        "messages": 2,
        "unreachable": 1,
        "automatic": 1,
    }

    mbox = tmp_path / "mbox"
    line = b"From MAILER-DAEMON Tue Nov 24 09:20:00 2026\n"
    one = lost.replace(b"\r\n", b"\n")
    mbox.write_bytes(line + one + b"\n" + line + a_bounce() + b"\n" + line + b"\xff\n")
    done = place.run("bounces", "ingest", str(mbox), "--format", "table")
    assert done.stdout == "3 messages: 1 known, 1 forged, 1 other\n"

    message = tmp_path / "message"
    message.write_bytes(lost)
    assert place.ask("bounces", "ingest", str(message))["known"] == 1
    refused = place.ask("outbox", "list", "--state", "refused")
    assert reader in {entry["recipient"] for entry in refused}
    shown = json.dumps(refused)
    assert "bounced: 5.1.1" in shown


def test_what_cannot_be_read_is_said(place: Place, tmp_path: Path) -> None:
    done = place.run("bounces", "ingest", str(tmp_path), code=2)
    assert "is no Maildir" in done.stderr
    place.run("bounces", "ingest", str(tmp_path / "nothing"), code=2)


def test_mail_that_moves_meanwhile_is_met_next_time(tmp_path: Path) -> None:
    for folder in ("new", "cur"):
        (tmp_path / folder).mkdir()
    for name in ("1", "2", "3"):
        (tmp_path / "new" / name).write_bytes(name.encode())
    found = messages(str(tmp_path))
    assert next(found) == b"1"
    (tmp_path / "new" / "2").rename(tmp_path / "cur" / "2:2,S")
    assert list(found) == [b"3"]
