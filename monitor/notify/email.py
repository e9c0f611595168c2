"""Hand over: the bytes of a letter go to a mail server, an `Attempt` comes back."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final, TypeAlias

from monitor.core.attempt import Attempt, Outcome, Phase, outcome_of
from monitor.core.dispute import is_disputed
from monitor.notify.dialogue import FailedError, Line, Progress
from monitor.notify.server import Server
from monitor.notify.trace import Observer

MOST_LETTERS: Final = 50
"""Letters over one connection; servers count, and a fresh one costs little."""
LONGEST_IDLE: Final = timedelta(seconds=30)
_CLOSING: Final = 421
"""RFC 5321, section 3.8: the server closes the connection."""
GRACE: Final = timedelta(seconds=20)
"""How long a stopped mailer waits for the reply to a final dot."""

Gate: TypeAlias = Callable[[], Awaitable[bool]]
"""Asked just before `MAIL FROM`: whether the letter may still go."""


class Mailer:
    """Hands letters to one server over one connection, which is kept between them.

    One worker has one mailer; two letters at once wait for each other. A connection
    is renewed after 50 letters, 30 seconds of idleness, and whenever it is broken; a
    connection lost while idle is made anew without a word, for nothing was in flight.

    Stopping: `abort()` may be called at any time from the same loop. A letter whose
    final dot is not written yet is dropped with its connection and reported
    `DEFERRED`; one whose dot is written waits up to 20 seconds more for its reply,
    then is `UNKNOWN`. It works by moving the deadline of the attempt in hand, so the
    caller awaits `send()` as ever and need not cancel it. Cancelling `send()` itself
    hangs up at once and leaves the letter to the next holder of its lease.

    Args:
        server: The server.
        observer: Hears of each step as it ends, the one that failed included.

    Raises:
        ConfigurationError: The certificates to trust cannot be read.
    """

    def __init__(self, server: Server, observer: Observer | None = None) -> None:
        self._server = server
        self._tls = server.context()
        self._line: Line | None = None
        self._turn = asyncio.Lock()
        self._deadline: asyncio.Timeout | None = None
        self._progress = Progress()
        if observer is not None:
            self._progress.observer = lambda told: observer(
                replace(told, reply=server.shown(told.reply))
            )

    async def send(
        self,
        envelope_from: str,
        envelope_to: Sequence[str],
        raw: bytes,
        *,
        before_mail: Gate | None = None,
        before_dot: Callable[[], bool] = lambda: True,
    ) -> Attempt | None:
        """One attempt at handing a letter over; `None` if the gate said no.

        `before_dot` is asked immediately before the final dot is written: without
        the dot no server takes the letter, and the attempt is `DEFERRED`.

        The first recipient decides the outcome. A refused copy does not hold the
        letter up, nor one that costs the connection: the letter then goes to the first
        recipient alone. `Attempt.reply` mentions it. Whatever server and network do is
        in the result; only what the gate raises comes out.
        """
        async with self._turn:
            self._progress.phase = Phase.CONNECT
            if self._progress.stopped:
                return self._overdue()
            deadline = asyncio.timeout(self._server.longest_attempt.total_seconds())
            try:
                async with deadline:
                    self._deadline = deadline
                    return await self._attempt(
                        envelope_from, envelope_to, raw, before_mail, before_dot
                    )
            except FailedError as failed:
                self._hang_up()
                return self._failed(failed)
            except TimeoutError:
                self._hang_up()
                if not deadline.expired():
                    raise  # the gate's own
                return self._overdue()
            except BaseException:
                self._hang_up()
                raise
            finally:
                self._deadline = None

    def abort(self) -> None:
        """Stop: nothing new is begun, what is in hand ends soon; see the class."""
        self._progress.stopped = True
        deadline = self._deadline
        if deadline is None or deadline.expired():
            return
        now = asyncio.get_running_loop().time()
        if self._progress.phase is not Phase.DOT:
            deadline.reschedule(now)
            return
        planned = deadline.when()
        latest = now + GRACE.total_seconds()
        deadline.reschedule(latest if planned is None else min(latest, planned))

    async def close(self) -> None:
        """Say good-bye to the server, if it is still there."""
        async with self._turn:
            await self._part()

    async def _attempt(
        self,
        envelope_from: str,
        envelope_to: Sequence[str],
        raw: bytes,
        before_mail: Gate | None,
        before_dot: Callable[[], bool],
    ) -> Attempt | None:
        refused: list[str] = []
        try:
            return await self._hand_over(
                envelope_from, envelope_to, raw, before_mail, before_dot, refused
            )
        except FailedError as failed:
            lost = failed.code in {None, _CLOSING} and failed.phase is not Phase.DOT
            if not refused or not lost or self._progress.stopped:
                raise
        # A copy that costs the connection would cost the reader the letter, every
        # time: he gets it alone.
        self._hang_up()
        refused = refused[-1:] * (len(envelope_to) - 1)
        return await self._hand_over(
            envelope_from, envelope_to[:1], raw, before_mail, before_dot, refused
        )

    async def _hand_over(
        self,
        envelope_from: str,
        envelope_to: Sequence[str],
        raw: bytes,
        before_mail: Gate | None,
        before_dot: Callable[[], bool],
        refused: list[str],
    ) -> Attempt | None:
        """From `MAIL FROM` to the reply to the dot; `refused` notes lost copies."""
        line, progress = await self._ready(), self._progress
        if before_mail is not None and not await before_mail():
            return None
        await line.mail(envelope_from, progress)
        await line.rcpt(envelope_to[0], progress)
        for recipient in envelope_to[1:]:
            try:
                reply = await line.copy(recipient, progress)
            except FailedError as failed:
                refused.append(failed.reply)
                raise
            if reply is not None:
                refused.append(reply)
        response = await line.data(raw, progress, before_dot)
        reply = self._server.shown(response.message)
        if refused:
            first = self._server.shown(refused[0])
            reply = f"{reply[:80]} (copies refused: {len(refused)}, {first[:80]})"
        return Attempt(Outcome.SENT, Phase.DOT, response.code, reply)

    async def _ready(self) -> Line:
        """A connection that accepts `MAIL FROM`: the one we have, or a new one."""
        line = self._line
        if line is not None:
            fresh = line.idle < LONGEST_IDLE and line.letters < MOST_LETTERS
            if fresh and await line.still_there():
                return line
            await self._part()
        self._line = await Line.open(self._server, self._tls, self._progress)
        return self._line

    def _failed(self, failed: FailedError) -> Attempt:
        reply = self._server.shown(failed.reply)
        self._progress.end(failed.code, failed.reply)
        outcome = outcome_of(failed.phase, failed.code)
        if outcome is Outcome.REFUSED and is_disputed(failed.code, failed.reply):
            outcome = Outcome.DISPUTED
        return Attempt(outcome, failed.phase, failed.code, reply)

    def _overdue(self) -> Attempt:
        """What an attempt is that its deadline, or `abort()`, has ended."""
        phase = self._progress.phase
        if self._progress.stopped and phase is not Phase.DOT:
            return Attempt(Outcome.DEFERRED, phase, None, "stopped")
        outcome = outcome_of(phase, None)
        reply = "the attempt took too long"
        self._progress.end(None, reply)
        return Attempt(outcome, phase, None, reply)

    def _hang_up(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.hang_up()

    async def _part(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            await line.part()
