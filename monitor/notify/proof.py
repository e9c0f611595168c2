"""Prove templates: all their letters are written once, before anybody needs them."""

import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from monitor.core.delivery import Letter
from monitor.notify.facts import told_findings
from monitor.notify.rendering import TemplateFaultError
from monitor.notify.samples import sample_letters, sample_now, sample_probes
from monitor.notify.strays import Folder
from monitor.notify.templates import LAYOUT, WORDS, Shelf, built_in, languages
from monitor.notify.words import locale_chain

_FINDING: Final = re.compile(r"findings/([a-z_]+)\.txt")


class Write(Protocol):
    """Writes a letter with the words of a shelf."""

    def __call__(
        self, shelf: Shelf, letter: Letter, now: datetime, *, dress: bool
    ) -> None:
        """Write it, in HTML too if it is to be dressed."""


def faults(root: Path | None, write: Write) -> list[str]:
    """Every fault of the operator's folder, each `file:line: what`.

    Ours have no fault, so only what his files change is written: the letters in which
    they stand, in the languages that see them. Without his folder it is all of ours.
    """
    found: dict[str, None] = {}

    def note(fault: TemplateFaultError) -> None:
        found[str(fault)] = None

    own = Shelf(built_in(), note=note)
    shelf, tags = own, languages(built_in())
    if root is not None:
        folder = Folder(root)
        for stray in folder.strays():
            note(stray)
        shelf = Shelf(root, built_in(), note=note)
        tags = sorted({*tags, *folder.languages})
    dressed = root is None or (root / LAYOUT).is_file()
    for tag in tags:
        book = shelf.book(tag)
        changed = _all_names() if root is None else _changed(root, folder.names, tag)
        if root is not None and book.words == own.book(tag).words:
            changed.discard(WORDS)
        for name in sorted(changed - {WORDS}):
            try:
                book.compile_all(name)
            except TemplateFaultError as fault:
                note(fault)
        letters = [(letter, False) for letter in _showing(changed, tag)]
        if dressed:
            letters += [(letter, True) for _, letter in sample_letters(tag)]
        for letter, dress in letters:
            try:
                write(shelf, letter, sample_now(), dress=dress)
            except TemplateFaultError as fault:
                note(fault)
    return list(found)


def _all_names() -> set[str]:
    return set(Folder(built_in()).names)


def _changed(root: Path, names: Collection[str], tag: str) -> set[str]:
    """The files that a reader of this language gets from that folder."""

    def is_his(name: str) -> bool:
        for each in locale_chain(tag):
            if (root / each / name).is_file():
                return True
            # Phrases are looked for one by one, in every file there is.
            if name != WORDS and (built_in() / each / name).is_file():
                return False
        return False

    return {name for name in names if is_his(name)}


def _showing(changed: set[str], tag: str) -> Iterator[Letter]:
    """The letters that may show something of these files."""
    codes = {found[1] for name in changed if (found := _FINDING.fullmatch(name))}
    everywhere = len(codes) < len(changed)
    for letter in sample_probes():
        told = (told_findings(item, letter.role) for item in letter.items)
        if everywhere or any(f.code in codes for each in told for f in each):
            yield replace(letter, locale=tag)
