"""Logs: one line an event on standard error, and no secret in any of them."""

import logging
import re
import sys
import traceback
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Final, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

_MASK: Final = "[hidden]"
_TOKEN_SHAPES: Final = re.compile(
    r"""
    \bEAA[A-Za-z0-9_-]{8,}            # user, page and system-user tokens
    | \b(?:IG|TH)[A-Za-z0-9_-]{20,}   # Instagram and Threads
    | \b\d{5,}(?:\||%7C)[^\s"'&<>]+   # app tokens: id, bar, secret
    | (?<=access_token=)[^\s"'&<>]+
    | (?<=input_token=)[^\s"'&<>]+
    | (?<=Bearer\ )[^\s"'&<>]+
    | (?<=/mute/)[^\s"'&<>/]+            # links of letters, as servers may repeat them
    """,
    re.VERBOSE,
)
"""What Meta's tokens look like, as far as their shape tells.

Source: the recorded payloads, read 2026-11-23; the shapes are nowhere promised, so
known secrets are hidden by value too.
"""
_CHATTY: Final = (
    "httpx",
    "httpcore",
    "hpack",
    "aiosqlite",
    "aiosmtplib",
    "asyncio",
    "mail.log",
    "sqlalchemy",
    "alembic",
    "apscheduler",
    "uvicorn",
)
"""Libraries whose debug lines would repeat URLs, bodies or parameters."""
_SHORTEST_SECRET: Final = 4


class Redactor:
    """Hides known secrets, and everything of a token's shape, in what is logged."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = sorted(
            {secret for secret in secrets if len(secret) >= _SHORTEST_SECRET},
            key=len,
            reverse=True,
        )
        self._known = (
            re.compile("|".join(re.escape(secret) for secret in known))
            if known
            else None
        )

    def __call__(self, _: WrappedLogger, __: str, event_dict: EventDict) -> EventDict:
        """Redact every value of an event, however deep."""
        return {key: self._clean(value) for key, value in event_dict.items()}

    def text(self, text: str) -> str:
        """The text without secrets."""
        if self._known is not None:
            text = self._known.sub(_MASK, text)
        return _TOKEN_SHAPES.sub(_MASK, text)

    def _clean(self, value: Any) -> Any:  # noqa: ANN401 - whatever was logged
        if isinstance(value, str):
            return self.text(value)
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, Mapping):
            return {str(key): self._clean(each) for key, each in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._clean(each) for each in value]
        return self.text(str(value))


class _Redacted(logging.Formatter):
    """Runs the whole line through the redactor, whoever wrote it."""

    def __init__(self, inner: logging.Formatter, redactor: Redactor) -> None:
        super().__init__()
        self._inner = inner
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        return self._redactor.text(self._inner.format(record))


_words: Final[dict[str, Redactor]] = {}
"""The redactor of this process, once its secrets are known."""


def last_words(error: BaseException) -> str:
    """A traceback to end with, without secrets.

    Before the configuration is read nobody knows them, so the text is withheld.
    """
    redactor = _words.get("redactor")
    if redactor is not None:
        return redactor.text("".join(traceback.format_exception(error)))
    where = "".join(traceback.format_tb(error.__traceback__))
    return f"{where}{type(error).__name__} (its text is withheld)\n"


class _Discreet(logging.StreamHandler[TextIO]):
    """Tells of a line that could not be written without repeating what was in it."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's
        error = sys.exc_info()[1]
        if error is not None:
            with suppress(OSError, ValueError):  # the stream may be the trouble
                self.stream.write(f"{record.name}: no line: {last_words(error)}")


def configure(
    level: str = "info",
    style: str = "auto",
    *,
    secrets: Iterable[str] = (),
    stream: TextIO | None = None,
) -> None:
    """Send every log line of the process to standard error, redacted.

    Args:
        level: `debug`, `info`, `warning` or `error`.
        style: `json`, `pretty`, or `auto`: pretty on a terminal, JSON elsewhere.
        secrets: Values that must never appear, whatever their shape.
        stream: Where to write; standard error if not given.
    """
    stream = stream or sys.stderr
    pretty = style == "pretty" or (style == "auto" and stream.isatty())
    redactor = Redactor(secrets)
    _words["redactor"] = redactor
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        # Frame locals hold secrets: tracebacks are text, never rich.
        structlog.processors.format_exc_info,
        redactor,
    ]
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=stream.isatty())
        if pretty
        else structlog.processors.JSONRenderer(sort_keys=False)
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            renderer,
        ],
    )
    handler = _Discreet(stream)
    handler.setFormatter(_Redacted(formatter, redactor))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
