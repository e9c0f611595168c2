"""Pages: is the process alive and ready for trust, what does it count; and `/mute/`."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitor.core.vitals import Ailment
from monitor.web.mute import Serve, mute_route

Sick = Callable[[], Awaitable[Sequence[Ailment]]]
"""What does not do its work at this moment; nothing: all is well."""

_HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    # One question a visit: nobody keeps a connection of ours.
    (b"connection", b"close"),
)


def pages(sick: Sick, metrics: Callable[[], Awaitable[bytes]], mute: Serve) -> ASGIApp:
    """The whole web, for whoever serves it."""

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def readyz(_: Request) -> Response:
        ailments = await sick()
        if not ailments:
            return PlainTextResponse("ready\n")
        return PlainTextResponse("".join(map(_line, ailments)), status_code=503)

    async def exposition(_: Request) -> Response:
        return Response(await metrics(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    routes = [
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", exposition),
        mute_route(mute),
    ]
    app = Starlette(routes=routes)
    # A redirect would be built from whatever the visitor calls us.
    app.router.redirect_slashes = False
    return _Guarded(app)


def _line(ailment: Ailment) -> str:
    since = f" (since {ailment.since:%Y-%m-%dT%H:%M:%SZ})" if ailment.since else ""
    return f"{ailment.organ}: {ailment.what}{since}\n"


class _Guarded:
    """Adds to every reply what browsers must know of it, if it does not say so."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = list(message["headers"])
                named = {name.lower() for name, _ in own}
                more = (each for each in _HEADERS if each[0] not in named)
                message["headers"] = [*own, *more]
            await send(message)

        await self._app(scope, receive, guarded)
