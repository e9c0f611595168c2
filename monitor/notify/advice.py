"""Advice: what to mend when a mail server does not take a letter."""

from collections.abc import Callable
from typing import Final, NamedTuple

from monitor.notify.server import Server, Tls
from monitor.notify.trace import Exchange, Step

_PERMANENT: Final = 500
_IMPLICIT_PORT: Final = 465
"""RFC 8314, section 7.3."""


class _Case(NamedTuple):
    step: Step
    fits: Callable[[Exchange, Server], bool]
    words: str
    """What to mend; `{host}` and `{port}` are the server's."""


def _says(*words: str) -> Callable[[Exchange, Server], bool]:
    return lambda told, _: any(word in told.reply.lower() for word in words)


def _code(*codes: int) -> Callable[[Exchange, Server], bool]:
    return lambda told, _: told.code in codes


def _passing(told: Exchange, _: Server) -> bool:
    return told.code is not None and told.code < _PERMANENT


def _refused(told: Exchange, _: Server) -> bool:
    return told.code is not None and told.code >= _PERMANENT


def _plain_at_implicit(told: Exchange, server: Server) -> bool:
    other = server.tls is not Tls.IMPLICIT and server.port == _IMPLICIT_PORT
    return told.code is None and other


def _always(_: Exchange, __: Server) -> bool:
    return True


_CERTIFICATE: Final = (
    "the certificate is not one we trust for {host}: mail.host must be a name in it,"
    " and an authority of your own goes under mail.ca_file"
)
_NO_RELAY: Final = (
    "the server does not relay for us: log in by mail.username, or let it relay for"
    " this machine"
)
_SENDER: Final = (
    "the server does not take this sender: mail.from, and mail.bounce_address if"
    " set, must be addresses this login may send as"
)
_BLOCKED: Final = (
    "the server does not want this machine: ask whoever runs it, or another relay"
)
_CASES: Final = (
    _Case(
        Step.CONNECT,
        _says("name or service", "nodename", "no address", "name resolution"),
        "mail.host: there is no host {host}",
    ),
    _Case(Step.CONNECT, _says("certificate"), _CERTIFICATE),
    _Case(
        Step.CONNECT,
        _says("wrong version number", "record layer", "unknown protocol"),
        "port {port} does not begin with TLS: set mail.tls: starttls, or the port of"
        " implicit TLS, mostly 465",
    ),
    _Case(
        Step.CONNECT,
        _plain_at_implicit,
        "port {port} begins with TLS: set mail.tls: implicit",
    ),
    _Case(
        Step.CONNECT,
        _says("no reply in time", "took too long", "timed out"),
        "nothing answers at {host}:{port}: a firewall may drop it, and many networks"
        " close port 25 (587 and 465 are for sending)",
    ),
    _Case(
        Step.CONNECT,
        _refused,
        _BLOCKED,
    ),
    _Case(
        Step.CONNECT,
        _passing,
        "the server is busy, or knows this machine too little: try again in some"
        " minutes",
    ),
    _Case(
        Step.CONNECT,
        _says("eof received", "connection lost", "connection reset"),
        "the server hangs up before its greeting: it may not want this machine, or"
        " be too busy",
    ),
    _Case(
        Step.CONNECT,
        _always,
        "nobody serves mail at {host}:{port}: mend mail.host and mail.port, and see"
        " that the server runs",
    ),
    _Case(
        Step.EHLO,
        lambda told, server: not _passing(told, server),
        "the server does not go on after its greeting: it may not like the name of"
        " this machine, or its address",
    ),
    _Case(
        Step.STARTTLS,
        _says("not supported"),
        "STARTTLS is not offered at {host}:{port}: set mail.tls: implicit with its"
        " port (465), or another port; nothing is ever sent in plain text instead",
    ),
    _Case(Step.STARTTLS, _says("certificate"), _CERTIFICATE),
    _Case(
        Step.STARTTLS,
        _always,
        "the server offers STARTTLS and does not do it: whoever runs it must mend its"
        " TLS",
    ),
    _Case(
        Step.AUTH,
        _says("not supported", "no suitable"),
        "this server takes no login here: remove mail.username and mail.password, or"
        " set mail.tls, for many servers offer logins over TLS only",
    ),
    _Case(
        Step.AUTH,
        _passing,
        "the server cannot check logins now: try again in some minutes",
    ),
    _Case(
        Step.AUTH,
        _code(534, 538),
        "the server wants another kind of login: TLS (mail.tls), or a password made"
        " for one application",
    ),
    _Case(
        Step.AUTH,
        _always,
        "mend mail.username and mail.password: the server does not accept them",
    ),
    _Case(
        Step.MAIL,
        _says("starttls"),
        "the server wants TLS first: set mail.tls: starttls",
    ),
    _Case(
        Step.MAIL,
        _code(530),
        "the server wants a login first: set mail.username and mail.password",
    ),
    _Case(
        Step.MAIL,
        _refused,
        _SENDER,
    ),
    # Many servers say only here what they have against the sender, or this machine.
    _Case(Step.RCPT, _says("sender address", "sender verify"), _SENDER),
    _Case(Step.RCPT, _says("blocked using", "spamhaus", "blocklist"), _BLOCKED),
    _Case(Step.RCPT, _code(530, 554), _NO_RELAY),
    _Case(Step.RCPT, _says("relay"), _NO_RELAY),
    _Case(
        Step.RCPT,
        _refused,
        "the server does not take this reader: look at the address; another one tells"
        " whether it is the reader or the way",
    ),
    _Case(
        Step.RCPT,
        _passing,
        "not now (greylisting answers so to strangers): try again in some minutes",
    ),
    _Case(
        Step.DOT,
        _code(552),
        "the server finds the letter too large, or the mailbox full",
    ),
    _Case(
        Step.DOT,
        _refused,
        "the server took everything and refused the letter itself: by its own rules"
        " mostly, so look at SPF, DKIM and DMARC of the domain of mail.from",
    ),
    _Case(
        Step.DOT,
        lambda told, _: told.code is None,
        "no answer came after the letter was sent: perhaps it was taken; see the log"
        " of the server",
    ),
)


def advice(told: Exchange, server: Server) -> str:
    """What to mend when this step was the last one."""
    for case in _CASES:
        if case.step is told.step and case.fits(told, server):
            return case.words.format(host=server.host, port=server.port)
    if told.code is None:
        return "the server stopped answering here: see its log, then try again"
    if told.code < _PERMANENT:
        return "the server cannot do it now: try again in some minutes"
    return "the server refuses this command: see its log"
