"""Handing over: every trouble at every phase has one meaning, and no letter is lost."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from monitor.core.attempt import Attempt, Outcome, Phase
from monitor.errors import ConfigurationError
from monitor.notify import email
from monitor.notify.email import Mailer
from monitor.notify.server import Server, Tls
from tests.notify.certificates import Authority
from tests.notify.mailbox import DROP, HANG, Mailbox, a_mailbox

RAW = b"Subject: hello\r\n\r\n.a line that begins with a dot\r\n.\r\nend\r\n"
SENDER, READER = "tokens@acme.example", "jane@bakery-north.example"


def a_server(port: int) -> Server:
    return Server(
        "127.0.0.1",
        port,
        Tls.NONE,
        timeout=timedelta(seconds=5),
        local_hostname="monitor.acme.example",
    )


@asynccontextmanager
async def a_mailer(server: Server) -> AsyncIterator[Mailer]:
    mailer = Mailer(server)
    try:
        yield mailer
    finally:
        await mailer.close()


async def send(mailer: Mailer, *to: str, raw: bytes = RAW) -> Attempt:
    attempt = await mailer.send(SENDER, to or (READER,), raw)
    assert attempt is not None
    return attempt


async def attempt_at(box: Mailbox, server: Server | None = None) -> Attempt:
    async with a_mailer(server or a_server(box.port)) as mailer:
        return await send(mailer)


async def test_a_letter_arrives_byte_for_byte():
    async with a_mailbox() as box:
        attempt = await attempt_at(box)
    assert attempt == Attempt(Outcome.SENT, Phase.DOT, 250, "2.0.0 taken")
    assert box.letters[0].content == RAW
    assert box.letters[0].mail_from == SENDER
    assert box.letters[0].rcpt_tos == [READER]
    assert box.letters[0].smtp_utf8 is False


CHANNEL, DEFERRED = Outcome.CHANNEL, Outcome.DEFERRED
REFUSED, UNKNOWN = Outcome.REFUSED, Outcome.UNKNOWN

MATRIX = [
    # phase, what a 4xx, a 5xx, a 421 and a drop mean
    (Phase.CONNECT, CHANNEL, CHANNEL, CHANNEL, CHANNEL),
    (Phase.HELLO, CHANNEL, CHANNEL, CHANNEL, CHANNEL),
    (Phase.MAIL, CHANNEL, CHANNEL, CHANNEL, CHANNEL),
    (Phase.RCPT, DEFERRED, REFUSED, DEFERRED, DEFERRED),
    (Phase.DATA, DEFERRED, REFUSED, DEFERRED, DEFERRED),
    (Phase.DOT, DEFERRED, REFUSED, DEFERRED, UNKNOWN),
]
FAULTS = (
    ("451 4.3.0 try later", 451),
    ("554 5.5.0 no", 554),
    ("421 4.3.2 closing", 421),
    (DROP, None),
)


@pytest.mark.parametrize(
    ("phase", "fault", "code", "outcome"),
    [
        pytest.param(phase, *fault, outcome, id=f"{phase}-{fault[1] or DROP}")
        for phase, *outcomes in MATRIX
        for fault, outcome in zip(FAULTS, outcomes, strict=True)
    ],
)
async def test_trouble_at_a_phase_has_one_meaning(
    phase: Phase, fault: str, code: int | None, outcome: Outcome
):
    async with a_mailbox({phase: fault}) as box, a_mailer(a_server(box.port)) as mailer:
        attempt = await send(mailer)
        box.faults.clear()
        again = await send(mailer)
    assert (attempt.outcome, attempt.phase, attempt.code) == (outcome, phase, code)
    assert again.outcome is Outcome.SENT
    assert len(box.letters) == 1


@pytest.mark.parametrize("phase", [Phase.RCPT, Phase.DATA, Phase.DOT])
@pytest.mark.parametrize("reply", ["550 5.7.1 no", "530 5.7.0 who?", "535 no"])
async def test_a_refusal_by_policy_is_disputed(phase: Phase, reply: str):
    async with a_mailbox({phase: reply}) as box:
        attempt = await attempt_at(box)
    assert (attempt.outcome, attempt.phase) == (Outcome.DISPUTED, phase)


async def test_nobody_listens_is_trouble_of_the_channel():
    async with a_mailbox() as box:
        port = box.port
    async with a_mailer(a_server(port)) as mailer:
        attempt = await send(mailer)
    assert (attempt.outcome, attempt.phase) == (CHANNEL, Phase.CONNECT)


@pytest.mark.parametrize(
    ("phase", "outcome"),
    [
        (Phase.CONNECT, CHANNEL),
        (Phase.MAIL, CHANNEL),
        (Phase.RCPT, DEFERRED),
        (Phase.DATA, DEFERRED),
        (Phase.DOT, UNKNOWN),
    ],
)
@pytest.mark.parametrize("bound", ["timeout", "longest_attempt"])
async def test_silence_is_bounded(phase: Phase, outcome: Outcome, bound: str):
    async with a_mailbox({phase: HANG}) as box:
        short = {bound: timedelta(seconds=0.4)}
        attempt = await attempt_at(box, replace(a_server(box.port), **short))  # type: ignore[arg-type] # one of two fields
    assert (attempt.outcome, attempt.phase) == (outcome, phase)
    assert phase is Phase.DOT or box.letters == []


@asynccontextmanager
async def a_raw_server(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], object],
) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        try:
            await talk(reader, writer)  # type: ignore[misc] # a coroutine function
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_a_drip_is_bounded_by_the_whole_attempt():
    """Each byte comes in time; the attempt as a whole does not."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        ticks = asyncio.Event()
        while not writer.is_closing():
            writer.write(b"2")
            asyncio.get_running_loop().call_later(0.02, ticks.set)
            await ticks.wait()
            ticks.clear()
            await writer.drain()

    async with a_raw_server(drip) as port:
        short = replace(a_server(port), longest_attempt=timedelta(seconds=0.3))
        async with a_mailer(short) as mailer:
            attempt = await asyncio.wait_for(send(mailer), 5)
    assert (attempt.outcome, attempt.phase) == (CHANNEL, Phase.CONNECT)


