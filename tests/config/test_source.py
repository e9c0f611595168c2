"""A file that is no configuration gets one clear line, never a traceback."""

import os
from pathlib import Path

import pytest

from monitor.config import find, load
from monitor.errors import ConfigurationError


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "1:1: the file is empty"),
        (b"\n# only a comment\n", "1:1: the file is empty"),
        (b"---\n...\n", "1:1: the file is empty"),
        (b"- a", "1:1: expected keys and values"),
        (b"text", "1:1: expected keys and values"),
        (b"a: [b", "not valid YAML"),
        (b'a: "b', "not valid YAML"),
        (b"a:\n\tb: c", "2:1: not valid YAML"),
        (b"a: b: c", "1:5: not valid YAML"),
        (b"a: @b", "quote a value that begins with"),
        (b"a: {b: ${C}}", "a value with ${VAR} must be quoted"),
        (b"a: 1\n---\nb: 2", "2:1: a second document begins here"),
        (b"%YAML 3.0\n---\na: 1", "1:1: not valid YAML"),
        (b"a: b\nc: \xff", "2:4: not UTF-8 text"),
        (b"\xff\xfea\0", "1:1: not UTF-8 text"),
        (b"a: \0b", "1:4: the control character U+0000"),
        (b"a: 1\nb: \x1b[31m", "2:4: the control character U+001B"),
        (b"[" * 100_000, "1:1: expected keys and values"),
        (b"a: " + b"[" * 100_000, "nested deeper than 16 levels"),
        (b"a: " + b"{b: " * 50_000, "nested deeper than 16 levels"),
        (b"a: 1\n" + b"#" * (1 << 20), "1:1: larger than 1 MiB"),
    ],
)
def test_no_configuration_at_all(refused, content, told):
    faults = refused(content)
    assert len(faults) == 1
    assert faults[0].startswith("monitor.yaml:")
    assert told in faults[0]
    assert "\n" not in faults[0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("log: &a {level: info}\nweb: *a", "2:6: web: aliases ('*name')"),
        ("log: &a {level: *a}", "1:17: log.level: aliases"),
        ("log: {<<: {level: info}}", "merge keys ('<<')"),
        ("log: !!python/object:os.system {}", "1:6: log: tags ('!…')"),
        ("log: {level: !!str info}", "log.level: tags"),
        ("? [a, {b: c}]\n: d", "1:3: a key must be a plain word"),
    ],
)
def test_what_yaml_could_hide_is_refused(refused, text, told):
    faults = refused(text)
    assert len(faults) == 1
    assert told in faults[0]


def test_a_bomb_of_aliases_never_unfolds(refused):
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for last, name in zip("abcdefghi", "bcdefghij", strict=True):
        lines.append(f"{name}: &{name} [{', '.join([f'*{last}'] * 9)}]")
    faults = refused("\n".join(lines), complete=False)
    assert len(faults) < 200


def test_an_anchor_alone_does_no_harm(loaded):
    assert loaded("log: &log {level: debug}").log.level == "debug"


def test_a_mark_of_byte_order_is_skipped(folder, loaded):
    loaded()
    path = folder / "monitor.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load(path, {}).source == path


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("missing.yaml", "no such file — `token-monitor init` makes one"),
        (".", "is a directory, expected a YAML file"),
        ("monitor.key/x.yaml", "cannot be read: Not a directory"),
        ("a\0b", "cannot be read: not a usable file name"),
        ("x" * 300, "cannot be read: File name too long"),
    ],
)
def test_a_file_that_cannot_be_had(folder, name, told):
    with pytest.raises(ConfigurationError) as caught:
        load(folder / name, {})
    assert len(caught.value.faults) == 1
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read(folder, loaded):
    loaded()
    (folder / "monitor.yaml").chmod(0)
    with pytest.raises(ConfigurationError, match="cannot be read: Permission denied"):
        load(folder / "monitor.yaml", {})


def test_the_file_is_found_in_the_order_of_the_contract(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = tmp_path / "named.yaml"
    named.touch()
    environ = {"TOKEN_MONITOR_CONFIG": str(named)}
    with pytest.raises(ConfigurationError) as caught:
        find(None, {})
    told = str(caught.value)
    assert "/etc/token-monitor/monitor.yaml" in told
    assert "`token-monitor init` makes one" in told
    Path("monitor.yaml").touch()
    assert find(None, {}) == Path("monitor.yaml")
    assert find(None, {"TOKEN_MONITOR_CONFIG": ""}) == Path("monitor.yaml")
    assert find(None, environ) == named
    assert find(Path("given.yaml"), environ) == Path("given.yaml")
    named.unlink()
    with pytest.raises(ConfigurationError, match=r"\$TOKEN_MONITOR_CONFIG names"):
        find(None, environ)
