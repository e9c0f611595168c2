"""`--help` answers at once, whatever the machine."""

import statistics
import subprocess
import sys
import time

import click
import pytest

from monitor.cli import main
from tests.whole.tools import environment, monitor

HEAVY = ("sqlalchemy", "pydantic", "httpx", "rich", "jinja2", "alembic", "starlette")
SLOWEST = 0.4
"""A generous bound for a loaded machine; alone it takes a tenth of a second."""


def every_command(
    group: click.Group = main, path: tuple[str, ...] = ()
) -> list[tuple[str, ...]]:
    found = [path]
    for name, command in group.commands.items():
        inner = (*path, name)
        if isinstance(command, click.Group):
            found += every_command(command, inner)
        else:
            found.append(inner)
    return found


def took(*command: str) -> float:
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, *command],
        env=environment(),
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=30,
    )
    return time.perf_counter() - began


def test_help_loads_no_heavy_library() -> None:
    code = (
        "import sys\n"
        "from monitor.cli import main\n"
        f"commands = {every_command()!r}\n"
        "for path in commands:\n"
        "    main([*path, '--help'], standalone_mode=False)\n"
        f"heavy = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Usage:") == len(every_command())


@pytest.mark.parametrize("path", [(), ("check",), ("tokens", "import")])
def test_help_answers_at_once(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    bare = statistics.median(took("-c", "pass") for _ in range(5))
    median = statistics.median(took("-m", "monitor", *path, "--help") for _ in range(5))
    assert median < SLOWEST, f"{median:.3f} s, Python alone {bare:.3f} s"
    with capsys.disabled():
        words = " ".join(("", *path, "--help"))
        sys.stdout.write(f"\n{words}: {median:.3f} s, Python alone {bare:.3f} s ")


@pytest.mark.parametrize("path", every_command(), ids=" ".join)
def test_every_command_says_what_it_does(path: tuple[str, ...]) -> None:
    command: click.Command = main
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    assert command.help
    first = command.help.strip().splitlines()[0]
    assert len(first) <= 88
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            names = " ".join(parameter.opts)
            assert not any(
                word in names for word in ("secret", "password", "--token")
            ), "no command takes a secret as an argument"


def test_the_root_lists_the_exit_codes_and_where_to_start(tmp_path: object) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "monitor", "--help"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    for word in ("token-monitor demo", "65 input data refused", "78 configuration"):
        assert word in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("no-such",), "No such command 'no-such'"),
        (("tokens", "list", "--severity", "bad"), "'bad' is not one of"),
        (("tokens", "show"), "Missing argument 'ID'"),
        (("tokens", "add"), "Missing option '--id'"),
        (("check", "a", "--due"), "either name tokens or ask for what is due"),
        (("silence", "a", "--until", "3d"), "Missing option '--reason'"),
        (("silence", "a", "--until", "soon", "--reason", "x"), "expected a date"),
        (("silence", "a", "--until", "2020-01-01", "--reason", "x"), "in the past"),
        (("tokens", "list", "--code", "sad"), "--code sad: none of"),
        (("sandbox", "--port", "x"), "'x' is not a valid integer"),
    ],
)
def test_a_mistake_in_use_ends_2_and_says_which(
    words: tuple[str, ...], expected: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    done = monitor(tmp_path_factory.getbasetemp(), *words)
    assert done.returncode == 2
    assert expected in done.stderr
    assert done.stdout == ""
