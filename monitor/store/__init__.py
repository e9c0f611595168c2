"""Remember: tokens, history, incidents, outbox; one transaction for one decision."""

from monitor.store.database import Store, connect

__all__ = ["Store", "connect"]
