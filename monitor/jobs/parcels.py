"""Parcels: a sealed letter as its words are written from."""

from collections.abc import Awaitable
from dataclasses import replace
from datetime import datetime

import structlog

from monitor.core.bounces import envelope_sender
from monitor.core.delivery import Letter, Role
from monitor.core.incident import Reason
from monitor.core.mute import mute_url
from monitor.errors import ConfigurationError
from monitor.jobs.charter import Charter
from monitor.store import Store
from monitor.store.waiters import Sealed, copies

log = structlog.stdlib.get_logger("monitor.courier")


async def letter_with_links(store: Store, charter: Charter, sealed: Sealed) -> Letter:
    """The letter, with the link by which its reader stops reminders if he may."""
    letter = letter_of(sealed, charter.locale, charter.timezone)
    base = charter.public_url
    if base is None or letter.role is Role.OPERATOR:
        return letter
    key = await _if_opened(store.mutes.key())
    if key is None:
        return letter
    return replace(letter, mute_url=mute_url(base, sealed.id, key))


async def sender_of(store: Store, charter: Charter, sealed: Sealed) -> str | None:
    """Where this letter comes back to; `None`: to the From address."""
    address = charter.bounce_address
    if address is None:
        return None
    key = await _if_opened(store.bounces.key())
    return None if key is None else envelope_sender(address, sealed.id, key)


async def _if_opened(key: Awaitable[bytes]) -> bytes | None:
    """A key of our own; `None`: no configured key opens it, and no letter waits for it.

    Letters go without what it signs: that somebody hears matters more.
    """
    try:
        return await key
    except ConfigurationError as error:
        log.error("vault.closed", error=str(error))
        return None


def letter_of(
    sealed: Sealed,
    locale: str = "en",
    timezone: str = "UTC",
) -> Letter:
    """Everything its reader is told, worst first, good news last.

    Args:
        sealed: The letter as it is stored.
        locale: The language of a reader for whom none is known.
        timezone: The zone of the same reader.
    """
    first = sealed.waiters[0]
    items = sorted(
        (waiter.item for waiter in sealed.waiters),
        key=lambda item: (
            item.reason is Reason.RESOLVED,
            not item.dead,
            item.deadline or datetime.max.replace(tzinfo=item.opened_at.tzinfo),
            item.name or item.subject,
        ),
    )
    return Letter(
        id=sealed.id,
        message_id=sealed.message_id,
        role=first.role,
        product=first.product,
        to=first.recipient,
        items=tuple(items),
        name=first.name,
        cc=copies(sealed.waiters),
        locale=first.locale or locale,
        timezone=first.timezone or timezone,
        references=sealed.references,
    )


def masked(address: str) -> str:
    """An address one can recognise and nobody can write to."""
    local, _, domain = address.partition("@")
    return f"{local[:1]}…@{domain}"
