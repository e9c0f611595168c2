"""What `token-monitor init` leaves behind: a commented file and a fresh key."""

import base64
import os
import secrets
from importlib.resources import files
from pathlib import Path
from typing import Final

from monitor.errors import ConfigurationError

CONFIGURATION: Final = "monitor.yaml"
KEY: Final = "monitor.key"


def new_key() -> str:
    """A fresh key: 32 random bytes in url-safe base64."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode("ascii")


def starter() -> str:
    """The commented configuration the package brings along."""
    packed = files("monitor") / "_data" / "config" / CONFIGURATION
    if packed.is_file():
        return packed.read_text("utf-8")
    # An editable install holds no _data: the repository itself does.
    repository = Path(__file__).parents[2]
    return (repository / "config" / CONFIGURATION).read_text("utf-8")


def write_starter(directory: Path, key: str) -> tuple[Path, Path]:
    """Write `monitor.yaml` and `monitor.key`; never over something that is there.

    Raises:
        ConfigurationError: One of the two exists, or cannot be written; neither is
            written then.
    """
    configuration, key_file = directory / CONFIGURATION, directory / KEY
    for path in (configuration, key_file):
        if os.path.lexists(path):
            text = "exists already and is left as it is: name another folder"
            raise ConfigurationError(f"{path}: {text}")
    written: list[Path] = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for path, content, mode in (
            (key_file, f"{key}\n", 0o600),
            (configuration, starter(), 0o644),
        ):
            _create(path, content, mode)
            written.append(path)
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        reason = os.strerror(error.errno) if error.errno else "unknown"
        path = error.filename or directory
        raise ConfigurationError(f"{path}: cannot be written: {reason}") from None
    return configuration, key_file


def _create(path: Path, content: str, mode: int) -> None:
    """Write a new file to disk; a file, or a link, that is there is refused."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink(missing_ok=True)
        raise
