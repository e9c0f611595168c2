"""Delivered: what a pass over the outbox came to."""

from dataclasses import dataclass


@dataclass(slots=True)
class Delivered:
    """What a pass over the outbox came to."""

    sealed: int = 0
    sent: int = 0
    deferred: int = 0
    refused: int = 0
    dropped: int = 0
    channel: str | None = None
    """What the way to the mail server failed with."""
    ailing: bool = False
    """Whether one line failed: the others take no more letters."""

    @property
    def troubled(self) -> bool:
        """Whether an attempt was deferred or refused."""
        return bool(self.deferred or self.refused or self.channel is not None)
