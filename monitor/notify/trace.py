"""Trace: what a mail server said at each step, for whoever wants to look on."""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, TypeAlias

import aiosmtplib

from monitor.notify.safe import clean

_TOLD: Final = ("starttls", "auth", "size", "8bitmime", "dsn")
"""The extensions on which something depends for us."""
_LONGEST: Final = 80


class Step(StrEnum):
    """A command and its reply; finer than a phase, since each is mended elsewhere."""

    CONNECT = "connect"
    """The connection, TLS if it is implicit, and the banner."""
    EHLO = "ehlo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    """Up to and including the message, without its final dot."""
    DOT = "dot"


@dataclass(frozen=True, slots=True)
class Privacy:
    """What makes a connection private."""

    version: str
    cipher: str
    subject: str
    """Whom the certificate names."""
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Exchange:
    """One step, as it ended."""

    step: Step
    code: int | None
    """The reply code; `None`: no reply came."""
    reply: str
    """Its first line, without addresses and credentials."""
    took: timedelta
    peer: str = ""
    """Whom we are connected to: address and port."""
    offers: tuple[str, ...] = ()
    """The extensions that matter, as the server names them."""
    privacy: Privacy | None = None

    @property
    def good(self) -> bool:
        """Whether the dialogue goes on after it."""
        return self.code is not None and self.code < 400  # noqa: PLR2004 - RFC 5321, 4.2.1


Observer: TypeAlias = Callable[[Exchange], None]


def facts(step: Step, smtp: aiosmtplib.SMTP) -> dict[str, Any]:
    """What else is to be told of a step that went well."""
    if step is Step.CONNECT:
        return {"peer": _peer(smtp), "privacy": _privacy(smtp)}
    if step is Step.STARTTLS:
        return {"privacy": _privacy(smtp)}
    return {"offers": _offers(smtp)} if step is Step.EHLO else {}


def _peer(smtp: aiosmtplib.SMTP) -> str:
    name = smtp.get_transport_info("peername")
    if not isinstance(name, tuple):
        return ""
    host, port = str(name[0]), name[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _offers(smtp: aiosmtplib.SMTP) -> tuple[str, ...]:
    given = {name.lower(): str(text) for name, text in smtp.esmtp_extensions.items()}
    if smtp.server_auth_methods:
        given["auth"] = " ".join(smtp.server_auth_methods)
    return tuple(
        clean(f"{name.upper()} {given[name].upper()}".strip(), _LONGEST)
        for name in _TOLD
        if name in given
    )


def _privacy(smtp: aiosmtplib.SMTP) -> Privacy | None:
    found = smtp.get_transport_info("ssl_object")
    if not isinstance(found, (ssl.SSLObject, ssl.SSLSocket)):
        return None
    certificate: Mapping[str, Any] = found.getpeercert() or {}
    cipher = found.cipher()
    until = certificate.get("notAfter")
    return Privacy(
        version=found.version() or "",
        cipher=cipher[0] if cipher else "",
        subject=clean(_subject(certificate), _LONGEST),
        expires_at=None
        if until is None
        else datetime.fromtimestamp(ssl.cert_time_to_seconds(until), UTC),
    )


def _subject(certificate: Mapping[str, Any]) -> str:
    """The common name, else the first name the certificate is good for."""
    names = dict(pair for group in certificate.get("subject", ()) for pair in group)
    others = [value for _, value in certificate.get("subjectAltName", ())]
    return str(names.get("commonName") or next(iter(others), ""))
