"""Letters as the mailbox keeps them, and as files a person can open."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

_UNSAFE = re.compile(r"[^a-z0-9]+")
_NAME_LENGTH = 60


@dataclass(frozen=True, slots=True)
class Received:
    """One letter that the mailbox took."""

    envelope_from: str
    envelope_to: tuple[str, ...]
    data: bytes = field(repr=False)
    at: datetime
    encrypted: bool = False
    """Whether it came over TLS."""
    user: str | None = None
    """Who had logged in."""

    @property
    def message(self) -> EmailMessage:
        """The letter, parsed."""
        return message_from_bytes(self.data, policy=default)

    @property
    def subject(self) -> str:
        """The subject, decoded."""
        return str(self.message["Subject"] or "")

    @property
    def text(self) -> str:
        """The plain part; empty if there is none."""
        return self._part("plain")

    @property
    def html(self) -> str:
        """The HTML part; empty if there is none."""
        return self._part("html")

    def _part(self, kind: str) -> str:
        part = self.message.get_body((kind,))
        content = str(part.get_content()) if part is not None else ""
        return content.replace("\r\n", "\n")


def save(letters: Sequence[Received], directory: Path) -> list[Path]:
    """Write letters as `001-to-subject.eml`, `.txt` and `.html`; the paths in order.

    Names are built from letters, digits and hyphens only, whatever the letters say.
    """
    directory.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for number, letter in enumerate(letters, 1):
        who = (letter.envelope_to or ("nobody",))[0].partition("@")[0]
        name = f"{number:03d}-{_plain(who)[:20]}-{_plain(letter.subject)}"
        stem = name[:_NAME_LENGTH].strip("-")
        parts = {
            "eml": letter.data,
            "txt": letter.text.encode("utf-8", "replace"),
            "html": letter.html.encode("utf-8", "replace"),
        }
        for suffix, content in parts.items():
            if content:
                path = directory / f"{stem}.{suffix}"
                path.write_bytes(content)
                written.append(path)
    return written


def _plain(text: str) -> str:
    """The text reduced to what a file name can hold everywhere.

    >>> _plain("Bäckerei Süd: in 3 Tagen!")
    'backerei-sud-in-3-tagen'
    """
    base = unicodedata.normalize("NFKD", text.lower())
    letters = "".join(char for char in base if not unicodedata.combining(char))
    return _UNSAFE.sub("-", letters).strip("-")
