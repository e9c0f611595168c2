"""Who is asking the simulated Graph, and may he."""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta

from monitor.sandbox.behaviour import NO_SUCH_APP, Answer, refusal
from monitor.sandbox.request import Ask, Request
from monitor.sandbox.scenario import AppPlan
from monitor.sandbox.world import World

_PROOF_LIFE = timedelta(minutes=5)
_NO_CALLER = (
    "(#100) You must provide an app access token, or a user access token that is an "
    "owner or developer of the app"
)

_UNREADABLE = "Invalid OAuth access token - Cannot parse access token"


def app_of(token: str) -> str:
    """The app id an app token names; of any other text nothing."""
    head, bar, _ = token.partition("|")
    return head if bar else ""


def admit(world: World, request: Request, now: datetime) -> AppPlan | Answer:
    """The app that asks, or why the whole call is refused.

    An app that requires a proof may also bring it with each item of a batch.
    """
    return _identify(
        world, request.token, request.proof, now, excused=request.proof_later
    )


def own_app(
    world: World, request: Request, ask: str | Ask, app: AppPlan, now: datetime
) -> AppPlan | Answer:
    """The app that asks this one item; `app` asks all that name none."""
    own = ask if isinstance(ask, Ask) else None
    if own and (own.token or own.proof):
        return _identify(world, own.token or request.token, own.proof, now)
    if app.require_proof and not request.proof:
        return _proof_required()
    return app


def _identify(
    world: World,
    token: str,
    proof: Mapping[str, str],
    now: datetime,
    *,
    excused: bool = False,
) -> AppPlan | Answer:
    """The app behind a caller's token, or why it is refused.

    Source: Graph API, "Debug Token", "Secure Graph API Calls" and recorded answers,
    read 2026-11-23.
    """
    app_id, bar, secret = token.partition("|")
    if not token or (not bar and world.find(token)):
        return refusal(400, _NO_CALLER, code=100)
    app = world.apps.get(app_id) if bar else None
    if app is None:
        return refusal(400, NO_SUCH_APP if bar else _UNREADABLE, code=190)
    if not hmac.compare_digest(secret.encode(), app.secret.encode()):
        return refusal(400, "Invalid OAuth access token signature.", code=190)
    if "appsecret_proof" in proof:
        return app if _proves(app, token, proof, now) else _wrong_proof()
    return app if excused or not app.require_proof else _proof_required()


def _proof_required() -> Answer:
    text = "API calls from the server require an appsecret_proof argument"
    return refusal(400, text, code=100, type="GraphMethodException")


def _proves(app: AppPlan, token: str, proof: Mapping[str, str], now: datetime) -> bool:
    message = token
    stamp = proof.get("appsecret_time")
    if stamp is not None:
        if not stamp.isdecimal():
            return False
        if abs(now.timestamp() - int(stamp)) > _PROOF_LIFE.total_seconds():
            return False
        message = f"{token}|{stamp}"
    right = hmac.new(app.secret.encode(), message.encode(), hashlib.sha256).hexdigest()
    return hmac.compare_digest(right, proof["appsecret_proof"])


def _wrong_proof() -> Answer:
    text = "Invalid appsecret_proof provided in the API argument"
    return refusal(400, text, code=100, type="GraphMethodException")
