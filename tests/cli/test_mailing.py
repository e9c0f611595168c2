"""mail preview, mail test, and broken templates: what an operator sees of letters."""

import asyncio
import json
import re
import signal
from email import message_from_bytes, policy
from email.message import EmailMessage
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import Envelope

from monitor.core.attempt import Phase
from monitor.core.tokens import Code
from monitor.notify.samples import sample_letters
from monitor.notify.templates import built_in, languages
from tests.notify.certificates import Authority
from tests.notify.mailbox import a_mailbox
from tests.whole.tools import Done, Place, monitor, until

EXPIRED = "en/findings/expired.txt"
READER = "ops@acme.example"
OURS = languages(built_in())


def listed(done: Done) -> list[dict[str, str]]:
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, str]] = json.loads(done.stdout)
    return rows


class Page(HTMLParser):
    """Where a page leads, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        self.tags.add(tag)
        for name, value in attrs:
            if name == "href":
                self.links.append(value or "")
            elif name in {"src", "srcset", "data", "poster", "background"}:
                self.loads.append(value or "")


def override(place: Place, text: str, name: str = EXPIRED) -> None:
    """Give the configuration a folder of templates with this file."""
    path = place.folder / "words" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    if "templates:" not in place.config.read_text(encoding="utf-8"):
        place.change("  group_wait: 1s\n", "  group_wait: 1s\n  templates: words\n")


def own_words(said: str) -> str:
    text = (built_in() / EXPIRED).read_text(encoding="utf-8")
    return text.replace("[summary]\n", f"[summary]\n{said}\n")


# --- mail preview ----------------------------------------------------------------


def test_every_letter_is_written_without_any_configuration(tmp_path: Path) -> None:
    done = monitor(tmp_path, "mail", "preview")
    rows = listed(done)
    assert {row["locale"] for row in rows} == set(OURS)
    assert {row["name"] for row in rows} == {name for name, _ in sample_letters()}
    assert {row["code"] for row in rows} >= set(Code)
    folder = tmp_path / "letters-preview"
    assert "open letters-preview/index.html" in done.stderr
    for row in rows:
        text, html, raw = (
            (tmp_path / row[form]).read_bytes() for form in ("txt", "html", "eml")
        )
        message = message_from_bytes(raw, policy=policy.default)
        assert message["Subject"] == row["subject"]
        body = message.get_body(("plain",))
        assert body is not None
        assert body.get_content().replace("\r\n", "\n") == text.decode()
        assert html.lower().startswith(b"<!doctype html>")
    page = Page((folder / "index.html").read_text(encoding="utf-8"))
    forms = {row[form] for row in rows for form in ("txt", "html", "eml")}
    assert {f"letters-preview/{link}" for link in page.links} == forms
    assert page.loads == [rows[0]["html"].removeprefix("letters-preview/")]
    assert page.tags.isdisjoint({"script", "link", "img", "form", "base"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["letters-preview"]


def test_a_second_preview_leaves_nothing_of_the_first_and_spares_foreign_folders(
    tmp_path: Path,
) -> None:
    listed(monitor(tmp_path, "mail", "preview", "--code", "expired", "--locale", "de"))
    rows = listed(
        monitor(tmp_path, "mail", "preview", "--code", "held", "--locale", "de")
    )
    files = [path for path in tmp_path.rglob("*.txt") if path.is_file()]
    assert len(files) == len(rows)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.txt").write_text("dear")
    done = monitor(tmp_path, "mail", "preview", "--out", "thesis")
    assert (done.returncode, done.stdout) == (2, "")
    assert "name another with --out" in done.stderr
    assert (tmp_path / "thesis" / "thesis.txt").read_text() == "dear"
    done = monitor(tmp_path, "mail", "preview", "--out", "/dev/null/x")
    assert done.returncode == 2
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_languages_and_codes_can_be_chosen(tmp_path: Path) -> None:
    preview = ("mail", "preview", "--code", "expired", "--code", "report")
    rows = listed(monitor(tmp_path, *preview, "--locale", "all"))
    assert {row["locale"] for row in rows} == set(OURS)
    assert {row["code"] for row in rows} == {"expired", "report"}
    page = (tmp_path / "letters-preview" / "index.html").read_text(encoding="utf-8")
    assert page.index("<h2>expired</h2>") < page.index("<h2>report</h2>")
    assert page.count("<h2>") == 2
    done = monitor(tmp_path, *preview, "--locale", "en_gb", "--locale", "tlh")
    assert {row["locale"] for row in listed(done)} == {"en-GB", "tlh"}
    assert "en-GB: no words of its own, those of en go" in done.stderr
    assert "tlh: no words of its own, those of en go" in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--code", "expird"), "--code expird: no letter has this code — did you mean"),
        (("--code", "zz"), "no letter has this code; there are expiring, "),
        (("--locale", "../en"), "no language such as de or pt-BR"),
        (("--locale", "en", "--locale", ""), "no language such as de or pt-BR"),
    ],
)
def test_what_there_is_none_of_ends_2(
    tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    done = monitor(tmp_path, "mail", "preview", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_it_is_the_operators_own_product_and_words(fresh: Place) -> None:
    """Neither his secrets nor a database are needed."""
    fresh.change(
        "name: Acme Publisher, secret: rehearsed-app-secret",
        'name: "<b>Posts & Co</b>", secret: "${NOT_SET_ANYWHERE}", '
        'reauthorize_url: "https://posts.example/again?t={token_id}"',
    )
    fresh.change("from: Acme Publisher", "reply_to: desk@posts.example\n  from: Posts")
    fresh.key.unlink()
    override(fresh, own_words("Posts says: it ended."))
    done = fresh.run(
        *("mail", "preview", "--locale", "en", "--code", "expired", "--code", "blind")
    )
    rows = {row["name"]: row for row in listed(done)}
    letter = (fresh.folder / rows["expired.opened.page"]["eml"]).read_bytes()
    message = message_from_bytes(letter, policy=policy.default)
    assert message["From"] == "Posts <tokens@acme.example>"
    assert message["Reply-To"] == "desk@posts.example"
    assert message["Subject"].startswith("[<b>Posts & Co</b>] ")
    text = (fresh.folder / rows["expired.opened.page"]["txt"]).read_text()
    assert "Posts says: it ended." in text
    assert "https://posts.example/again?t=page-17" in text
    blind = (fresh.folder / rows["blind.opened.page"]["txt"]).read_text()
    assert "Acme" not in blind
    page = (fresh.folder / "letters-preview" / "index.html").read_text()
    assert "[&lt;b&gt;Posts &amp; Co&lt;/b&gt;]" in page
    assert "<b>" not in page
    assert not fresh.database.exists()


def test_other_faults_of_the_configuration_are_still_refused(fresh: Place) -> None:
    fresh.change("workers: 2", "wokers: 2")
    done = fresh.run("mail", "preview", code=78)
    assert "did you mean 'workers'?" in done.stderr
    named = monitor(fresh.folder, "-c", "nowhere.yaml", "mail", "preview")
    assert named.returncode == 78
    assert not (fresh.folder / "letters-preview").exists()


# --- broken templates ---------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ("config", "check"),
        ("check",),
        ("deliver",),
        ("run",),
        ("mail", "preview"),
        ("mail", "test", READER),
    ],
)
def test_a_broken_template_is_refused_with_file_and_line(
    fresh: Place, words: tuple[str, ...]
) -> None:
    override(fresh, own_words("{{ nobody }}"))
    override(fresh, "x", "en/findings/expird.txt")
    done = fresh.run(*words, code=78)
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    folder = fresh.folder / "words"
    assert lines[0].startswith(f"{folder}/en/findings/expird.txt:1: no letter uses")
    assert lines[1].startswith(f"{folder}/{EXPIRED}:")
    assert lines[1].endswith("'nobody' is undefined")
    assert not fresh.database.exists()
    assert not (fresh.folder / "letters-preview").exists()


def test_a_reload_with_a_broken_template_keeps_the_old_words(fresh: Place) -> None:
    override(fresh, own_words("It ended."))
    fresh.run("config", "check")
    with fresh.daemon() as process:
        until(lambda: fresh.events("daemon.started"), "the start")
        override(fresh, own_words("{{ nobody }}"))
        process.send_signal(signal.SIGHUP)
        until(lambda: fresh.events("reload.refused"), "the refusal")
        (refused,) = fresh.events("reload.refused")
        assert re.search(rf"{EXPIRED}:\d+: 'nobody' is undefined", refused["faults"][0])
        assert process.poll() is None
        override(fresh, own_words("It ended again."))
        process.send_signal(signal.SIGHUP)
        until(lambda: len(fresh.events("daemon.started")) == 2, "the new house")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0


# --- mail test ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def reach(place: Place, port: int, more: str = "tls: none") -> None:
    text = place.config.read_text(encoding="utf-8")
    place.configure(re.sub(r"port: \d+\n  tls: none", f"port: {port}\n  {more}", text))


def parsed(envelope: Envelope) -> EmailMessage:
    """The letter that came."""
    assert isinstance(envelope.content, bytes)
    return message_from_bytes(envelope.content, policy=policy.default)


async def tried(place: Place, *words: str, code: int = 0) -> Done:
    """Run `mail test` while the server of this loop answers it."""
    return await asyncio.to_thread(place.run, "mail", "test", *words, code=code)


async def test_a_test_letter_goes_and_every_step_is_told(
    fresh: Place, authority: Authority
) -> None:
    context = authority.server_context("127.0.0.1")
    async with a_mailbox(tls=context, auth=True) as box:
        login = "username: monitor\n  password: correct horse"
        reach(fresh, box.port, f"tls: starttls\n  ca_file: {authority.file}\n  {login}")
        done = await tried(fresh, READER, "--format", "table")
    lines = [line for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert [line.split()[:2] for line in lines[:-1]] == [
        ["connect", "220"],
        ["ehlo", "250"],
        ["starttls", "220"],
        ["ehlo", "250"],
        ["auth", "235"],
        ["mail", "250"],
        ["rcpt", "250"],
        ["data", "354"],
        ["dot", "250"],
    ]
    assert all(" ms  " in line for line in lines[:-1])
    assert "offers STARTTLS, AUTH LOGIN PLAIN, SIZE 33554432, 8BITMIME" in done.stdout
    assert "TLSv1.3, TLS_" in done.stdout
    assert "certificate of 127.0.0.1, good until 2119-" in done.stdout
    assert lines[-1].startswith("taken: 2.0.0 taken; ")
    assert "correct horse" not in done.stdout + done.stderr
    (envelope,) = box.letters
    assert envelope.rcpt_tos == [READER]
    assert envelope.mail_from == "tokens@acme.example"
    message = parsed(envelope)
    assert message["Subject"] == "[token-monitor] Test letter: nothing is wrong"
    assert message["To"] == READER
    assert message["X-Token-Monitor-Incident"] is None
    assert not fresh.database.exists()


async def test_the_whole_is_one_object_for_scripts(fresh: Place) -> None:
    async with a_mailbox({Phase.RCPT: f"550 5.1.1 <{READER}> unknown"}) as box:
        reach(fresh, box.port)
        done = await tried(fresh, READER, code=3)
        box.faults.clear()
        again = await tried(fresh, READER)
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["accepted"] is False
    assert (told["outcome"], told["phase"], told["code"]) == ("refused", "rcpt", 550)
    assert told["reply"] == "5.1.1 (address) unknown"
    assert told["mend"] in done.stderr
    assert READER not in done.stderr
    steps = [step["step"] for step in told["steps"]]
    assert steps == ["connect", "ehlo", "mail", "rcpt"]
    good = json.loads(again.stdout)
    assert (good["accepted"], good["mend"]) == (True, None)
    assert good["message_id"] != told["message_id"]
    assert len(box.letters) == 1


async def test_a_letter_of_a_code_has_todays_dates_and_another_language(
    fresh: Place,
) -> None:
    fresh.change(
        "  group_wait: 1s", "  bounce_address: b@acme.example\n  group_wait: 1s"
    )
    async with a_mailbox() as box:
        reach(fresh, box.port)
        await tried(fresh, READER, "--code", "expiring", "--locale", "de")
        wrong = await tried(fresh, READER, "--code", "expird", code=2)
    assert "no letter has this code — did you mean" in wrong.stderr
    (envelope,) = box.letters
    message = parsed(envelope)
    assert "(in 3 Tagen)" in message["Subject"]
    assert envelope.rcpt_tos == [READER]
    assert re.fullmatch(
        r"b\+[0-9a-f]{12}\.[a-z2-7]{16}@acme\.example", str(envelope.mail_from)
    )


def test_nobody_answers_ends_3_and_says_what_to_mend(fresh: Place) -> None:
    done = fresh.run("mail", "test", READER, "--format", "table", code=3)
    assert done.stdout.startswith("connect   none ")
    assert "not taken, at connect: " in done.stderr
    assert "to mend: nobody serves mail at 127.0.0.1:9" in done.stderr


@pytest.mark.parametrize("address", ["ops", "ops@", "a@b@c", "a b@c.example", "é@x.de"])
def test_a_bad_address_ends_2(fresh: Place, address: str) -> None:
    done = fresh.run("mail", "test", address, code=2)
    assert done.stdout == ""
    assert "ADDRESS" in done.stderr


def test_a_bad_configuration_ends_78(fresh: Place) -> None:
    fresh.change("tls: none", "tls: nonne")
    done = fresh.run("mail", "test", READER, code=78)
    assert "did you mean 'none'?" in done.stderr
