from collections.abc import Iterator

import pytest

from monitor.sandbox.mailbox import Mailbox
from tests.whole.tools import mailbox


@pytest.fixture
def post() -> Iterator[Mailbox]:
    """A mailbox that is up while the test runs."""
    with mailbox() as box:
        yield box
