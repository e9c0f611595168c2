"""Heartbeat: a sign of life to a watchman outside, who misses it when it stops."""

import asyncio
import logging
import ssl
from datetime import timedelta
from typing import Final

LONGEST_PING: Final = timedelta(seconds=10)


class Heartbeat:
    """Pings one URL, which is as secret as a password.

    Args:
        url: Whoever knows it can make a dead monitor look alive.
        longest: A ping that takes longer has failed.
    """

    def __init__(self, url: str, longest: timedelta = LONGEST_PING) -> None:
        self._url = url
        self._longest = longest
        self._tls: ssl.SSLContext | None = None
        # At INFO httpx logs every URL (github.com/encode/httpx/issues/2760).
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)

    def __repr__(self) -> str:
        """Never the URL."""
        return "Heartbeat()"

    async def ping(self) -> str | None:
        """Ping once; says what failed, in words without the URL, or nothing.

        No redirect is followed and no body is read.
        """
        import httpx  # noqa: PLC0415 - slow, and rarely needed

        if self._tls is None:
            # Once: reading the authorities takes longer than a ping.
            self._tls = httpx.create_ssl_context(trust_env=False)
        try:
            async with (
                asyncio.timeout(self._longest.total_seconds()),
                httpx.AsyncClient(
                    timeout=self._longest.total_seconds(),
                    trust_env=False,
                    verify=self._tls,
                ) as client,
                client.stream("GET", self._url) as reply,
            ):
                if reply.is_success:
                    return None
                return f"status {reply.status_code}"
        except (TimeoutError, httpx.TimeoutException):
            return f"no reply within {self._longest.total_seconds():g} seconds"
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            # Its text may repeat the URL; its kind says enough.
            return type(error).__name__
