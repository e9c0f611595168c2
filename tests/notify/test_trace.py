"""Whoever looks on hears every step of the dialogue, and what to mend of the last."""

from dataclasses import replace
from datetime import timedelta

import pytest

from monitor.core.attempt import Attempt, Outcome, Phase
from monitor.notify.advice import advice
from monitor.notify.email import Mailer
from monitor.notify.server import Server, Tls
from monitor.notify.trace import Exchange, Step
from tests.notify.certificates import Authority
from tests.notify.mailbox import DROP, HANG, a_mailbox

RAW = b"Subject: hello\r\n\r\nhello\r\n"
SENDER, READER = "tokens@acme.example", "jane@bakery-north.example"
USER, PASSWORD = "monitor", "correct horse"


def a_server(port: int, tls: Tls = Tls.NONE) -> Server:
    return Server("127.0.0.1", port, tls, timeout=timedelta(seconds=5))


async def look_on(server: Server) -> tuple[Attempt, list[Exchange]]:
    """One attempt, and every step of it."""
    told: list[Exchange] = []
    mailer = Mailer(server, told.append)
    attempt = await mailer.send(SENDER, (READER,), RAW)
    await mailer.close()
    assert attempt is not None
    return attempt, told


def steps(told: list[Exchange]) -> list[Step]:
    return [exchange.step for exchange in told]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


PLAIN = [Step.CONNECT, Step.EHLO, Step.MAIL, Step.RCPT, Step.DATA, Step.DOT]


async def test_every_step_is_told_with_its_reply_and_its_time() -> None:
    async with a_mailbox() as box:
        attempt, told = await look_on(a_server(box.port))
    assert attempt.outcome is Outcome.SENT
    assert steps(told) == PLAIN
    assert [exchange.code for exchange in told] == [220, 250, 250, 250, 354, 250]
    assert all(exchange.good for exchange in told)
    assert told[0].reply.startswith("mx.acme.example")
    assert told[0].peer == f"127.0.0.1:{box.port}"
    assert told[0].privacy is None
    assert told[1].offers[-2:] == ("SIZE 33554432", "8BITMIME")
    assert told[-1].reply == "2.0.0 taken"
    assert all(timedelta(0) < each.took < timedelta(seconds=5) for each in told)


async def test_what_makes_it_private_is_told(authority: Authority) -> None:
    context = authority.server_context("127.0.0.1")
    async with a_mailbox(tls=context, auth=True) as box:
        server = replace(
            a_server(box.port, Tls.STARTTLS),
            ca_file=authority.file,
            username=USER,
            password=PASSWORD,
        )
        attempt, told = await look_on(server)
    assert attempt.outcome is Outcome.SENT
    hello = [Step.CONNECT, Step.EHLO, Step.STARTTLS, Step.EHLO, Step.AUTH]
    assert steps(told) == [*hello, *PLAIN[2:]]
    assert told[1].offers[:2] == ("STARTTLS", "AUTH LOGIN PLAIN")
    private = told[2].privacy
    assert private is not None
    assert private.version == "TLSv1.3"
    assert private.cipher.startswith("TLS_")
    assert private.subject == "127.0.0.1"
    assert private.expires_at is not None
    assert private.expires_at.year == 2119
    assert told[4].code == 235


async def test_implicit_tls_is_told_of_the_connection(authority: Authority) -> None:
    context = authority.server_context("127.0.0.1")
    async with a_mailbox(tls=context, implicit=True) as box:
        server = replace(a_server(box.port, Tls.IMPLICIT), ca_file=authority.file)
        _, told = await look_on(server)
    assert steps(told) == PLAIN
    assert told[0].privacy is not None


STEP_OF = {
    Phase.CONNECT: Step.CONNECT,
    Phase.HELLO: Step.EHLO,
    Phase.MAIL: Step.MAIL,
    Phase.RCPT: Step.RCPT,
    Phase.DATA: Step.DATA,
    Phase.DOT: Step.DOT,
}
REFUSED = {
    Phase.CONNECT: "does not want this machine",
    Phase.HELLO: "after its greeting",
    Phase.MAIL: "mail.from",
    Phase.RCPT: "this reader",
    Phase.DATA: "refuses this command",
    Phase.DOT: "SPF, DKIM and DMARC",
}


@pytest.mark.parametrize("phase", Phase)
async def test_a_refusal_is_the_last_step_and_has_its_advice(phase: Phase) -> None:
    async with a_mailbox({phase: "550 5.5.0 no"}) as box:
        server = a_server(box.port)
        attempt, told = await look_on(server)
    assert attempt.outcome is not Outcome.SENT
    assert steps(told) == PLAIN[: PLAIN.index(STEP_OF[phase]) + 1]
    assert (told[-1].code, told[-1].reply) == (550, "5.5.0 no")
    assert [exchange.good for exchange in told[:-1]] == [True] * (len(told) - 1)
    assert not told[-1].good
    assert REFUSED[phase] in advice(told[-1], server)


