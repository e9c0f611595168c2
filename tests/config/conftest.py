"""A folder with a key, and ways to load a text as its monitor.yaml."""

from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.config import Settings, load, new_key
from monitor.errors import ConfigurationError

SECTIONS: dict[str, str] = {
    "keys": "keys: [{id: k1, secret_file: monitor.key}]",
    "apps": 'apps: [{id: "1", name: Acme, secret: app-secret}]',
    "mail": "mail: {from: tokens@acme.example}",
    "operator": "operator: {email: [ops@acme.example]}",
}
"""What a configuration cannot do without; a text replaces what it names."""


def completed(text: str) -> str:
    """The text and, below it, the required sections it does not have."""
    missing = [
        section
        for name, section in SECTIONS.items()
        if not any(line.startswith(f"{name}:") for line in text.splitlines())
    ]
    return "\n".join([text, *missing, ""])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "monitor.key").write_text(new_key() + "\n")
    return tmp_path


@pytest.fixture
def loaded(folder: Path) -> Callable[..., Settings]:
    """Settings of a text, completed by the required sections it does not have."""

    def of(text: str = "", **environ: str) -> Settings:
        path = folder / "monitor.yaml"
        path.write_text(completed(text))
        return load(path, environ)

    return of


@pytest.fixture
def refused(folder: Path) -> Callable[..., list[str]]:
    """The faults of a text, completed likewise, without the folder."""

    def of(text: str | bytes, *, complete: bool = True, **environ: str) -> list[str]:
        path = folder / "monitor.yaml"
        if isinstance(text, bytes):
            path.write_bytes(text)
        else:
            path.write_text(completed(text) if complete else text)
        with pytest.raises(ConfigurationError) as caught:
            load(path, environ)
        assert caught.value.exit_code == 78
        return [fault.replace(f"{folder}/", "") for fault in caught.value.faults]

    return of
