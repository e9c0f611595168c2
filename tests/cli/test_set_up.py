"""init, config, keys, db, demo: the first five minutes."""

import json
import stat
from pathlib import Path

from tests.whole.tools import Place, monitor


def test_init_writes_what_config_check_accepts_and_never_overwrites(
    tmp_path: Path,
) -> None:
    done = monitor(tmp_path, "init", "here")
    assert done.returncode == 0, done.stderr
    made = sorted(path.name for path in (tmp_path / "here").iterdir())
    assert made == ["monitor.key", "monitor.yaml"]
    key = tmp_path / "here" / "monitor.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert key.read_text().strip() not in done.stdout + done.stderr
    before = key.read_bytes()
    again = monitor(tmp_path, "init", "here")
    assert again.returncode != 0
    assert again.stderr.count("\n") == 1
    assert key.read_bytes() == before


def test_config_commands_say_what_is_in_force(fresh: Place) -> None:
    checked = fresh.run("config", "check").stdout
    assert "fine" in checked
    shown = fresh.run("config", "show").stdout
    assert "rehearsed-app-secret" not in shown
    assert fresh.key.read_text().strip() not in shown
    assert "check_every: 6h" in shown
    schema = json.loads(fresh.run("config", "schema").stdout)
    assert schema["type"] == "object"
    assert not fresh.database.exists()


def test_each_new_key_is_another(tmp_path: Path) -> None:
    first, second = (monitor(tmp_path, "keys", "new") for _ in range(2))
    assert first.stdout != second.stdout
    assert first.stdout.count("\n") == 1


def test_db_check_and_upgrade_on_a_fresh_file(fresh: Place) -> None:
    assert "none → " in fresh.run("db", "upgrade").stdout
    assert "nothing to do" in fresh.run("db", "upgrade").stdout
    assert "fine" in fresh.run("db", "check").stdout
    assert stat.S_IMODE(fresh.database.stat().st_mode) == 0o600


def test_the_demo_goes_the_whole_way_twice_and_spares_foreign_folders(
    tmp_path: Path,
) -> None:
    said = ""
    for _ in range(2):
        done = monitor(tmp_path, "demo", "--out", "out", timeout=60)
        said = done.stdout
        assert done.returncode == 0, done.stderr
        assert "letters sent" in done.stdout
        assert "nobody hears the same twice" in done.stdout
        for word in ("bakery-south", "critical", "password_changed", "severity"):
            assert word in done.stdout
        paths = [
            Path(line.strip())
            for line in done.stdout.splitlines()
            if line.startswith("  out/letters/")
        ]
        assert len(paths) > 3
        assert all((tmp_path / path).is_file() for path in paths)
        assert (tmp_path / "out" / "monitor.db").is_file()
    command = said.rpartition("look closer: token-monitor ")[2].split()
    told = monitor(tmp_path, *command)
    assert told.returncode == 0, told.stderr

    foreign = tmp_path / "home"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("dear")
    done = monitor(tmp_path, "demo", "--out", "home")
    assert done.returncode == 2
    assert "not empty" in done.stderr
    assert (foreign / "thesis.txt").read_text() == "dear"
