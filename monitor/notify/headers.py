"""Header lines and bytes: a letter in the form that leaves the house.

`EmailMessage` is not used for writing: it encodes every unbreakable value beyond 78
characters by RFC 2047 (an encoded `List-Id` means nothing), writes adjacent encoded
words on Python 3.13.0 (cpython#144156), encodes domains illegally, and refuses a name
with U+2028, so that a letter would be lost. It is used for reading, in the tests.
"""

import binascii
import re
from collections.abc import Iterable, Sequence
from email.errors import MessageError
from email.header import Header
from email.headerregistry import Address
from email.utils import parseaddr
from hashlib import blake2b
from typing import Final

import idna

from monitor.notify.safe import clean, safe_url

_LINE: Final = 76
_LONGEST_LOCAL: Final = 64
_LONGEST_ADDRESS: Final = 254
"""RFC 5321, sections 4.5.3.1.1 and 4.5.3.1.3 (a path of 256 with its brackets)."""
_MESSAGE_ID: Final = re.compile(r"<[!-;=?-~]{1,400}@[!-;=?-~]{1,400}>")
_NAME_OF_DOMAIN: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")


class UnwritableError(Exception):
    """A letter that can never be written; the courier settles it as refused.

    Its text names no address.
    """


def address(text: str) -> str:
    """One address as SMTP can carry it without extensions: ASCII, an IDNA domain.

    Raises:
        UnwritableError: It is not exactly one such address.
    """
    local, _, domain = text.strip().rpartition("@")
    if not local or not local.isascii() or not local.isprintable() or '"' in local:
        raise UnwritableError("the address has a local part that cannot be written")
    try:
        # RFC 5891; UTS 46 maps upper case and full-width dots as browsers do.
        written = idna.encode(domain, uts46=True).decode("ascii")
        parsed = Address(addr_spec=f"{local}@{written}")
    except (ValueError, MessageError, IndexError):
        # IDNAError is a ValueError, HeaderParseError a MessageError; the parser of
        # the standard library raises IndexError on some cut input.
        raise UnwritableError("the address is not one that can be written") from None
    result = parsed.addr_spec
    if parsed.domain != written or not _NAME_OF_DOMAIN.fullmatch(written):
        raise UnwritableError("the address is not one that can be written")
    if len(local) > _LONGEST_LOCAL or len(result) > _LONGEST_ADDRESS:
        raise UnwritableError("the address is too long")
    if " " in result or '"' in result:
        raise UnwritableError("the address is not one that can be written")
    return result


def mailbox(text: str) -> tuple[str, str]:
    """A display name, which may be empty, and the address of `Name <address>`.

    Raises:
        UnwritableError: The address in it cannot be written.
    """
    name, spec = parseaddr(text)
    return clean(name), address(spec)


def mailbox_line(header: str, name: str, spec: str) -> str:
    """A mailbox as the value of a header: RFC 5322, section 3.4."""
    if not name:
        return spec
    if not name.isascii() or "=?" in name:
        encoded = Header(name, "utf-8", maxlinelen=_LINE, header_name=header)
        return f"{encoded.encode()}\n <{spec}>"
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}" <{spec}>'


def unstructured(header: str, text: str) -> str:
    """A free text as the value of a header, encoded words where needed: RFC 2047."""
    if text.isascii() and "=?" not in text:
        return fold(header, text.split(" "))
    return Header(text, "utf-8", maxlinelen=_LINE, header_name=header).encode()


def fold(header: str, words: Iterable[str]) -> str:
    """Words on lines of at most 76 characters where their length allows it."""
    lines: list[str] = []
    line, room = "", _LINE - len(header) - 2
    for word in words:
        if line and len(line) + 1 + len(word) > room:
            lines.append(line)
            line, room = word, _LINE - 1
        else:
            line = f"{line} {word}" if line else word
    return "\n ".join([*lines, line])


def message_ids(header: str, ids: Iterable[str], most: int = 10) -> str:
    """The well-formed Message-IDs among `ids`, at most ten, each on its line."""
    return "\n ".join([i for i in ids if _MESSAGE_ID.fullmatch(i)][:most])


def message_id(text: str) -> str:
    """The Message-ID if it is well formed.

    Raises:
        UnwritableError: It is not, so that no reply or report could ever name it.
    """
    if not _MESSAGE_ID.fullmatch(text):
        raise UnwritableError("the Message-ID is malformed")
    return text


def unsubscribe(url: str | None) -> list[tuple[str, str]]:
    """How a mail program stops what repeats: RFC 2369, section 3.2, and RFC 8058.

    Never folded or encoded: whoever reads it takes the URL as it stands.
    """
    if safe_url(url) is None:
        return []
    return [
        ("List-Unsubscribe", f"<{url}>"),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
    ]


def plain_words(texts: Iterable[str], most: int = 100) -> list[str]:
    """Identifiers as header words: other characters than a few become `_`."""
    words = (re.sub(r"[^A-Za-z0-9._:-]+", "_", text[:100]) or "_" for text in texts)
    return list(dict.fromkeys(words))[:most]


def serialise(headers: Sequence[tuple[str, str]], text: str, html: str) -> bytes:
    """The letter as bytes: CRLF, 7-bit clean, text first, equal for equal input.

    The boundary begins with `=_`, which no quoted-printable body can contain.
    Source: RFC 2045, section 6.7.
    """
    digest = blake2b(digest_size=12)
    for name, value in headers:
        digest.update(f"{name}:{value}\n".encode())
    boundary = f"=_{digest.hexdigest()}"
    lines = [f"{name}: {value}" for name, value in headers if value]
    lines += [
        "MIME-Version: 1.0",
        f'Content-Type: multipart/alternative; boundary="{boundary}"',
        "",
    ]
    for kind, content in (("plain", text), ("html", html)):
        lines += [
            f"--{boundary}",
            f'Content-Type: text/{kind}; charset="utf-8"',
            "Content-Transfer-Encoding: quoted-printable",
            "",
            binascii.b2a_qp(content.encode(), istext=True).decode("ascii"),
        ]
    lines += [f"--{boundary}--", ""]
    return "\n".join(lines).replace("\n", "\r\n").encode("ascii")
