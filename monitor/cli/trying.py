"""One real letter to the configured server, and what it answers step by step."""

import secrets
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import click

from monitor.app import clock, composer_of, server_of
from monitor.cli.choosing import EVERY_LANGUAGE, moved, samples, tags_of
from monitor.cli.shared import default_style, instant, load_settings, print_json
from monitor.config import Settings
from monitor.core.attempt import Attempt, Outcome
from monitor.core.bounces import envelope_sender
from monitor.core.delivery import Letter
from monitor.notify.advice import advice
from monitor.notify.compose import Composer
from monitor.notify.email import Mailer
from monitor.notify.headers import UnwritableError
from monitor.notify.headers import address as written
from monitor.notify.samples import sample_now, trial_letter
from monitor.notify.server import Server
from monitor.notify.trace import Exchange

_COULD_NOT: Final = 3


async def attempt(
    ctx: click.Context, to: str, code: str | None, locale: str | None, style: str | None
) -> int:
    """Send it; returns the exit code."""
    try:
        to = written(to)
    except UnwritableError as error:
        raise click.BadParameter(str(error), param_hint="ADDRESS") from None
    if locale == EVERY_LANGUAGE:
        raise click.UsageError("--locale all: one letter is in one language")
    settings = load_settings(ctx)
    composer, server = composer_of(settings), server_of(settings)
    (tag,) = tags_of([locale or settings.mail.locale], settings.mail.templates)
    now = clock()
    letter = _letter(settings, composer, to, code, tag, now)
    composed = composer.compose(letter, now)
    sender = _envelope_from(settings, composer, letter.id)
    told: list[Exchange] = []

    def hear(exchange: Exchange) -> None:
        told.append(exchange)
        if default_style(style) == "table":
            _say(exchange)

    mailer = Mailer(server, hear)
    try:
        made = await mailer.send(sender, (to,), composed.raw)
    finally:
        await mailer.close()
    if made is None:
        raise AssertionError("no gate was given")
    taken = made.outcome is Outcome.SENT
    mend = None if taken else advice(told[-1], server)
    if default_style(style) == "json":
        about = {"subject": composed.subject, "message_id": letter.message_id}
        print_json(_whole(made, mend, sender, server, about, told))
    elif taken:
        click.echo(f"taken: {made.reply}; now look into the mailbox, and into its spam")
    if mend is not None:
        step, reply = told[-1].step, f"{made.code or ''} {made.reply}".strip()
        click.echo(f"not taken, at {step}: {reply}\nto mend: {mend}", err=True)
    return 0 if taken else _COULD_NOT


def _letter(
    settings: Settings,
    composer: Composer,
    to: str,
    code: str | None,
    tag: str,
    now: datetime,
) -> Letter:
    domain = composer.envelope_from.rpartition("@")[2]
    identity = secrets.token_hex(6)
    letter = trial_letter(to, tag)
    if code is not None:
        _, sample = next(samples([code], tag, settings))
        letter = replace(moved(sample, now - sample_now()), to=to)
    message_id = f"<{identity}.{secrets.token_hex(8)}@{domain}>"
    return replace(letter, id=identity, message_id=message_id, references=())


def _envelope_from(settings: Settings, composer: Composer, identity: str) -> str:
    """By the rule of every letter, so that the server judges the same.

    The key is one of a moment: a bounce of a test proves nothing to anybody.
    """
    address = settings.mail.bounce_address
    if address is None:
        return composer.envelope_from
    return envelope_sender(address, identity, secrets.token_bytes(32))


def _say(told: Exchange) -> None:
    code = told.code if told.code is not None else "none"
    took = f"{told.took.total_seconds() * 1000:.0f} ms"
    click.echo(f"{told.step:<9} {code!s:<4} {took:>8}  {told.reply}")
    for line in _particulars(told):
        click.echo(f"{'':<25}{line}")


def _particulars(told: Exchange) -> list[str]:
    lines = [f"connected to {told.peer}"] if told.peer else []
    if told.offers:
        lines.append(f"offers {', '.join(told.offers)}")
    if told.privacy is not None:
        private = told.privacy
        lines.append(f"{private.version}, {private.cipher}")
        if private.expires_at is not None:
            until = private.expires_at.date()
            lines.append(f"certificate of {private.subject}, good until {until}")
    return lines


def _whole(
    made: Attempt,
    mend: str | None,
    sender: str,
    server: Server,
    about: dict[str, str],
    told: list[Exchange],
) -> dict[str, Any]:
    """What is told, as one object."""
    return {
        "accepted": made.outcome is Outcome.SENT,
        "outcome": made.outcome,
        "phase": made.phase,
        "code": made.code,
        "reply": made.reply,
        "mend": mend,
        "host": server.host,
        "port": server.port,
        "tls": server.tls,
        "envelope_from": sender,
        **about,
        "steps": [_step(exchange) for exchange in told],
    }


def _step(told: Exchange) -> dict[str, Any]:
    private = told.privacy
    return {
        "step": told.step,
        "code": told.code,
        "reply": told.reply,
        "seconds": round(told.took.total_seconds(), 6),
        "peer": told.peer or None,
        "offers": list(told.offers),
        "tls": None
        if private is None
        else {
            "version": private.version,
            "cipher": private.cipher,
            "subject": private.subject,
            "expires_at": instant(private.expires_at),
        },
    }
