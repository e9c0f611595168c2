"""Prove templates: all their letters are written once, before anybody needs them."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from monitor.core.delivery import Letter
from monitor.notify.facts import told_findings
from monitor.notify.rendering import TemplateFaultError
from monitor.notify.samples import sample_letters, sample_now, sample_probes
from monitor.notify.strays import Folder
from monitor.notify.templates import WORDS, Shelf, built_in, languages
from monitor.notify.words import Vocabulary, locale_chain

_FINDING: Final = re.compile(r"findings/([a-z_]+)\.txt")


_EVERY_BLOCK: Final = ("expiring.", "many.", "report.")
"""Letters that together have every kind of block a layout dresses."""


_ELSEWHERE: Final = ("findings/", "pages/")
"""Files that stand in the letters of one code, or in none."""


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

    folder = Folder(root or built_in())
    roots = (built_in(),) if root is None else (root, built_in())
    shelf, own = Shelf(*roots, note=note), Shelf(built_in())
    if root is not None:
        for stray in folder.strays():
            note(stray)
    for tag in sorted({*languages(built_in()), *folder.languages}):
        changed = _changed(folder, tag)
        if root is not None and _says_all(shelf.book(tag).words, own.book(tag).words):
            changed.discard(WORDS)
        for work in _work(shelf, tag, changed, write, layout=folder.has_layout):
            try:
                work()
            except TemplateFaultError as fault:
                note(fault)
    return list(found)


def _work(
    shelf: Shelf, tag: str, changed: set[str], write: Write, *, layout: bool
) -> Iterator[Callable[[], None]]:
    """What finds the faults of these files in one language."""
    book, now = shelf.book(tag), sample_now()
    for name in sorted(changed - {WORDS}):
        yield partial(book.compile_all, name)
    for letter in _showing(changed, tag):
        yield partial(write, shelf, letter, now, dress=False)
    if layout:
        for name, letter in sample_letters(tag):
            if tag == "en" or name.startswith(_EVERY_BLOCK):
                yield partial(write, shelf, letter, now, dress=True)


def _says_all(words: Vocabulary, ours: Vocabulary) -> bool:
    """Whether every phrase of ours is said as ever; others are his own templates'."""
    return all(
        getattr(words, part).get(key) == phrase
        for part in ("dates", "names", "counted", "scopes")
        for key, phrase in getattr(ours, part).items()
    )


def _changed(folder: Folder, tag: str) -> set[str]:
    """The files that a reader of this language gets from that folder."""
    root = folder.root

    def is_his(name: str) -> bool:
        for each in locale_chain(tag):
            if (root / each / name).is_file():
                return True
            # Phrases are looked for one by one, in every file there is.
            if name != WORDS and (built_in() / each / name).is_file():
                return False
        return False

    return {name for name in folder.names if is_his(name)}


def _showing(changed: set[str], tag: str) -> Iterator[Letter]:
    """The letters that may show something of these files."""
    codes = {found[1] for name in changed if (found := _FINDING.fullmatch(name))}
    everywhere = any(not name.startswith(_ELSEWHERE) for name in changed)
    for letter in sample_probes():
        told = (told_findings(item, letter.role) for item in letter.items)
        if everywhere or any(f.code in codes for each in told for f in each):
            yield replace(letter, locale=tag)
