"""What is said outside `data`: about the call, the caller, Meta itself."""

from typing import Final

from monitor.core.tokens import Cause, Code
from monitor.probe.rows import (
    BATCH,
    DEBUG,
    DEBUGGING,
    ERRORS,
    GUESS,
    RATES,
    SECURE,
    SESSION,
    Position,
    Row,
    payload,
)

ITEM: Final = (Position.ITEM,)
CALL: Final = (Position.CALL,)
OUTSIDE: Final = (Position.ITEM, Position.CALL)

_TROUBLE_ROWS = (
    Row(
        Cause.UNKNOWN,
        OUTSIDE,
        "A block on publishing, not a quota.",
        "a public client's tests",
        codes=frozenset({4}),
        subcodes=frozenset({2207051}),
    ),
    Row(
        Cause.THROTTLED,
        OUTSIDE,
        "Too many calls of the app, the user or the page, whatever the type says.",
        RATES,
        codes=frozenset({4, 17, 32, 341, 613}),
    ),
    Row(
        Cause.THROTTLED,
        OUTSIDE,
        "A limit of a business use case.",
        RATES,
        codes=range(80000, 80015),
    ),
    Row(
        Cause.THROTTLED,
        OUTSIDE,
        "HTTP says too many requests.",
        "RFC 6585, section 4",
        statuses=frozenset({429}),
    ),
    Row(
        Cause.TRANSIENT,
        OUTSIDE,
        "Meta calls it passing.",
        payload("101"),
        transient=True,
    ),
    Row(
        Cause.TRANSIENT,
        OUTSIDE,
        "A server error.",
        "RFC 9110, section 15.6",
        statuses=range(500, 600),
    ),
    Row(
        Cause.CALLER,
        OUTSIDE,
        "The app secret is not right; the same code as a passing trouble.",
        payload("062"),
        codes=frozenset({1}),
        texts=("error validating client secret",),
    ),
    Row(
        Cause.UNKNOWN,
        OUTSIDE,
        "An unknown error that Meta does not call passing.",
        payload("103"),
        codes=frozenset({1}),
        transient=False,
    ),
    Row(
        Cause.TRANSIENT,
        OUTSIDE,
        "Unknown error, or service down; asked again later.",
        ERRORS,
        codes=frozenset({1, 2}),
    ),
    Row(
        Cause.TRANSIENT,
        OUTSIDE,
        "The batch item was given up.",
        BATCH,
        codes=frozenset({960}),
    ),
)

_WRONG_APP = ("did not match the viewing app",)

_CALLER_ROWS = (
    Row(
        Code.WRONG_APP,
        ITEM,
        "The token belongs to another app than the one that asks.",
        payload("052"),
        codes=frozenset({100}),
        texts=_WRONG_APP,
        statuses=range(400, 500),
    ),
    Row(
        Cause.CALLER,
        CALL,
        "Another app, said of a whole batch: about us, and of no single token.",
        GUESS,
        codes=frozenset({100}),
        texts=_WRONG_APP,
    ),
    Row(
        Cause.CALLER,
        OUTSIDE,
        "The proof of the app secret is missing or wrong.",
        SECURE,
        codes=frozenset({100}),
        texts=("appsecret_proof",),
    ),
    Row(
        Cause.CALLER,
        OUTSIDE,
        "The caller is no app and no developer of the app.",
        DEBUG,
        codes=frozenset({100}),
        texts=("must provide an app access token",),
    ),
    Row(
        Cause.CALLER,
        OUTSIDE,
        "The app cannot be validated.",
        payload("057"),
        codes=frozenset({101}),
    ),
    Row(
        Cause.CALLER,
        OUTSIDE,
        "The signature is not right.",
        ERRORS,
        codes=frozenset({104}),
    ),
    Row(
        Cause.CALLER,
        OUTSIDE,
        "The caller's own session or secret; never evidence about an owner's token.",
        f"{DEBUGGING}; {payload('053')}",
        codes=SESSION,
    ),
    Row(
        Cause.CALLER,
        OUTSIDE,
        "Meta blocked the app.",
        "a recording at graph.instagram.com",
        codes=frozenset({200}),
        texts=("api access blocked",),
    ),
)

CALL_ROWS: Final[tuple[Row, ...]] = (*_TROUBLE_ROWS, *_CALLER_ROWS)
"""Throttles, passing trouble, then who is to blame; the first that fits."""
