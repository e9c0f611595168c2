"""`init` leaves a file and a key that work, and never touches what is there."""

import stat

import pytest

from monitor.config import load, new_key, write_starter
from monitor.errors import ConfigurationError


def test_the_starter_loads_once_the_app_secret_is_set(tmp_path):
    key = new_key()
    configuration, key_file = write_starter(tmp_path / "new" / "place", key)
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert key_file.read_text() == f"{key}\n"
    assert configuration.read_text().startswith("# yaml-language-server: $schema=")
    settings = load(configuration, {"ACME_APP_SECRET": "s"})
    assert settings.keys[0].id == "k1"


def test_without_the_app_secret_the_starter_says_what_to_do(tmp_path):
    configuration, _ = write_starter(tmp_path, new_key())
    with pytest.raises(ConfigurationError) as caught:
        load(configuration, {})
    assert len(caught.value.faults) == 1
    assert "ACME_APP_SECRET is not set" in str(caught.value)


@pytest.mark.parametrize("name", ["monitor.yaml", "monitor.key"])
@pytest.mark.parametrize("kind", ["a file", "a link to nowhere", "a folder"])
def test_what_is_there_stays_and_nothing_is_written(tmp_path, name, kind):
    there = tmp_path / name
    if kind == "a file":
        there.write_text("mine")
    elif kind == "a folder":
        there.mkdir()
    else:
        there.symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match="exists already") as caught:
        write_starter(tmp_path, new_key())
    assert name in str(caught.value)
    assert list(tmp_path.iterdir()) == [there]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be written: Not a directory"):
        write_starter(tmp_path / "file" / "sub", new_key())


def test_a_key_is_not_left_behind_alone(tmp_path, monkeypatch):
    def fails() -> str:
        raise FileNotFoundError(2, "gone", "monitor.yaml")

    monkeypatch.setattr("monitor.config.starter.starter", fails)
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_starter(tmp_path, new_key())
    assert list(tmp_path.iterdir()) == []


def test_keys_are_fresh_and_of_the_documented_form():
    assert len({new_key() for _ in range(50)}) == 50
    assert len(new_key()) == 44