async def _as_far_as_data(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(b"220 mx\r\n")
    for reply in (b"250 mx", b"250 OK", b"250 OK", b"354 go on"):
        await reader.readline()
        writer.write(reply + b"\r\n")


async def test_a_refusal_in_mid_message_is_read():
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        await _as_far_as_data(reader, writer)
        await reader.readexactly(10)
        writer.write(b"552 5.3.4 too large\r\n")
        await writer.drain()
        await reader.read(1)

    large = b"x" * 70 + b"\r\n"
    async with a_raw_server(refuse) as port, a_mailer(a_server(port)) as mailer:
        attempt = await send(mailer, raw=large * 500_000)
    assert (attempt.outcome, attempt.code) == (REFUSED, 552)
    assert attempt.phase is Phase.DATA


async def test_a_server_that_stops_reading_gets_no_dot():
    """What was not taken was not sent, so it is deferred and not unknown."""
    stop = asyncio.Event()

    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        await _as_far_as_data(reader, writer)
        await stop.wait()

    large = b"x" * 70 + b"\r\n"
    async with a_raw_server(stall) as port:
        short = replace(a_server(port), longest_attempt=timedelta(seconds=0.5))
        async with a_mailer(short) as mailer:
            attempt = await send(mailer, raw=large * 500_000)
        stop.set()
    assert (attempt.outcome, attempt.phase) == (DEFERRED, Phase.DATA)


async def test_nonsense_from_a_server_is_trouble_of_the_channel():
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async with a_raw_server(babble) as port, a_mailer(a_server(port)) as mailer:
        attempt = await send(mailer)
    assert (attempt.outcome, attempt.phase) == (CHANNEL, Phase.CONNECT)
    assert attempt.code is None


# --- one connection, many letters -----------------------------------------------


async def test_a_connection_is_kept_between_letters():
    async with a_mailbox() as box, a_mailer(a_server(box.port)) as mailer:
        for _ in range(3):
            await send(mailer)
    assert (box.connections, len(box.letters)) == (1, 3)


async def test_a_connection_is_renewed_after_fifty_letters():
    async with a_mailbox() as box, a_mailer(a_server(box.port)) as mailer:
        for _ in range(email.MOST_LETTERS + 1):
            await send(mailer)
    assert (box.connections, len(box.letters)) == (2, 51)


async def test_an_idle_connection_is_renewed(monkeypatch: pytest.MonkeyPatch):
    async with a_mailbox() as box, a_mailer(a_server(box.port)) as mailer:
        await send(mailer)
        monkeypatch.setattr(email, "LONGEST_IDLE", timedelta(0))
        await send(mailer)
    assert (box.connections, len(box.letters)) == (2, 2)


async def test_a_connection_dropped_while_idle_is_made_anew_without_a_word():
    async with a_mailbox() as box, a_mailer(a_server(box.port)) as mailer:
        await send(mailer)
        box.cut()
        attempt = await send(mailer)
    assert attempt.outcome is Outcome.SENT
    assert (box.connections, len(box.letters)) == (2, 2)


async def test_letters_of_one_mailer_wait_for_each_other():
    async with a_mailbox() as box, a_mailer(a_server(box.port)) as mailer:
        attempts = await asyncio.gather(*[send(mailer) for _ in range(5)])
    assert {attempt.outcome for attempt in attempts} == {Outcome.SENT}
    assert (box.connections, len(box.letters)) == (1, 5)


# --- the gate -------------------------------------------------------------------


async def test_the_gate_is_asked_just_before_mail_from():
    heard: list[str] = []

    async with a_mailbox() as box, a_mailer(a_server(box.port)) as mailer:

        async def gate() -> bool:
            heard.extend(box.said)
            return False

        attempt = await mailer.send(SENDER, (READER,), RAW, before_mail=gate)
        assert attempt is None
        assert heard == ["connect", "hello"]
        assert (await send(mailer)).outcome is Outcome.SENT
    assert (box.connections, len(box.letters)) == (1, 1)


@pytest.mark.parametrize("error", [OSError, TimeoutError, ValueError])
async def test_what_the_gate_raises_is_no_trouble_of_the_channel(
    error: type[Exception],
):
    async def gate() -> bool:
        raise error("the database is away")

    async with a_mailbox() as box, a_mailer(a_server(box.port)) as mailer:
        with pytest.raises(error, match="database"):
            await mailer.send(SENDER, (READER,), RAW, before_mail=gate)
    assert "mail" not in box.said


# --- recipients -----------------------------------------------------------------


async def test_a_refused_copy_does_not_hold_the_letter_up():
    async with a_mailbox() as box, a_mailer(a_server(box.port)) as mailer:
        box.refused["boss@acme.example"] = "550 5.1.1 <boss@acme.example> unknown"
        attempt = await send(mailer, READER, "boss@acme.example", "team@acme.example")
    assert attempt.outcome is Outcome.SENT
    assert attempt.reply.endswith("(copies refused: 1, 550 5.1.1 (address) unknown)")
    assert box.letters[0].rcpt_tos == [READER, "team@acme.example"]


@pytest.mark.parametrize("how", ["421 4.3.2 closing", DROP, HANG])
async def test_a_copy_that_costs_the_connection_does_not_hold_the_letter_up(how: str):
    """Or its reader would not be told for four days, and be given up then."""
    asked: list[int] = []

    async def gate() -> bool:
        asked.append(len(box.letters))
        return True

    async with a_mailbox() as box:
        server = replace(a_server(box.port), timeout=timedelta(seconds=0.4))
        async with a_mailer(server) as mailer:
            box.refused["boss@acme.example"] = how
            to = (READER, "team@acme.example", "boss@acme.example")
            attempt = await mailer.send(SENDER, to, RAW, before_mail=gate)
    assert attempt is not None
    assert (attempt.outcome, attempt.code) == (Outcome.SENT, 250)
    assert "copies refused: 2, " in attempt.reply
    (letter,) = box.letters
    assert letter.rcpt_tos == [READER]
    assert asked == [0, 0], "the gate is asked before each MAIL FROM"


async def test_a_copy_refused_for_good_with_the_connection_refuses_nobody_else():
    async with a_raw_server(_ends_at_the_second_recipient) as port:
        server = replace(a_server(port), timeout=timedelta(seconds=0.4))
        async with a_mailer(server) as mailer:
            attempt = await send(mailer, READER, "boss@acme.example")
    assert attempt.outcome is Outcome.SENT


async def _ends_at_the_second_recipient(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(b"220 hello\r\n")
    recipients = 0
    while line := await reader.readline():
        recipients += line.startswith(b"RCPT")
        if recipients > 1:
            writer.write(b"550 5.1.1 too many wrong ones, bye\r\n")
            return
        writer.write(b"354 go on\r\n" if line == b"DATA\r\n" else b"250 ok\r\n")


@pytest.mark.parametrize("to", ["jäne@x.example", "a b@x.example", "a@x>\r\nDATA"])
async def test_an_impossible_address_is_refused_and_not_sent(to: str):
    async with a_mailbox() as box, a_mailer(a_server(box.port)) as mailer:
        attempt = await send(mailer, to)
        assert (await send(mailer)).outcome is Outcome.SENT
    assert (attempt.outcome, attempt.phase) == (REFUSED, Phase.RCPT)
    assert len(box.letters) == 1


async def test_a_reply_is_shown_without_addresses_and_on_one_line():
    reply = f"550-5.1.1 <{READER}> is\x1b[31m unknown\r\n550 " + "x" * 300
    async with a_mailbox({Phase.RCPT: reply}) as box:
        attempt = await attempt_at(box)
    assert attempt.reply == "5.1.1 (address) is [31m unknown"


# --- privacy --------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def test_the_password_is_not_in_the_repr():
    server = replace(a_server(25), username="u", password="correct horse")
    assert "horse" not in repr(server)


@pytest.mark.parametrize("implicit", [False, True], ids=["starttls", "implicit"])
async def test_tls_with_an_authority_of_ones_own(authority: Authority, implicit: bool):  # noqa: FBT001
    tls = authority.server_context("127.0.0.1")
    async with a_mailbox(tls=tls, implicit=implicit) as box:
        kind = Tls.IMPLICIT if implicit else Tls.STARTTLS
        server = replace(a_server(box.port), tls=kind, ca_file=authority.file)
        async with a_mailer(server) as mailer:
            for _ in range(2):
                assert (await send(mailer)).outcome is Outcome.SENT
    assert (box.connections, len(box.letters)) == (1, 2)


async def test_starttls_not_offered_sends_nothing():
    async with a_mailbox() as box:
        server = replace(a_server(box.port), tls=Tls.STARTTLS)
        attempt = await attempt_at(box, server)
    assert (attempt.outcome, attempt.phase) == (CHANNEL, Phase.HELLO)
    assert "STARTTLS" in attempt.reply
    assert box.said == ["connect", "hello"]


@pytest.mark.parametrize("wrong", ["authority", "name"])
@pytest.mark.parametrize("kind", [Tls.STARTTLS, Tls.IMPLICIT])
async def test_a_bad_certificate_sends_nothing(
    authority: Authority, tmp_path: Path, wrong: str, kind: Tls
):
    other = Authority(tmp_path) if wrong == "authority" else authority
    tls = authority.server_context("mx.elsewhere.example", "127.0.0.1")
    if wrong == "name":
        tls = authority.server_context("mx.elsewhere.example")
    async with a_mailbox(tls=tls, implicit=kind is Tls.IMPLICIT) as box:
        server = replace(a_server(box.port), tls=kind, ca_file=other.file)
        attempt = await attempt_at(box, server)
    assert attempt.outcome is CHANNEL
    assert "certificate" in attempt.reply.lower()
    assert "mail" not in box.said


@pytest.mark.parametrize("password", ["correct horse", "wrong"])
async def test_login(password: str):
    async with a_mailbox(auth=True) as box:
        server = replace(a_server(box.port), username="monitor", password=password)
        attempt = await attempt_at(box, server)
    if password == "wrong":
        assert (attempt.outcome, attempt.phase) == (CHANNEL, Phase.HELLO)
        assert attempt.code == 535
        assert "mail" not in box.said
    else:
        assert attempt.outcome is Outcome.SENT


async def test_login_not_offered_is_trouble_of_the_channel():
    async with a_mailbox() as box:
        server = replace(a_server(box.port), username="monitor", password="p")
        attempt = await attempt_at(box, server)
    assert (attempt.outcome, attempt.phase) == (CHANNEL, Phase.HELLO)


def test_credentials_in_a_reply_are_hidden():
    server = replace(a_server(25), username="monitor", password="correct horse")
    shown = server.shown("535 monitor correct horse AG1vbml0b3IAY29ycmVjdCBob3JzZQ==")
    assert shown == "535 (hidden) (hidden) (hidden)"


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_unreadable_certificates_are_refused_at_start(
    tmp_path: Path, content: str | None
):
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    server = replace(a_server(25), tls=Tls.STARTTLS, ca_file=file)
    with pytest.raises(ConfigurationError, match=r"mail\.ca_file"):
        Mailer(server)


def test_the_system_authorities_are_trusted_by_default():
    context = replace(a_server(25), tls=Tls.STARTTLS).context()
    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode is ssl.CERT_REQUIRED


# --- stopping -------------------------------------------------------------------


@pytest.mark.parametrize("phase", [p for p in Phase if p is not Phase.DOT])
async def test_stopping_before_the_dot_defers(phase: Phase):
    async with a_mailbox({phase: HANG}) as box, a_mailer(a_server(box.port)) as mailer:
        sending = asyncio.create_task(send(mailer))
        await box.reached[phase].wait()
        mailer.abort()
        attempt = await sending
    assert (attempt.outcome, attempt.phase) == (DEFERRED, phase)
    assert box.letters == []


async def test_stopping_after_the_dot_waits_for_the_reply():
    async with (
        a_mailbox({Phase.DOT: HANG}) as box,
        a_mailer(a_server(box.port)) as mailer,
    ):
        sending = asyncio.create_task(send(mailer))
        await box.reached[Phase.DOT].wait()
        mailer.abort()
        mailer.abort()
        box.go_on.set()
        attempt = await sending
    assert attempt.outcome is Outcome.SENT


async def test_stopping_after_the_dot_does_not_wait_for_ever(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(email, "GRACE", timedelta(seconds=0.1))
    async with (
        a_mailbox({Phase.DOT: HANG}) as box,
        a_mailer(a_server(box.port)) as mailer,
    ):
        sending = asyncio.create_task(send(mailer))
        await box.reached[Phase.DOT].wait()
        mailer.abort()
        attempt = await sending
    assert (attempt.outcome, attempt.phase) == (UNKNOWN, Phase.DOT)


async def test_stopping_just_before_the_dot_writes_none():
    """The gate is the last word, and the stop comes right after it."""
    async with a_mailbox() as box, a_mailer(a_server(box.port)) as mailer:

        async def gate() -> bool:
            mailer.abort()
            return True

        attempt = await mailer.send(SENDER, (READER,), RAW, before_mail=gate)
    assert attempt is not None
    assert attempt.outcome is DEFERRED
    assert box.letters == []


async def test_a_stopped_mailer_begins_nothing():
    async with a_mailbox() as box, a_mailer(a_server(box.port)) as mailer:
        mailer.abort()
        attempt = await send(mailer)
    assert attempt == Attempt(DEFERRED, Phase.CONNECT, None, "stopped")
    assert box.connections == 0


async def test_cancelling_hangs_up():
    async with (
        a_mailbox({Phase.RCPT: HANG}) as box,
        a_mailer(a_server(box.port)) as mailer,
    ):
        sending = asyncio.create_task(send(mailer))
        await box.reached[Phase.RCPT].wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        box.faults.clear()
        assert (await send(mailer)).outcome is Outcome.SENT
    assert box.connections == 2