@pytest.mark.parametrize("phase", Phase)
async def test_what_passes_is_to_be_tried_again(phase: Phase) -> None:
    async with a_mailbox({phase: "451 4.3.0 later"}) as box:
        server = a_server(box.port)
        _, told = await look_on(server)
    assert (told[-1].step, told[-1].code) == (STEP_OF[phase], 451)
    assert "try again in some minutes" in advice(told[-1], server)


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("fault", [DROP, HANG])
@pytest.mark.parametrize("bound", ["timeout", "longest_attempt"])
async def test_silence_is_told_at_its_step(
    phase: Phase, fault: str, bound: str
) -> None:
    async with a_mailbox({phase: fault}) as box:
        short = {bound: timedelta(seconds=0.3)}
        server = replace(a_server(box.port), **short)  # type: ignore[arg-type] # one of two fields
        _, told = await look_on(server)
    assert (told[-1].step, told[-1].code) == (STEP_OF[phase], None)
    assert told[-1].reply != ""
    assert advice(told[-1], server) != ""


@pytest.mark.parametrize(
    ("step", "code", "reply", "mend"),
    [
        (Step.MAIL, 530, "5.7.0 Must issue a STARTTLS command first", "mail.tls"),
        (Step.MAIL, 530, "5.7.0 Authentication required", "mail.username"),
        (Step.RCPT, 553, "5.7.1 Sender address rejected: not owned", "mail.from"),
        (Step.RCPT, 554, "5.7.1 Client host blocked using zen", "this machine:"),
        (Step.RCPT, 554, "5.7.1 Relay access denied", "does not relay"),
        (Step.RCPT, 550, "5.1.1 User unknown", "this reader"),
    ],
)
def test_what_a_server_has_against_us_is_not_the_readers(
    step: Step, code: int, reply: str, mend: str
) -> None:
    told = Exchange(step, code, reply, timedelta())
    assert mend in advice(told, a_server(25))


async def test_nobody_there() -> None:
    async with a_mailbox() as box:
        server = a_server(box.port)
    _, told = await look_on(server)
    assert steps(told) == [Step.CONNECT]
    assert f"nobody serves mail at 127.0.0.1:{box.port}" in advice(told[0], server)
    nowhere = replace(server, host="nowhere.invalid")
    told = [replace(told[0], reply="[Errno -2] Name or service not known")]
    assert "there is no host nowhere.invalid" in advice(told[0], nowhere)


async def test_a_wrong_password(authority: Authority) -> None:
    context = authority.server_context("127.0.0.1")
    async with a_mailbox(tls=context, auth=True) as box:
        server = replace(
            a_server(box.port, Tls.STARTTLS),
            ca_file=authority.file,
            username=USER,
            password="battery staple",
        )
        attempt, told = await look_on(server)
    assert (attempt.phase, told[-1].step, told[-1].code) == (
        Phase.HELLO,
        Step.AUTH,
        535,
    )
    assert "mail.username and mail.password" in advice(told[-1], server)


async def test_tls_that_does_not_fit(authority: Authority) -> None:
    async with a_mailbox() as box:
        server = a_server(box.port, Tls.STARTTLS)
        _, told = await look_on(server)
        assert told[-1].step is Step.STARTTLS
        assert "STARTTLS is not offered" in advice(told[-1], server)
        server = a_server(box.port, Tls.IMPLICIT)
        _, told = await look_on(server)
        assert told[-1].step is Step.CONNECT
        assert "does not begin with TLS" in advice(told[-1], server)
    plain = replace(a_server(465), timeout=timedelta(seconds=1))
    silent = Exchange(Step.CONNECT, None, "no reply in time", timedelta(seconds=1))
    assert "set mail.tls: implicit" in advice(silent, plain)


@pytest.mark.parametrize("tls", [Tls.STARTTLS, Tls.IMPLICIT])
async def test_a_certificate_nobody_vouches_for(authority: Authority, tls: Tls) -> None:
    context = authority.server_context("127.0.0.1")
    async with a_mailbox(tls=context, implicit=tls is Tls.IMPLICIT) as box:
        server = a_server(box.port, tls)
        _, told = await look_on(server)
    assert told[-1].step is (Step.CONNECT if tls is Tls.IMPLICIT else Step.STARTTLS)
    assert "mail.ca_file" in advice(told[-1], server)
    assert [exchange.step for exchange in told if exchange.step is Step.MAIL] == []


async def test_replies_are_told_without_addresses_and_credentials() -> None:
    echo = f"550 5.7.1 {USER} {PASSWORD} <{READER}> no"
    async with a_mailbox({Phase.RCPT: echo}) as box:
        _, bare = await look_on(a_server(box.port))
    async with a_mailbox({Phase.RCPT: echo}, auth=True) as box:
        server = replace(a_server(box.port), username=USER, password=PASSWORD)
        _, told = await look_on(server)
    assert USER in bare[-1].reply, "without a login it is no secret"
    assert told[-1].reply == "5.7.1 (hidden) (hidden) (address) no"
