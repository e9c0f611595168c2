"""Find what looks at letters: Node, the packages of `package.json`, a Chromium."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

HERE: Final = Path(__file__).parent
BROWSERS: Final = (
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
)
TO_INSTALL: Final = "apt-get install nodejs npm chromium, then make letters-tools"


def browser() -> str | None:
    """The path of the first Chromium that is installed."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def missing() -> str | None:
    """What is not there, and how to have it; `None` if all is."""
    if shutil.which("node") is None:
        return f"Node is not installed: {TO_INSTALL}"
    if browser() is None:
        return f"Chromium is not installed: {TO_INSTALL}"
    if not (HERE / "node_modules" / ".made").exists():
        return "the packages of tests/look are not installed: make letters-tools"
    return None


def needed() -> None:
    """Skip where something is missing; fail where it was promised."""
    if why := missing():
        if os.environ.get("REQUIRE_LOOK_TOOLS") == "1":
            pytest.fail(f"{why}; it is required here")
        pytest.skip(why)


def run(script: str, folder: Path) -> Any:
    """What a script of this folder says about the pages of that one."""
    done = subprocess.run(
        ["node", HERE / script, browser() or "", folder],
        check=True,
        stdout=subprocess.PIPE,
        timeout=600,
    )
    return json.loads(done.stdout)
