"""Where things are: mail addresses, URLs, hosts, the database, files and folders."""

import re
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

from pydantic import PlainValidator, SecretStr, ValidationInfo, WithJsonSchema

from monitor.config.scalars import shown, text_of, wrong
from monitor.core.bounces import LONGEST_BASE
from monitor.errors import did_you_mean

_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_ADDRESS = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*")
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_MAILBOX = re.compile(r"(?P<name>[^<>]*?)\s*<(?P<address>[^<>\s]*)>")
_PLAIN_URL = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(?:/[A-Za-z0-9._~/-]*)?")
_LONGEST_PUBLIC: Final = 200
REAUTHORIZE_FIELDS: Final = ("token_id", "app_id")
"""What a re-authorisation URL may hold in braces."""


class Mailbox(NamedTuple):
    """A name and a mail address; the name may be empty."""

    name: str
    address: str

    def __str__(self) -> str:
        return f"{self.name} <{self.address}>" if self.name else self.address


class Listen(NamedTuple):
    """Where a server of ours listens."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, told by its name alone."""
    host = host.strip("[]").rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _address(value: object) -> str:
    text = text_of(value, "one mail address")
    local = text.partition("@")[0]
    if len(text) > 254 or len(local) > 64 or not _ADDRESS.fullmatch(text):  # noqa: PLR2004 - RFC 5321, 4.5.3.1
        hint = "" if text.isascii() else " in ASCII (a domain in its xn-- form)"
        found = shown(value)
        raise wrong(f"{found} is not one mail address such as ops@acme.example{hint}")
    return str(text)


def _bounce_address(value: object) -> str:
    text = _address(value)
    if len(text.partition("@")[0]) > LONGEST_BASE:
        raise wrong(
            f"{shown(value)} is too long: before the @ at most {LONGEST_BASE} "
            "characters, for a letter's id and signature follow there"
        )
    return text


def _mailbox(value: object) -> Mailbox:
    if isinstance(value, Mailbox):
        return value
    expected = "one sender such as Acme Publisher <tokens@acme.example>"
    text = text_of(value, expected)
    found = _MAILBOX.fullmatch(text.strip())
    if not found:
        return Mailbox("", _address(value))
    name = found["name"].strip()
    if name[:1] == name[-1:] == '"' and len(name) > 1:
        name = name[1:-1].replace('\\"', '"').strip()
    if not text.isprintable() or "@" in name or not _ADDRESS.fullmatch(found[2]):
        raise wrong(f"{shown(value)} is not {expected}")
    return Mailbox(name, found[2])


