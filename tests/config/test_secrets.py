"""Whatever is done to the file, it is loaded or refused in lines, without a secret."""

import random
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.config import load, new_key, show
from monitor.errors import ConfigurationError

SHIPPED = (Path(__file__).parents[2] / "config" / "monitor.yaml").read_text()
APP_SECRET = "5ecre7a0" * 4
PASSWORD = "pa55wor7-of-the-mai1-server"
DATABASE = "postgresql://u:da7aba5epa55wor7d@h/n"
KEY = new_key()
MARKED = (APP_SECRET, PASSWORD, "da7aba5epa55wor7d", KEY, "8a7c-9b3d-heart-0b1a")
SHAPE = re.compile(r"\S+monitor\.yaml:\d+:\d+: \S[^\n]*")


def inlined() -> str:
    """The shipped file with marked secrets written into it."""
    return (
        SHIPPED.replace("${ACME_APP_SECRET}", APP_SECRET)
        .replace("secret_file: monitor.key", f"secret: {KEY}")
        .replace("sqlite:///monitor.db\n", f"{DATABASE}\n", 1)
        .replace("username: null", "username: bob")
        .replace("password: null", f"password: {PASSWORD}")
        .replace(
            "heartbeat_url: null",
            "heartbeat_url: https://hc.example/8a7c-9b3d-heart-0b1a",
        )
    )


SIGNS = ":{}[]'\"#&*!|>%@`-,? \t\n$~0é\0"
VALUES = ("null", "[]", "{}", "-1", "no", "''", "[[1]]")


def lost(line: str, other: str, luck: random.Random) -> str:
    return ""


def joined(line: str, other: str, luck: random.Random) -> str:
    return f"{line}\n{other}"


def replaced(line: str, other: str, luck: random.Random) -> str:
    return other


def cut(line: str, other: str, luck: random.Random) -> str:
    return line[: luck.randrange(len(line))]


def mistyped(line: str, other: str, luck: random.Random) -> str:
    return line.replace(luck.choice(line), luck.choice(SIGNS), 1)


def one_sign_lost(line: str, other: str, luck: random.Random) -> str:
    return line.replace(luck.choice(line), "", 1)


def one_sign_added(line: str, other: str, luck: random.Random) -> str:
    sign = luck.choice(line)
    return line.replace(sign, sign + luck.choice(SIGNS), 1)


def indented(line: str, other: str, luck: random.Random) -> str:
    return " " * luck.randint(1, 4) + line


def run_together(line: str, other: str, luck: random.Random) -> str:
    return line.replace(": ", ":", 1)


def of_another_type(line: str, other: str, luck: random.Random) -> str:
    return line.partition(": ")[0] + ": " + luck.choice(VALUES)


def of_another_key(line: str, other: str, luck: random.Random) -> str:
    return line.partition(": ")[0] + ": " + other.partition(": ")[2]


def renamed(line: str, other: str, luck: random.Random) -> str:
    return re.sub(r"\w+:", "unknown:", line, count=1)


ACCIDENTS = (
    lost,
    joined,
    replaced,
    cut,
    mistyped,
    one_sign_lost,
    one_sign_added,
    indented,
    run_together,
    of_another_type,
    of_another_key,
    renamed,
)


def mutated(text: str, luck: random.Random) -> str:
    """The text after one or two accidents of an editor."""
    lines = text.splitlines()
    filled = [n for n, line in enumerate(lines) if line.split("#")[0].strip()]
    for at in luck.sample(filled, luck.randint(1, 2)):
        accident = luck.choice(ACCIDENTS)
        other = lines[luck.choice(filled)]
        lines[at] = accident(lines[at] or "#", other, luck)
    return "\n".join(lines)


def outcome(path: Path, environ: dict[str, str]) -> str:
    """What an operator sees: the settings as shown, or the faults."""
    try:
        found = load(path, environ)
    except ConfigurationError as error:
        faults = error.faults
    else:
        return repr(found) + show(found)
    assert faults
    assert all(SHAPE.fullmatch(fault) for fault in faults), faults
    return "\n".join(faults)


@pytest.mark.parametrize("written", ["in the file", "in the environment"])
def test_three_hundred_accidents_give_lines_and_no_secret(tmp_path, written):
    path = tmp_path / "monitor.yaml"
    (tmp_path / "monitor.key").write_text(KEY + "\n")
    text = inlined() if written == "in the file" else SHIPPED
    luck = random.Random(78)
    refused = 0
    for _ in range(300):
        path.write_text(mutated(text, luck))
        told = outcome(path, {"ACME_APP_SECRET": APP_SECRET})
        if not told.startswith(str(path)):
            continue  # accepted: a secret written as a name is a name
        refused += 1
        assert not any(secret in told for secret in MARKED), path.read_text()
    assert 150 < refused < 300  # the accidents are real, and not all of them fatal


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_lines(tmp_path, content):
    path = tmp_path / "monitor.yaml"
    path.write_bytes(content)
    assert outcome(path, {})


def test_a_good_file_shows_none_of_its_secrets(tmp_path):
    path = tmp_path / "monitor.yaml"
    path.write_text(inlined())
    told = outcome(path, {})
    assert "postgresql://u:********@h/n" in told
    assert not any(secret in told for secret in MARKED)


def test_secrets_that_are_wrong_are_not_shown(tmp_path):
    """Each secret is broken in its own way; every fault names the place alone."""
    path = tmp_path / "monitor.yaml"
    text = inlined().replace(APP_SECRET, f'"{APP_SECRET}\\n{APP_SECRET}"')
    text = text.replace(KEY, f"{KEY}x").replace("postgresql:", "mysql:")
    text = text.replace(PASSWORD, f'"{PASSWORD}\\u0007"').replace("https://hc", "ftp:")
    path.write_text(text)
    told = outcome(path, {})
    assert len(told.splitlines()) == 5
    assert not any(secret in told for secret in MARKED)


@pytest.mark.parametrize("place", ["key", "twice"])
def test_a_secret_in_the_place_of_a_key_is_not_shown(tmp_path, place):
    path = tmp_path / "monitor.yaml"
    key = f"{APP_SECRET}: x\n"
    path.write_text(key * (1 if place == "key" else 2))
    assert APP_SECRET not in outcome(path, {})
