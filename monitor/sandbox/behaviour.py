"""What Graph says about a token at an instant. Pure: no clock, no server."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from monitor.sandbox.scenario import AppPlan, TokenPlan
from monitor.sandbox.states import VALID, State

_PACIFIC = ZoneInfo("America/Los_Angeles")
_HOUR = timedelta(hours=1)
_NEVER_GRANULAR = frozenset({"email", "public_profile", "openid"})

_ERROR = "Error validating access token: "
_ENDINGS: Mapping[str, tuple[int | None, str]] = {
    "password_changed": (
        460,
        (
            f"{_ERROR}The session has been invalidated because the user changed their "
            "password or Facebook has changed the session for security reasons."
        ),
    ),
    "revoked": (458, f"{_ERROR}The user has not authorized application {{app}}."),
    "invalidated": (
        466,
        f"{_ERROR}The session was invalidated explicitly using an API call.",
    ),
    "checkpointed": (
        459,
        (
            "You cannot access the app till you log in to www.facebook.com and follow "
            "the instructions given."
        ),
    ),
    "logged_out": (
        467,
        f"{_ERROR}The session is invalid because the user logged out.",
    ),
    "unconfirmed_user": (
        464,
        (
            f"{_ERROR}Sessions for the user are not allowed because the user is not a "
            "confirmed user."
        ),
    ),
    "page_role_lost": (
        492,
        (
            "The user must be an administrator, editor, or moderator of the page in "
            "order to impersonate it. If the page business requires Two Factor "
            "Authentication, the user also needs to enable Two Factor Authentication."
        ),
    ),
    "invalid_no_subcode": (None, f"{_ERROR}The session is not valid any more."),
    "unknown_subcode": (2999, f"{_ERROR}The session ended for another reason."),
    "hostile": (
        460,
        (
            "Sorry\r\nBcc: everyone@evil.example\r\n\r\n<script>alert(1)</script> "
            "{{ 7*7 }} {token} \u2028\u202e\x1b[31m"
        ),
    ),
}
"""Texts and subcodes of ended tokens.

Source: Graph API, "Handling Errors", and recorded answers, read 2026-11-23. Inside
`data.error` only 460, 463 and 466 were recorded; the others are inferred from the
top-level errors with the same subcode.
"""

_HOSTILE_NAME = "Acme\r\nBcc: everyone@evil.example\u2028<script>alert(1)</script>"


@dataclass(frozen=True, slots=True)
class Answer:
    """The reply to one debug_token."""

    status: int
    body: bytes
    expires_at: datetime | None = None
    """Until when it would be the same, if nothing happens; `None`: for ever."""


@dataclass(frozen=True, slots=True)
class Look:
    """One look at one token."""

    plan: TokenPlan
    app: AppPlan
    text: str
    born_at: datetime
    """From when the plan's spans count."""
    state: State
    since_at: datetime
    """When the state began."""
    now: datetime
    number: int = 1
    """How often this token was looked at, this look included."""


def inspect(look: Look) -> Answer | None:
    """The answer to debug_token; `None` is a batch item that timed out.

    Field presence per type: Source: Graph API, "Debug Token", and recorded answers,
    read 2026-11-23.
    """
    state = look.state
    if state.name == "flapping":
        state = State("password_changed") if look.number % 2 else VALID
    if state.name == "null_item":
        return None
    if state.name == "transient":
        text = "(#2) Service temporarily unavailable"
        return refusal(503, text, code=2, is_transient=True)
    if state.name == "wrong_app":
        return did_not_match()
    if state.name == "malformed":
        return cannot_parse() if state.argument == "parse" else could_not_be_decrypted()
    return _describe(look, state)


def _describe(look: Look, state: State) -> Answer:
    plan = look.plan
    expires_at = _ends_at(look, state)
    data: dict[str, object] = {
        "app_id": look.app.id,
        "type": plan.kind.upper(),
        "application": _HOSTILE_NAME if state.name == "hostile" else look.app.name,
        "data_access_expires_at": _seconds(_data_access_ends_at(look, state)),
    }
    error = _error(look, state, expires_at)
    if error:
        data["error"] = error
    data["expires_at"] = _seconds(expires_at)
    data["is_valid"] = error is None and state.name != "invalid"
    if plan.issued_ago is not None and state.name not in {"short_lived", "invalidated"}:
        data["issued_at"] = _seconds(look.born_at - plan.issued_ago)
    if state.name == "hostile":
        data["__proto__"] = {"is_valid": True, "message": "{{ config }}"}
    if plan.page:
        data["profile_id"] = plan.page
    scopes = _scopes(plan, state)
    data["scopes"] = scopes
    granular = [
        {"scope": scope, "target_ids": targets} if targets else {"scope": scope}
        for scope in scopes
        if scope not in _NEVER_GRANULAR
        for targets in (_targets(plan, state, scope),)
    ]
    if granular:
        data["granular_scopes"] = granular
    data["user_id"] = plan.person
    body = msgspec.json.encode({"data": data})
    if error and error.get("subcode") == _EXPIRED:
        return Answer(200, body, look.now + timedelta(seconds=1))
    return Answer(200, body, None if error else expires_at)


