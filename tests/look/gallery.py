"""Photograph the letters, for people to look at.

Run as `python -m tests.look.gallery`, or by `make letters-gallery`.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path
from typing import Final

from tests.look.tools import missing, run
from tests.notify.rewrite import LANGUAGES, composed_samples

FOLDER: Final = Path("letters-gallery")
SHOWN: Final = ("en", "de", "ja", "ar")
"""The languages by default: short words, long ones, no spaces, right to left."""
CHOSEN: Final = (
    "expiring.opened.page",
    "expiring.opened.bare",
    "expired.opened.system_user",
    "password_changed.opened.page",
    "password_changed.reminder.page",
    "checkpointed.opened.user",
    "scopes_missing.escalated.page",
    "targets_missing.opened.page",
    "revoked.resolved.page",
    "many.opened.page",
    "held.opened.page",
    "report.full",
)
_FONTS: Final = {"ja": "fonts-noto-cjk", "ar": "fonts-noto-core"}


def _without_fonts(languages: Iterable[str]) -> Iterator[str]:
    """What to install so that the letters of a language are no empty boxes."""
    if shutil.which("fc-list"):
        for language in languages:
            found = subprocess.run(
                ["fc-list", f":lang={language}"], capture_output=True, check=False
            )
            if language in _FONTS and not found.stdout:
                yield f"no font for {language}: apt-get install {_FONTS[language]}"


def _figure(language: str, name: str, subject: str) -> str:
    shots = "".join(
        f'<td><img loading="lazy" width="{width // 2}" alt="{width} pixels, {scheme}"'
        f' src="{language}/{name}.{width}.{scheme}.png"></td>'
        for width in (360, 800)
        for scheme in ("light", "dark")
    )
    link = f'<a href="{language}/{name}.html">{name}</a>'
    return f"<h3>{link}: {escape(subject)}</h3><table><tr>{shots}</tr></table>"


def main(arguments: list[str] | None = None) -> int:
    """Write the gallery anew and say where it is."""
    parser = argparse.ArgumentParser(prog="python -m tests.look.gallery")
    parser.add_argument("--all", action="store_true", help="every letter, not a dozen")
    parser.add_argument(
        "--languages", nargs="+", choices=LANGUAGES, help=f"instead of {SHOWN}"
    )
    asked = parser.parse_args(arguments)
    if why := missing():
        sys.stderr.write(f"{why}\n")
        return 1
    languages = asked.languages or [one for one in SHOWN if one in LANGUAGES]
    for advice in _without_fonts(languages):
        sys.stderr.write(f"{advice}\n")
    shutil.rmtree(FOLDER, ignore_errors=True)
    parts = ['<!doctype html><meta charset="utf-8"><title>Letters</title>']
    parts.append("<style>td { vertical-align: top; padding: 4px }</style>")
    for language in languages:
        folder = FOLDER / language
        folder.mkdir(parents=True)
        samples = composed_samples(language)
        parts.append(f"<h2>{language}</h2>")
        for name in samples if asked.all else CHOSEN:
            page = folder / f"{name}.html"
            page.write_text(samples[name].html, encoding="utf-8")
            parts.append(_figure(language, name, samples[name].subject))
        sys.stdout.write(f"{language}: {run('shoot.mjs', folder)} pictures\n")
    (FOLDER / "index.html").write_text("\n".join(parts), encoding="utf-8")
    sys.stdout.write(f"look at {FOLDER / 'index.html'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
