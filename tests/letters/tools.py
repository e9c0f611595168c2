"""Readers and judges of mail that others wrote: where they are, how they are run."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

from monitor.core.tokens import Code
from monitor.notify.compose import Composed
from monitor.notify.samples import (
    sample_item,
    sample_letter,
    sample_letters,
    sample_now,
)
from tests.letters.strings import FIVE_HUNDRED
from tests.notify.rewrite import LANGUAGES, a_composer, composed_samples

HERE = Path(__file__).parent


@cache
def every_letter() -> Mapping[str, Composed]:
    """Every English sample, a quarter of other languages', 500 hostile letters."""
    letters = {f"en.{name}": each for name, each in composed_samples().items()}
    for language in LANGUAGES:
        for name, letter in list(sample_letters(language))[::4]:
            composed = a_composer().compose(letter, sample_now())
            letters[f"{language}.{name}"] = composed
    for number, text in enumerate(FIVE_HUNDRED):
        item = replace(sample_item(Code.REVOKED), name=text, app_name=text)
        letter = replace(sample_letter(item), name=text, product=text)
        letters[f"hostile.{number}"] = a_composer().compose(letter, sample_now())
    return letters


def command(name: str) -> str:
    """Where a command is; without it the test skips, or fails where it is required."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        _missing(name)
    return found


def perl(script: str, module: str, files: Iterable[Path]) -> list[str]:
    """The lines a script beside this file prints of the files, one process for all."""
    perl = command("perl")
    try:
        ran([perl, f"-M{module}", "-e1"])
    except AssertionError:
        _missing(module)
    return ran([perl, HERE / script, *files]).splitlines()


def ran(arguments: Sequence[str | Path], given: bytes = b"", **environment: str) -> str:
    """What a command writes, which must end well and complain of nothing."""
    env = {**os.environ, **environment}
    done = subprocess.run(
        arguments, input=given, capture_output=True, env=env, check=False
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")
    return done.stdout.decode()


def written(letters: Mapping[str, bytes], folder: Path) -> dict[str, Path]:
    """The letters as files, by their names."""
    paths = {name: folder / f"{number}.eml" for number, name in enumerate(letters, 1)}
    for name, raw in letters.items():
        paths[name].write_bytes(raw)
    return paths


def as_received(composed: Composed) -> bytes:
    """The letter with what a reader's server puts on top of it.

    The relay's address is a public one: one reserved for documentation is forged to a
    judge of spam.
    """
    date = re.search(rb"^Date: (.+)\r$", composed.raw, re.MULTILINE)
    assert date is not None
    return (
        b"Return-Path: <tokens@acme.example>\r\n"
        b"Received: from mail.acme.example (mail.acme.example [9.9.9.9])\r\n"
        b"\tby mx.bakery-north.example (Postfix) with ESMTPS id 4D2C91\r\n"
        b"\tfor <%b>; %b\r\n" % (composed.envelope_to[0].encode(), date[1])
    ) + composed.raw


def _missing(what: str) -> NoReturn:
    if os.environ.get("REQUIRE_MAIL_TOOLS") == "1":
        pytest.fail(f"{what} is not installed, and it is required here")
    pytest.skip(f"{what} is not installed")