_EXPIRED = 463


def _error(
    look: Look, state: State, expires_at: datetime | None
) -> dict[str, object] | None:
    if state.name in _ENDINGS:
        subcode, text = _ENDINGS[state.name]
        text = text.replace("{app}", look.app.id).replace("{token}", look.text)
        if state.name == "checkpointed" and state.argument == "490":
            subcode = 490
            text = "The user is enrolled in a blocking, logged-in checkpoint"
    elif state.name != "invalid" and expires_at and expires_at <= look.now:
        subcode = _EXPIRED
        text = (
            f"{_ERROR}Session has expired on {_pacific(expires_at)}. "
            f"The current time is {_pacific(look.now)}."
        )
    else:
        return None
    error: dict[str, object] = {"code": 190, "message": text}
    if subcode is not None and state.argument != "no_subcode":
        error["subcode"] = subcode
    return error


def _ends_at(look: Look, state: State) -> datetime | None:
    if state.name == "never_expiring":
        return None
    if state.name == "short_lived":
        # Short-lived tokens end on the hour. Source: recorded answers of debug_token.
        hour = look.since_at.replace(minute=0, second=0, microsecond=0)
        return hour + 2 * _HOUR
    span = look.plan.expires_in
    own = None if span is None else look.born_at + span
    if state.name == "expired" and (own is None or own > look.now):
        return min(look.since_at, look.now)
    return own


def _data_access_ends_at(look: Look, state: State) -> datetime | None:
    span = look.plan.data_access_expires_in
    own = None if span is None else look.born_at + span
    if state.name == "data_access_expired" and (own is None or own > look.now):
        return min(look.since_at, look.now)
    return None if look.plan.kind == "system_user" else own


def _scopes(plan: TokenPlan, state: State) -> tuple[str, ...]:
    if state.name == "invalidated":
        return ()
    if state.name == "scope_lost":
        lost = state.argument or next(reversed(plan.scopes), "")
        return tuple(scope for scope in plan.scopes if scope != lost)
    return plan.scopes


def _targets(plan: TokenPlan, state: State, scope: str) -> tuple[str, ...]:
    """The targets of a scope; empty: not stated."""
    targets = plan.targets.get(scope, ())
    if state.name != "target_lost" or not targets:
        return targets
    lost = state.argument or next(iter(plan.targets))
    # One foreign asset stays: an empty or absent list would mean "all of them".
    return ("100000000000001",) if scope == lost else targets


def app_token(app: AppPlan) -> Answer:
    """The app token inspects itself."""
    data = {
        "app_id": app.id,
        "type": "APP",
        "application": app.name,
        "is_valid": True,
        "scopes": (),
    }
    return Answer(200, msgspec.json.encode({"data": data}))


def cannot_parse() -> Answer:
    """The input is no token at all."""
    return _unreadable("Invalid OAuth access token - Cannot parse access token")


def could_not_be_decrypted() -> Answer:
    """The input looks like a token and is none."""
    return _unreadable("The access token could not be decrypted")


def bad_signature() -> Answer:
    """The input is a known app with a wrong secret."""
    return _unreadable("Invalid OAuth access token signature.")


def no_such_app() -> Answer:
    """The input has the form of an app token, of an app that does not exist."""
    return _unreadable(NO_SUCH_APP)


NO_SUCH_APP = (
    "Error validating application. Cannot get application info due to a system error."
)


def did_not_match() -> Answer:
    """The input belongs to another app: the one token matter said at top level."""
    text = "(#100) The App_id in the input_token did not match the Viewing App"
    return refusal(400, text, code=100)


def refusal(status: int, message: str, *, code: int, **more: object) -> Answer:
    """An error at top level, never inside `data`."""
    error = {
        "message": message,
        "type": "OAuthException",
        "code": code,
        "fbtrace_id": "ArehearsalTrace0",
        **more,
    }
    return Answer(status, msgspec.json.encode({"error": error}))


def _unreadable(message: str) -> Answer:
    error = {"code": 190, "message": message}
    data = {"error": error, "is_valid": False, "scopes": ()}
    return Answer(200, msgspec.json.encode({"data": data}))


def _seconds(at: datetime | None) -> int:
    return 0 if at is None else int(at.timestamp())


def _pacific(at: datetime) -> str:
    local = at.astimezone(_PACIFIC)
    return f"{local:%A, %d-%b-%y %H:%M:%S %Z}"
