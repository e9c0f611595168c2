"""Values from the environment and from files of their own."""

import pytest

from monitor.config import new_key, schema
from monitor.config.twins import SECRETS


@pytest.mark.parametrize(
    ("written", "environ", "meant"),
    [
        ("${A}", {"A": "x"}, "x"),
        ("a-${A}-${B}", {"A": "x", "B": "y"}, "a-x-y"),
        ("${A:-fallback}", {}, "fallback"),
        ("${A:-fallback}", {"A": ""}, "fallback"),
        ("${A:-fallback}", {"A": "x"}, "x"),
        ("${A}", {"A": "${B}$$"}, "${B}$$"),  # never read again
        ("$$", {}, "$"),
        ("$${A}", {"A": "x"}, "${A}"),
        ("pa$word$5", {}, "pa$word$5"),
        ("'${A}'", {"A": "it's: #x"}, "it's: #x"),
        ("${A}", {"A": "0123"}, "0123"),
        ("${A}", {"A": "null"}, "null"),
    ],
)
def test_placeholders(loaded, written, environ, meant):
    text = f"mail: \n  from: a@b.example\n  username: bob\n  password: {written}"
    assert loaded(text, **environ).mail.password.get_secret_value() == meant


def test_a_placeholder_becomes_what_the_key_expects(loaded):
    settings = loaded(
        "graph:\n  workers: ${W}\n  batch_size: '${B:-25}'\n  timeout: ${T}\n"
        "policies:\n  - extend: ${E}\n"
        "hold:\n  sudden:\n    share: ${S}\n",
        W="3",
        T="5s",
        E="true",
        S="0.5",
    )
    assert (settings.graph.workers, settings.graph.batch_size) == (3, 25)
    assert settings.rules[0].extend is True
    assert settings.hold.sudden.share == 0.5


def test_an_optional_value_may_be_left_to_the_environment(loaded):
    text = "mail:\n  from: a@b.example\n  username: ${U:-}\n  password: ${P:-}\n"
    assert loaded(text).mail.username is None
    assert loaded(text, U="bob", P="x").mail.username == "bob"


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("${NOPE}", "the environment variable NOPE is not set"),
        ("${1X}", "'${' begins no placeholder"),
        ("${X", "'${' begins no placeholder"),
        ("${BAD}", "the environment variable BAD is not UTF-8"),
        ("${BELL}", "not one of debug"),
    ],
)
def test_a_placeholder_that_cannot_be_filled(refused, written, told):
    faults = refused(f"log:\n  level: {written}", BAD="\udcff", BELL="\a")
    assert len(faults) == 1
    assert faults[0].startswith("monitor.yaml:2:10: log.level:")
    assert told in faults[0]


def test_a_fault_shows_what_is_written_never_what_it_stands_for(refused):
    faults = refused("graph:\n  timeout: ${T}", T="hunter2")
    assert "'${T}' is not a duration" in faults[0]
    assert "hunter2" not in faults[0]


def test_every_secret_may_stand_in_a_file(loaded, folder):
    for name, content in {
        "app": "from-file\n",
        "smtp": "two \n\n",
        "ping": "https://hc.example/1\r\n",
        "db": "postgresql://u:p@h/n",
    }.items():
        (folder / name).write_text(content, newline="")
    (folder / "smtp").write_text("trailing space \n")
    settings = loaded(
        "database_file: db\n"
        'apps: [{id: 1, name: A, secret_file: "${WHERE}/app"}]\n'
        "mail: {from: a@b.example, username: u, password_file: smtp}\n"
        "operator: {email: [a@b.example], heartbeat_url_file: ping}\n",
        WHERE=str(folder),
    )
    assert settings.database.get_secret_value() == "postgresql://u:p@h/n"
    assert settings.apps[0].secret.get_secret_value() == "from-file"
    assert settings.mail.password.get_secret_value() == "trailing space "
    assert settings.operator.heartbeat_url.get_secret_value() == "https://hc.example/1"


def test_the_list_of_secrets_is_complete():
    twins = str(schema()).count("_file': {'type': 'string', 'description': 'A file")
    assert twins == len(SECRETS) == 5


def test_a_key_is_thirty_two_bytes(loaded, folder):
    key = loaded().keys[0]
    assert len(key.secret.get_secret_value()) == 32
    assert str(key.secret.get_secret_value()) not in repr(key)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "No such file or directory"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"too-short\n", "`token-monitor keys new` prints a fresh key"),
        (new_key().encode()[:-2], "is not a key"),
        (new_key().encode() + b"\n\n", "is not a key"),
        (b"x" * 70_000, "larger than 64 KiB"),
    ],
)
def test_a_key_file_that_cannot_be_used(refused, folder, content, told):
    (folder / "other.key").unlink(missing_ok=True)
    if content is not None:
        (folder / "other.key").write_bytes(content)
    faults = refused("keys: [{id: k1, secret_file: other.key}]")
    assert len(faults) == 1
    assert faults[0].startswith("monitor.yaml:1:30: keys[0].secret_file: ")
    assert told in faults[0]
    if content and content.strip().isascii() and content.strip():
        assert content.decode().strip() not in faults[0]


def test_a_secret_and_its_file_are_one_too_many(refused):
    (fault,) = refused("apps: [{id: 1, name: A, secret: s, secret_file: monitor.key}]")
    assert fault.startswith("monitor.yaml:1:49: apps[0].secret_file: ")
    assert "'secret' and 'secret_file' are both given: keep one" in fault


@pytest.mark.parametrize(
    ("twin", "told"),
    [
        ("null", "apps[0].secret: is missing"),
        ("[x]", "apps[0].secret_file: expected the path of a file"),
        ('"a\\nb"', "apps[0].secret_file: expected the path of a file"),
        ("'${NOPE}'", "apps[0].secret_file: the environment variable NOPE"),
        ("'${HERE}/x'", "apps[0].secret_file: the file '${HERE}/x' cannot be read"),
    ],
)
def test_a_file_that_is_not_named_well(refused, twin, told):
    (fault,) = refused(
        f"apps: [{{id: 1, name: A, secret_file: {twin}}}]", HERE="/hidden"
    )
    assert told in fault
    assert "/hidden" not in fault


def test_a_list_with_a_hole_is_told_once(refused):
    hours = "{days: [mon, '${NOPE}'], from: 09:00, to: 10:00}"
    assert len(refused(f"mail: {{from: a@b.example, hours: {hours}}}")) == 1


def test_a_folder_is_no_secret(refused, folder):
    (folder / "sub").mkdir()
    faults = refused("apps: [{id: 1, name: A, secret_file: sub}]")
    assert "Is a directory" in faults[0]
    assert len(faults) == 1


def test_a_secret_written_where_its_file_belongs_is_not_shown(refused):
    secret = "8d1f0c5e7a2b4d6f8d1f0c5e7a2b4d6f"
    faults = refused(f"apps: [{{id: 1, name: A, secret_file: {secret}}}]")
    assert len(faults) == 1
    assert secret not in faults[0]
