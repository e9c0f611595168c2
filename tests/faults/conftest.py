"""A mailbox, and either database, for processes that are going to die."""

from collections.abc import Callable, Iterator
from typing import Final

import pytest

from monitor.sandbox.mailbox import Mailbox
from tests.faults.strace import needed
from tests.whole.tools import mailbox

_FIGURES: Final = pytest.StashKey[list[str]]()


@pytest.fixture
def post() -> Iterator[Mailbox]:
    """A mailbox that is up while the test runs."""
    with mailbox() as box:
        yield box


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    """A database's URL, as it stands in a configuration."""
    if request.param == "postgres":
        url: str = request.getfixturevalue("postgres_url")
        return url
    return "sqlite:///monitor.db"


@pytest.fixture
def strace(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whoever asks for it can look at system calls, or is skipped."""
    needed(tmp_path_factory.getbasetemp())


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Keep a line for the end of the run, whether the test passes or not."""
    figures = request.config.stash.setdefault(_FIGURES, [])
    return figures.append


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say what was seen: a proof that only says it passed proves little."""
    if figures := config.stash.get(_FIGURES, []):
        terminalreporter.section("figures of the faults")
        for line in figures:
            terminalreporter.write_line(line)
