"""The mail server: what is configured of it, and what of its replies may be shown."""

import base64
import re
import ssl
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final

from monitor.errors import ConfigurationError
from monitor.notify.safe import clean

_LONGEST_REPLY: Final = 200
_ADDRESS: Final = re.compile(r"<?[^\s<>@]+@[^\s<>@]+>?")
_SHORTEST_SECRET: Final = 4
"""Anything shorter would blot out common words of a reply."""


class Tls(StrEnum):
    """How the connection is made private; never by chance."""

    STARTTLS = "starttls"
    IMPLICIT = "implicit"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Server:
    """The mail server letters are handed to."""

    host: str
    port: int
    tls: Tls = Tls.STARTTLS
    ca_file: Path | None = None
    """Whom to trust instead of the system's authorities."""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    timeout: timedelta = timedelta(seconds=60)
    """The wait for one reply."""
    longest_attempt: timedelta = timedelta(seconds=120)
    """The whole of one attempt, connecting included; less than the lease."""
    local_hostname: str | None = None
    """What EHLO says; `None`: the name of this machine."""

    def context(self) -> ssl.SSLContext | None:
        """Whom to trust; `None` without TLS.

        Raises:
            ConfigurationError: `ca_file` cannot be read.
        """
        if self.tls is Tls.NONE:
            return None
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"mail.ca_file: {self.ca_file} cannot be read ({error});"
                " expected certificates in PEM form"
            ) from None

    def shown(self, reply: str) -> str:
        """The first line of a reply without addresses and credentials."""
        lines = reply.splitlines() or [""]
        line = clean(lines[0], 4 * _LONGEST_REPLY)
        for secret in _spellings(self.username or "", self.password or ""):
            line = line.replace(secret, "(hidden)")
        return clean(_ADDRESS.sub("(address)", line), _LONGEST_REPLY)


def _spellings(user: str, password: str) -> list[str]:
    """How credentials may look in a reply that echoes them, longest first."""
    plain = [user, password, f"\0{user}\0{password}"]
    encoded = [base64.b64encode(text.encode()).decode() for text in plain]
    found = {text for text in (*plain, *encoded) if len(text) >= _SHORTEST_SECRET}
    return sorted(found, key=len, reverse=True)
