"""The simulated Graph on a port of this machine, in the loop that is running."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from monitor.errors import UnavailableError
from monitor.sandbox.faults import Fault
from monitor.sandbox.graph import Graph
from monitor.sandbox.scenario import Scenario
from monitor.sandbox.states import State
from monitor.sandbox.world import Call, Clock, World

_LOOPBACK = "127.0.0.1"


class Sandbox:
    """A simulated Graph that is up. Made by `serve`."""

    def __init__(self, world: World, port: int) -> None:
        self._world = world
        self.port = port
        self.url = f"http://{_LOOPBACK}:{port}"
        """What `graph.base_url` is set to."""

    @classmethod
    @asynccontextmanager
    async def serve(
        cls, scenario: Scenario, *, clock: Clock, port: int = 0, speed: float = 1.0
    ) -> AsyncIterator["Sandbox"]:
        """Serve a scenario on loopback until the block ends; port 0 takes a free one.

        `speed` scales the event clock; `Date` and expiries follow `clock` itself.

        Raises:
            UnavailableError: the port is taken.
            ConfigurationError: a speed that is not above 0.
        """
        world = World(scenario, clock, speed)
        graph = Graph(world)
        with _listen(port) as listener:
            server = _Server(graph)
            listens_on = listener.getsockname()[1]
            task = asyncio.create_task(server.serve(sockets=[listener]))
            task.add_done_callback(lambda _: server.up.set())
            try:
                await server.up.wait()
                yield cls(world, listens_on)
            finally:
                graph.stopping.set()
                server.leave.set()
                await task

    @property
    def calls(self) -> list[Call]:
        """The HTTP calls so far, oldest first, the last ten thousand at most."""
        return list(self._world.calls)

    def looks(self, token_id: str) -> int:
        """How often this token was asked about, whatever came of it."""
        return sum(call.items.count(token_id) for call in self._world.calls)

    def token(self, token_id: str) -> str:
        """The token that an inventory id stands for now."""
        return self._world.current(token_id).text

    def set_state(self, token_id: str, state: State | str) -> None:
        """Put a token into a state, from now on and whatever its events say."""
        self._world.set_state(token_id, state)

    def replace_token(self, token_id: str) -> str:
        """Issue a fresh, valid token for an id and return it, as if re-authorised."""
        return self._world.replace_token(token_id)

    def fail_with(self, fault: Fault | str | None, *, app: str | None = None) -> None:
        """Let a fault strike from now on, for one app or all; `None` ends it."""
        self._world.fail_with(fault, app)

    def set_app_secret(self, app_id: str, secret: str) -> None:
        """Change the secret of an app, so that the old one is refused."""
        self._world.set_app_secret(app_id, secret)

    def advance(self, by: timedelta) -> None:
        """Move the event clock forward; the wall clock stays."""
        self._world.advance(by)


class _Protocol(HttpToolsProtocol):
    """Hands the connection to the application, so that a fault can break it."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        cast("dict[str, object]", self.scope)["transport"] = self.transport


class _Server(uvicorn.Server):
    """Leaves signals alone, comes up and goes down without waiting for a tick."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(
            uvicorn.Config(
                graph,
                http=_Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                date_header=False,
                server_header=False,
            )
        )
        self.up = asyncio.Event()
        self.leave = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        self.up.set()
        await self.leave.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for place in (*self.servers, *(sockets or ())):
            place.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.gather(*self.server_state.tasks, return_exceptions=True)


@contextmanager
def _listen(port: int) -> Iterator[socket.socket]:
    # With the protocol named, asyncio turns Nagle's algorithm off; without it every
    # reply on a kept connection waits 40 ms for a delayed acknowledgement.
    tcp = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    with socket.socket(*tcp) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((_LOOPBACK, port))
        except OSError as error:
            raise UnavailableError(
                f"the sandbox cannot listen on {_LOOPBACK}:{port}: "
                f"{error.strerror}; choose another with --port"
            ) from error
        except OverflowError as error:
            raise UnavailableError(f"{port} is no port (0 to 65535)") from error
        listener.listen(2048)
        yield listener
