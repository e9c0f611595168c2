"""The page that stops reminders: GET shows it, POST acts.

Programs that look through mail follow every link, so a GET changes nothing. Whoever
has the link may act: it is the authority, and no cookie is. Source: RFC 8058.
"""

import re
import secrets
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from monitor.core.mute import Sheet, Wish

Serve: TypeAlias = Callable[[str, Wish, str, str], Awaitable[tuple[Sheet, str]]]
"""Link, wish, language and nonce → what is shown, and its page."""

_STATUS: Final = {Sheet.UNKNOWN: 404, Sheet.LATER: 503}
_LANGUAGE: Final = re.compile(r"\s*([A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3})\s*")


def mute_route(serve: Serve) -> Route:
    """The one place; its path ends with the link's own part."""

    async def visit(request: Request) -> Response:
        wish = Wish.LOOK
        if request.method == "POST":
            try:
                wish = _wish(await request.body())
            except ClientDisconnect:  # he left before he had said what he wants
                return Response(status_code=400)
        nonce = secrets.token_urlsafe(16)
        link = request.path_params["link"]
        shown, page = await serve(link, wish, _language(request), nonce)
        return HTMLResponse(
            page,
            status_code=_STATUS.get(shown, 200),
            headers={
                "content-security-policy": (
                    f"default-src 'none'; style-src 'nonce-{nonce}'; "
                    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
                ),
                "x-robots-tag": "noindex, nofollow",
                **({"retry-after": "60"} if shown is Sheet.LATER else {}),
            },
        )

    return Route("/mute/{link}", visit, methods=["GET", "POST"])


def _wish(body: bytes) -> Wish:
    """What a POST wants: to stop, as mail programs say it, unless it takes that back.

    Their body may be a form of either kind; RFC 8058, section 3.2.
    """
    form = parse_qs(body.decode("latin-1"))
    return Wish.RESUME if form.get("reminders") == ["on"] else Wish.STOP


def _language(request: Request) -> str:
    """The first language of the visitor's browser; RFC 9110, section 12.5.4."""
    first = re.split("[,;]", request.headers.get("accept-language", ""))[0]
    found = _LANGUAGE.fullmatch(first)
    return found[1] if found else "en"
