"""Exim, a mail server that others wrote, takes every letter and checks its headers."""

import os
import re
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator

import pytest

from monitor.core.attempt import Attempt, Outcome
from monitor.notify.email import Mailer
from tests.letters.tools import HERE, command, every_letter
from tests.notify.rewrite import a_composer, composed_samples
from tests.notify.test_email import a_server


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Where Exim listens, on the socket it was born with."""
    exim, folder = command("exim4"), tmp_path_factory.mktemp("exim")
    text = (HERE / "exim.conf").read_text(encoding="ascii")
    for name, value in (
        ("FOLDER", folder),
        ("USER", os.getuid()),
        ("GROUP", os.getgid()),
    ):
        text = re.sub(rf"\b{name}\b", str(value), text)
    config = folder / "exim.conf"
    config.write_text(text, encoding="utf-8")
    config.chmod(0o600)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # Source: Exim 4.96 specification, section 5.2, "-bw<timespec>".
        server = subprocess.Popen(
            [exim, "-C", str(config), "-bw1h"], stdin=listener.fileno()
        )
        try:
            yield listener.getsockname()[1]
        finally:
            server.terminate()
            server.wait(timeout=10)


@pytest.fixture
async def mailer(port: int) -> AsyncIterator[Mailer]:
    mailer = Mailer(a_server(port))
    yield mailer
    await mailer.close()


async def send(mailer: Mailer, to: tuple[str, ...], raw: bytes) -> Attempt:
    attempt = await mailer.send(a_composer().envelope_from, to, raw)
    assert attempt is not None
    return attempt


async def test_every_letter_is_taken(mailer: Mailer):
    letters = every_letter()
    refused = {
        name: attempt
        for name, composed in letters.items()
        if (attempt := await send(mailer, composed.envelope_to, composed.raw)).outcome
        is not Outcome.SENT
    }
    assert refused == {}
    assert len(letters) >= 600


@pytest.mark.parametrize(
    ("header", "broken"),
    [
        (b"From: ", b"From: Acme Publisher, "),
        (b"To: ", b"To: <jane@@bakery-north.example> "),
        (b"Reply-To: ", b"Reply-To: <<"),
        (b"Subject: ", b"Subj\xc3\xa4ct: "),
    ],
    ids=["from", "to", "reply-to", "name"],
)
async def test_a_broken_header_is_refused(mailer: Mailer, header: bytes, broken: bytes):
    """The control: the judge reads addresses and names of headers."""
    letter = composed_samples()["expiring.opened.page"]
    raw = re.sub(rb"(?m)^" + header, broken, letter.raw, count=1)
    assert raw != letter.raw
    attempt = await send(mailer, letter.envelope_to, raw)
    assert (attempt.outcome, attempt.code) == (Outcome.REFUSED, 550)
