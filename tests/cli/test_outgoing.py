"""silence, silences, unsilence, outbox retry, explain in words, status of a daemon."""

import re
from datetime import UTC, datetime, timedelta

from monitor.app import clock
from tests.whole.tools import Place, mailbox


def test_a_silence_has_an_end_an_author_and_a_reason(place: Place) -> None:
    done = place.run(
        "silence", "harbour", "newsroom", "--until", "3d", "--reason", "moving house"
    )
    assert done.stdout.startswith("silent until ")
    assert done.stdout.endswith("harbour, newsroom\n")
    rows = place.ask("silences")
    assert {row["id"] for row in rows} == {"harbour", "newsroom"}
    assert {row["reason"] for row in rows} == {"moving house"}
    assert all(row["by"] for row in rows)
    end = datetime.fromisoformat(rows[0]["until"]).astimezone(UTC)
    assert timedelta(days=2, hours=23) < end - clock() <= timedelta(days=3)

    place.run("unsilence", "harbour", "--by", "ann")
    assert [row["id"] for row in place.ask("silences")] == ["newsroom"]
    until = "2099-01-31T18:00Z"
    words = ("silence", "harbour", "--until", until, "--reason", "x", "--by", "ann")
    place.run(*words)
    row = {row["id"]: row for row in place.ask("silences")}["harbour"]
    assert row == {
        "id": "harbour",
        "until": "2099-01-31T18:00:00Z",
        "by": "ann",
        "reason": "x",
    }
    assert place.ask("tokens", "show", "harbour")["silenced_until"] == row["until"]
    told = place.run("explain", "harbour", "--format", "table").stdout
    assert "silent until 2099-01-31T18:00:00Z by ann: x" in told


def test_a_refused_entry_is_tried_again_when_told_to(place: Place) -> None:
    entries = {e["state"]: e for e in place.ask("outbox", "list")}
    refused, sent = entries["refused"], entries["sent"]
    nothing = place.run("outbox", "retry", sent["id"]).stdout
    assert "nothing to retry" in nothing
    with mailbox() as post:
        text = place.config.read_text()
        old = text.partition("  port: ")[2].partition("\n")[0]
        place.change(f"  port: {old}", f"  port: {post.port}")
        assert "due now" in place.run("outbox", "retry", refused["id"]).stdout
        place.run("deliver")
        to = [letter.envelope_to for letter in post.received]
    assert ("gone@bakery.example",) in to
    assert ("ann@bakery.example",) not in to, "nobody hears the same twice"
    again = {e["id"]: e for e in place.ask("outbox", "list")}[refused["id"]]
    assert again["state"] == "sent"


def test_explain_reads_like_an_account(told: Place) -> None:
    text = told.run("explain", "bakery-south", "--format", "table").stdout
    for word in (
        "bakery-south",
        "policy default",
        "critical",
        "password_changed",
        "opened to ann@bakery.example: sent",
        "next look",
    ):
        assert word in text
    assert "None" not in text
    quiet = told.run("explain", "newsroom", "--format", "table").stdout
    assert "could not tell" in quiet
    assert "None" not in quiet
    refused = told.run("explain", "moved", "--format", "table").stdout
    assert re.search(r"to gone@bakery.example: refused, .*5\.1\.1", refused)


def test_status_says_in_words_what_is_not_well(told: Place) -> None:
    done = told.run("status", "--exit-code", "--format", "table", code=1)
    assert "5 tokens: 1 ok, 2 warning, 1 critical, 1 unknown" in done.stdout
    assert "no daemon has run on this database yet" in done.stdout
    assert "None" not in done.stdout