def _split(text: str, expected: str) -> SplitResult:
    """The parts of a URL; never shows it, since it may hold a password."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise wrong(f"is not a URL, expected {expected}") from None
    if not text.isprintable() or " " in text:
        raise wrong(f"holds a space or a control character, expected {expected}")
    return parts


def _web_url(value: object, expected: str) -> SplitResult:
    parts = _split(text_of(value, expected), expected)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise wrong(f"is not a URL of the web, expected {expected}")
    if "@" in parts.netloc:
        raise wrong(f"holds a user name or a password, expected {expected}")
    return parts


def _base_url(value: object) -> str:
    expected = "a URL such as https://graph.facebook.com"
    parts = _web_url(value, expected)
    if parts.query or parts.fragment:
        raise wrong(f"holds '?' or '#', expected {expected}")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise wrong("http is for this machine only: use https, secrets travel here")
    return str(value).rstrip("/")


def _public_url(value: object) -> str:
    expected = "a URL such as https://tokens.acme.example"
    parts = _web_url(value, expected)
    if parts.query or parts.fragment:
        raise wrong(f"holds '?' or '#', expected {expected}")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise wrong("http is for this machine only: letters link to https")
    # It stands whole in a header line, which holds 998 octets: RFC 5322, 2.1.1.
    if len(str(value)) > _LONGEST_PUBLIC or not _PLAIN_URL.fullmatch(str(value)):
        raise wrong(f"is too long, or not of plain letters, expected {expected}")
    return str(value).rstrip("/")


def _heartbeat_url(value: object) -> SecretStr:
    if isinstance(value, SecretStr):
        return value
    _web_url(value, "a URL such as https://hc-ping.com/…")
    return SecretStr(str(value))


def _reauthorize_url(value: object) -> str:
    expected = "a URL such as https://acme.example/connect?token={token_id}"
    _web_url(value, expected)
    for field in re.findall(r"\{([^{}]*)\}", str(value)):
        if field not in REAUTHORIZE_FIELDS:
            listed = ", ".join(f"{{{name}}}" for name in REAUTHORIZE_FIELDS)
            near = did_you_mean(field, REAUTHORIZE_FIELDS)
            raise wrong(f"holds a field that is not one of {listed}{near}")
    if re.search(r"[{}]", re.sub(r"\{\w+\}", "", str(value))):
        raise wrong(f"holds a single brace, expected {expected}")
    return str(value)


def _host(value: object) -> str:
    expected = "a host name or an address such as smtp.acme.example"
    text = text_of(value, expected)
    try:
        ip_address(text)
    except ValueError:
        if not _HOST.fullmatch(text):
            raise wrong(f"{shown(value)} is not {expected}") from None
    return str(text)


def _listen(value: object) -> Listen:
    if isinstance(value, Listen):
        return value
    expected = "an address and a port such as 127.0.0.1:8080"
    host, _, port = text_of(value, expected).rpartition(":")
    if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65_535:  # noqa: PLR2004 - 16 bits
        raise wrong(f"{shown(value)} is not {expected}")
    bare = host[1:-1] if host[:1] == "[" and host[-1:] == "]" else host
    try:
        return Listen(_host(bare), int(port))
    except Exception:  # noqa: BLE001 - told again with the whole value
        raise wrong(f"{shown(value)} is not {expected}") from None


def _database(value: object, info: ValidationInfo) -> SecretStr:
    if isinstance(value, SecretStr):
        return value
    expected = "sqlite:///monitor.db or postgresql://user@host/name"
    text = text_of(value, expected)
    parts = _split(text, expected)
    if parts.scheme in {"postgresql", "postgres"}:
        if parts.path in {"", "/"}:
            raise wrong(f"names no database after the host, expected {expected}")
        if "@" in parts.path or parts.netloc.count("@") > 1:
            text = "a '/', '@' or ':' in a password must be written %2F, %40 or %3A"
            raise wrong(f"is not a URL: {text}")
        return SecretStr(str(text))
    if parts.scheme != "sqlite":
        near = did_you_mean(parts.scheme, ["sqlite", "postgresql"])
        raise wrong(f"is not a database we know, expected {expected}{near}")
    name = text.removeprefix("sqlite:///")
    if name == text:
        raise wrong("needs three slashes: sqlite:///monitor.db (four for /an/absolute)")
    if not name or name == ":memory:" or name.endswith("/"):
        raise wrong(f"names no file, and memory forgets: expected {expected}")
    path = str(_folder(info) / name)
    if "?" in path or "#" in path:
        raise wrong("holds '?' or '#' in its path, which SQLite URLs cannot")
    return SecretStr(f"sqlite:///{path}")


def _file(value: object, info: ValidationInfo) -> Path:
    path = _folder(info) / text_of(value, "the path of a file")
    if "\0" in str(path) or not path.is_file():
        raise wrong(f"{shown(value)} is not a file that can be read")
    return path


def _directory(value: object, info: ValidationInfo) -> Path:
    path = _folder(info) / text_of(value, "the path of a folder")
    if "\0" in str(path) or not path.is_dir():
        raise wrong(f"{shown(value)} is not a folder")
    return path


def _folder(info: ValidationInfo) -> Path:
    context: Mapping[str, Path] = info.context or {}
    return context["source"].parent if "source" in context else Path.cwd()


_URL = WithJsonSchema({"type": "string"})
Address = Annotated[
    str, PlainValidator(_address), WithJsonSchema({"type": "string", "pattern": "@"})
]
BounceAddress = Annotated[
    str,
    PlainValidator(_bounce_address),
    WithJsonSchema({"type": "string", "pattern": "@"}),
]
Sender = Annotated[
    Mailbox,
    PlainValidator(_mailbox),
    WithJsonSchema({"type": "string", "pattern": r"@|\$\{"}),
]
BaseUrl = Annotated[str, PlainValidator(_base_url), _URL]
PublicUrl = Annotated[str, PlainValidator(_public_url), _URL]
HeartbeatUrl = Annotated[SecretStr, PlainValidator(_heartbeat_url), _URL]
ReauthorizeUrl = Annotated[str, PlainValidator(_reauthorize_url), _URL]
Host = Annotated[str, PlainValidator(_host), WithJsonSchema({"type": "string"})]
ListenAt = Annotated[Listen, PlainValidator(_listen), _URL]
Database = Annotated[SecretStr, PlainValidator(_database), _URL]
File = Annotated[Path, PlainValidator(_file), WithJsonSchema({"type": "string"})]
Folder = Annotated[Path, PlainValidator(_directory), WithJsonSchema({"type": "string"})]
