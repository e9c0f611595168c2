"""The mailbox over real SMTP: what it keeps, how it fails, how it is saved."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest

from monitor.errors import UnavailableError
from monitor.sandbox.clock import VirtualClock
from monitor.sandbox.dialogue import Stage
from monitor.sandbox.letters import Received, save
from monitor.sandbox.mailbox import Mailbox, Tls

ANN, BOB = "ann@bakery.example", "bob@bakery.example"


@pytest.fixture
async def mailbox(clock: VirtualClock) -> AsyncIterator[Mailbox]:
    async with Mailbox.open(clock=clock) as mailbox:
        yield mailbox


def letter(subject: str = "Bakery North: log in again") -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Acme <tokens@acme.example>"
    message["To"] = ANN
    message["Subject"] = subject
    message.set_content("Grüße.\n.\nA line.\n")
    message.add_alternative("<p>Grüße.</p>", subtype="html")
    return message


async def send(
    mailbox: Mailbox,
    to: Sequence[str] = (ANN,),
    message: EmailMessage | None = None,
    **options: Any,
) -> Any:
    options = {"start_tls": False, "timeout": 5} | options
    smtp = aiosmtplib.SMTP(hostname=mailbox.host, port=mailbox.port, **options)
    async with smtp:
        data = (message or letter()).as_bytes()
        return await smtp.sendmail("tokens@acme.example", list(to), data)


async def test_a_letter_is_kept_as_it_came(
    mailbox: Mailbox, clock: VirtualClock
) -> None:
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(mailbox.arrived(1))
        tasks.create_task(send(mailbox, [ANN, BOB]))
    (received,) = waiting.result()
    assert received.envelope_from == "tokens@acme.example"
    assert received.envelope_to == (ANN, BOB)
    assert received.at == clock.now
    assert received.subject == "Bakery North: log in again"
    assert received.text == "Grüße.\n.\nA line.\n"
    assert received.html.strip() == "<p>Grüße.</p>"
    assert received.message["To"] == ANN
    assert (received.encrypted, received.user) == (False, None)
    assert mailbox.connections == 1


async def test_a_recipient_can_be_refused_or_put_off(mailbox: Mailbox) -> None:
    mailbox.refuse(ANN)
    mailbox.defer(BOB)
    with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as caught:
        await send(mailbox, [ANN, BOB])
    assert [each.code for each in caught.value.recipients] == [550, 451]
    mailbox.accept(BOB)
    refused = await send(mailbox, [ANN, BOB])
    assert list(refused[0]) == [ANN]
    assert mailbox.received[0].envelope_to == (BOB,)
    mailbox.mend()
    assert (await send(mailbox))[0] == {}


@pytest.mark.parametrize(
    ("stage", "reply", "error"),
    [
        ("CONNECT", "554 5.3.2 Not today", aiosmtplib.SMTPConnectError),
        ("EHLO", "550 5.5.1 Who", aiosmtplib.SMTPHeloError),
        ("MAIL", "452 4.3.1 Full", aiosmtplib.SMTPSenderRefused),
        ("RCPT", "450 4.2.0 Later", aiosmtplib.SMTPRecipientsRefused),
        ("DATA", "451 4.3.0 Later", aiosmtplib.SMTPDataError),
        ("DOT", "554 5.7.1 Spam", aiosmtplib.SMTPDataError),
    ],
)
async def test_every_stage_can_answer_otherwise(
    mailbox: Mailbox, stage: Stage, reply: str, error: type[Exception]
) -> None:
    mailbox.fail_at(stage, reply)
    with pytest.raises(error) as caught:
        await send(mailbox)
    first = getattr(caught.value, "recipients", [caught.value])[0]
    assert first.code == int(reply[:3])
    assert mailbox.received == []
    mailbox.mend()
    await send(mailbox)
    assert len(mailbox.received) == 1


async def test_an_overloaded_server_says_so_and_closes(mailbox: Mailbox) -> None:
    mailbox.fail_at("MAIL", "421 4.3.2 Too busy")
    smtp = aiosmtplib.SMTP(
        hostname=mailbox.host, port=mailbox.port, start_tls=False, timeout=5
    )
    await smtp.connect()
    with pytest.raises(aiosmtplib.SMTPResponseException) as caught:
        await smtp.mail("tokens@acme.example")
    assert caught.value.code == 421
    with pytest.raises(aiosmtplib.SMTPServerDisconnected):
        await smtp.noop()


@pytest.mark.parametrize("stage", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA"])
async def test_a_connection_can_drop_at_every_stage(
    mailbox: Mailbox, stage: Stage
) -> None:
    mailbox.drop_at(stage, times=1)
    with pytest.raises(
        (aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPConnectError)
    ):
        await send(mailbox)
    assert mailbox.received == []
    await send(mailbox)


async def test_a_letter_can_be_kept_without_a_word(mailbox: Mailbox) -> None:
    mailbox.drop_after_dot(2)
    for _ in range(2):
        with pytest.raises(aiosmtplib.SMTPServerDisconnected):
            await send(mailbox)
    await send(mailbox)
    assert len(mailbox.received) == 3


@pytest.mark.parametrize(("stage", "kept"), [("MAIL", 0), ("DOT", 1)])
async def test_a_server_can_fall_silent(
    mailbox: Mailbox, stage: Stage, kept: int
) -> None:
    mailbox.hang_at(stage)
    with pytest.raises(aiosmtplib.SMTPTimeoutError):
        await send(mailbox, timeout=0.2)
    assert len(mailbox.received) == kept


async def test_two_letters_can_share_a_connection(mailbox: Mailbox) -> None:
    smtp = aiosmtplib.SMTP(hostname=mailbox.host, port=mailbox.port, start_tls=False)
    async with smtp:
        for _ in range(2):
            await smtp.send_message(letter())
            await smtp.rset()
    assert (len(mailbox.received), mailbox.connections) == (2, 1)


@pytest.mark.parametrize(
    ("tls", "options"),
    [("starttls", {"start_tls": True}), ("implicit", {"use_tls": True})],
)
async def test_a_letter_can_come_over_tls_with_a_login(
    clock: VirtualClock, tls: Tls, options: dict[str, Any]
) -> None:
    async with Mailbox.open(
        clock=clock, tls=tls, username="acme", password="right"
    ) as mailbox:
        context = ssl.create_default_context(cafile=str(mailbox.ca_file))
        options = options | {"tls_context": context, "username": "acme"}
        if tls == "implicit":
            options["start_tls"] = None
        await send(mailbox, password="right", **options)
        with pytest.raises(aiosmtplib.SMTPAuthenticationError):
            await send(mailbox, password="wrong", **options)
        (received,) = mailbox.received
        assert (received.encrypted, received.user) == (True, "acme")
        ca_file = mailbox.ca_file
    assert ca_file is not None
    assert not ca_file.exists()


async def test_an_unknown_authority_is_not_trusted(clock: VirtualClock) -> None:
    async with Mailbox.open(clock=clock, tls="starttls") as mailbox:
        with pytest.raises(ssl.SSLCertVerificationError):
            await send(mailbox, start_tls=True)
        with pytest.raises(aiosmtplib.SMTPException):
            await send(mailbox, start_tls=False)
        assert mailbox.received == []


async def test_who_must_log_in_and_does_not_is_refused(clock: VirtualClock) -> None:
    async with Mailbox.open(clock=clock, username="acme", password="x") as mailbox:
        with pytest.raises(aiosmtplib.SMTPSenderRefused) as caught:
            await send(mailbox)
        assert caught.value.code == 530
        await send(mailbox, username="acme", password="x")
        mailbox.fail_at("AUTH", "454 4.7.0 Temporary failure")
        with pytest.raises(aiosmtplib.SMTPAuthenticationError) as later:
            await send(mailbox, username="acme", password="x")
        assert later.value.code == 454


async def test_a_server_may_lack_smtputf8(clock: VirtualClock) -> None:
    async with Mailbox.open(clock=clock, smtputf8=False) as mailbox:
        smtp = aiosmtplib.SMTP(
            hostname=mailbox.host, port=mailbox.port, start_tls=False
        )
        async with smtp:
            await smtp.ehlo()
            assert not smtp.supports_extension("smtputf8")


async def test_a_taken_port_is_unavailable(
    mailbox: Mailbox, clock: VirtualClock
) -> None:
    with pytest.raises(UnavailableError, match=f"127.0.0.1:{mailbox.port}"):
        async with Mailbox.open(clock=clock, port=mailbox.port):
            pass


async def test_it_closes_with_connections_open(clock: VirtualClock) -> None:
    async with Mailbox.open(clock=clock) as mailbox:
        smtp = aiosmtplib.SMTP(
            hostname=mailbox.host, port=mailbox.port, start_tls=False, timeout=5
        )
        await smtp.connect()
        mailbox.hang_at("MAIL")
        waiting = asyncio.create_task(smtp.mail("tokens@acme.example"))
    with pytest.raises(aiosmtplib.SMTPServerDisconnected):
        await waiting
    smtp.close()


async def test_letters_become_files_with_names_a_person_can_read(
    mailbox: Mailbox, tmp_path: Path
) -> None:
    await send(mailbox)
    await send(mailbox, message=letter("../../Grüße & \u202eevil <x>"))
    paths = mailbox.save(tmp_path / "letters")
    assert [path.name for path in paths] == [
        "001-ann-bakery-north-log-in-again.eml",
        "001-ann-bakery-north-log-in-again.txt",
        "001-ann-bakery-north-log-in-again.html",
        "002-ann-gru-e-evil-x.eml",
        "002-ann-gru-e-evil-x.txt",
        "002-ann-gru-e-evil-x.html",
    ]
    assert paths[0].read_bytes() == mailbox.received[0].data
    assert paths[1].read_text() == "Grüße.\n.\nA line.\n"


def test_a_letter_without_parts_or_reader_is_saved_too(
    clock: VirtualClock, tmp_path: Path
) -> None:
    bare = Received("", (), b"X: y\r\n\r\n", clock.now)
    assert bare.html == ""
    (path,) = [each for each in save([bare], tmp_path) if each.suffix == ".eml"]
    assert path.name == "001-nobody.eml"
    assert "X: y" not in repr(bare)
