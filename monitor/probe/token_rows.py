"""What is said about the token itself, inside `data.error`."""

from typing import Final

from monitor.core.tokens import Cause, Code
from monitor.probe.rows import (
    CLOUD,
    ERRORS,
    GUESS,
    LIST,
    SESSION,
    THREADS,
    Position,
    Row,
    payload,
)

TOKEN: Final = (Position.TOKEN,)


def _session(code: Code, subs: set[int], note: str, source: str) -> Row:
    return Row(code, TOKEN, note, source, codes=SESSION, subcodes=frozenset(subs))


def _words(code: Code, texts: tuple[str, ...], note: str, source: str) -> Row:
    return Row(code, TOKEN, note, source, codes=SESSION, texts=texts)


_TOKEN_SUBCODES = (
    _session(Code.EXPIRED, {463}, "The token has expired.", ERRORS),
    _session(Code.EXPIRED, {468}, "The token was not used for a long time.", LIST),
    _session(
        Code.DATA_ACCESS_EXPIRED,
        {493},
        "Ninety days without the user; his data is closed to the app.",
        THREADS,
    ),
    _session(
        Code.PASSWORD_CHANGED,
        {460},
        "The password was changed, or Facebook reset the session.",
        ERRORS,
    ),
    _session(Code.REVOKED, {458}, "The user removed the app.", ERRORS),
    _session(Code.REVOKED, {461, 462}, "The user installed the app again.", LIST),
    _session(
        Code.REVOKED,
        {465, 466},
        "The session was ended, through the API or with its user.",
        payload("005"),
    ),
    _session(
        Code.CHECKPOINTED,
        {459, 490},
        "The user must pass a checkpoint at facebook.com first.",
        ERRORS,
    ),
    _session(Code.LOGGED_OUT, {452}, "The user logged in anew elsewhere.", LIST),
    _session(Code.LOGGED_OUT, {467}, "The user logged out.", ERRORS),
    _session(
        Code.UNCONFIRMED_USER,
        {464},
        "The user is not confirmed, or the integration of a system user was removed.",
        ERRORS,
    ),
    _session(
        Code.PAGE_ROLE_LOST,
        {492},
        "The user lost his role on the page, or lacks two-factor authentication.",
        ERRORS,
    ),
    _session(Code.MALFORMED, {456, 457}, "The stored value is damaged.", LIST),
)

_TOKEN_TEXTS = (
    _words(Code.EXPIRED, ("session has expired",), "As 463.", payload("018")),
    _words(
        Code.PASSWORD_CHANGED,
        ("changed their password", "changed the session for security"),
        "As 460.",
        payload("017"),
    ),
    _words(
        Code.REVOKED, ("has not authorized application",), "As 458.", payload("077")
    ),
    _words(
        Code.CHECKPOINTED,
        (
            "log in to www.facebook.com and follow the instructions",
            "log in to m.facebook.com and follow the instructions",
            "log in to www.instagram.com and follow the instructions",
            "checkpoint",
        ),
        "As 459 and 490.",
        payload("079"),
    ),
    _words(Code.UNCONFIRMED_USER, ("not a confirmed user",), "As 464.", payload("083")),
    _words(Code.LOGGED_OUT, ("logged out",), "As 467.", payload("084")),
    _words(
        Code.REVOKED,
        ("invalidated explicitly using an api call",),
        "As 466.",
        payload("005"),
    ),
    _words(
        Code.PAGE_ROLE_LOST,
        ("must be an administrator, editor, or moderator of the page",),
        "As 492.",
        payload("085"),
    ),
    _words(
        Code.SCOPES_MISSING,
        ("must be granted before impersonating",),
        "A permission that the page token needs is missing.",
        THREADS,
    ),
    _words(
        Code.MALFORMED,
        ("cannot parse access token", "could not be decrypted", "malformed"),
        "The stored value cannot be read as a token.",
        payload("001"),
    ),
    _words(
        Code.MALFORMED,
        ("invalid oauth access token signature", "cannot get application info"),
        "An app token is stored, with a secret or an app that is not right.",
        payload("003"),
    ),
)

TOKEN_ROWS: Final[tuple[Row, ...]] = (
    Row(
        Cause.TRANSIENT,
        TOKEN,
        "Meta takes the trouble with the token for a passing one.",
        GUESS,
        transient=True,
    ),
    *_TOKEN_SUBCODES,
    *_TOKEN_TEXTS,
    Row(
        Code.INVALID,
        TOKEN,
        "The session is no good; neither subcode nor text says why.",
        f"{ERRORS}; code 0: {CLOUD}",
        codes=SESSION,
    ),
    Row(
        Code.INVALID,
        TOKEN,
        "Not valid, and no error is given.",
        payload("039"),
        codes=frozenset({None}),
    ),
)
"""The subcode settles it; without a known one the text; else it is just invalid."""
