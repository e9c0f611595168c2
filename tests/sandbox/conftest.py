from datetime import UTC, datetime

import pytest

from monitor.sandbox.clock import VirtualClock


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(datetime(2026, 11, 24, 9, 0, tzinfo=UTC))
