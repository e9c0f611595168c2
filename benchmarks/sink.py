"""A mail server that takes everything and keeps nothing, as quick as Python can be.

Run as `python -m benchmarks.sink [CORE]`; it prints its port. SMTP without extensions:
each command has its reply, and a letter ends at the dot.
"""

import asyncio
import sys
from typing import Final

from benchmarks.fleet import pin

_REPLIES: Final = {
    b"EHLO": b"250 sink\r\n",
    b"HELO": b"250 sink\r\n",
    b"MAIL": b"250 ok\r\n",
    b"RCPT": b"250 ok\r\n",
    b"RSET": b"250 ok\r\n",
    b"NOOP": b"250 ok\r\n",
    b"DATA": b"354 go on\r\n",
}
_END: Final = b"\r\n.\r\n"


class Sink(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self._transport = transport
        self._held = b""
        self._letter = False
        self._write(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        """Answer each command, and each letter once."""
        held = self._held + data
        while held:
            end = held.find(_END if self._letter else b"\r\n")
            if end < 0:
                break
            if self._letter:
                self._letter, held = False, held[end + len(_END) :]
                self._write(b"250 taken\r\n")
                continue
            command, held = held[:4].upper(), held[end + 2 :]
            if command == b"QUIT":
                self._write(b"221 bye\r\n")
                self._transport.close()
                return
            self._letter = command == b"DATA"
            self._write(_REPLIES.get(command, b"500 what\r\n"))
        self._held = held

    def _write(self, reply: bytes) -> None:
        if isinstance(self._transport, asyncio.Transport):
            self._transport.write(reply)


async def main() -> None:
    """Serve until stopped."""
    pin(int(sys.argv[1]) if len(sys.argv) > 1 else None)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Sink, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
