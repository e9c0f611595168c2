"""Strays: what lies in the operator's folder and no letter would ever read.

A misspelt name would be passed over in silence, and our words go out for his.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

from monitor.errors import did_you_mean
from monitor.notify.rendering import TemplateFaultError
from monitor.notify.templates import (
    LAYOUT,
    SECTION,
    WORDS,
    built_in,
    is_language,
    languages,
    sections_of,
    text_of,
)
from monitor.notify.words import Vocabulary, babel_locale

_INCLUDED: Final = re.compile(r"""\binclude\s+["']([^"']+)["']""")
_HEADING: Final = re.compile(r"\s*\[([^\[\]]{1,40})\]\s*:?\s*")
"""What somebody may have meant as the heading of a section."""
_PASSED_OVER: Final = (".", "README")
"""How names begin that are nobody's words: Git's, Kubernetes', editors'."""
_DEEPEST: Final = 4
"""Links may run in a circle."""


class Folder:
    """The operator's folder: which files it has, and what is wrong with their names."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._files = dict(_walk(root, ()))
        self.has_layout = (LAYOUT,) in self._files
        below = [way for way in self._files if len(way) > 1]
        self.languages = {way[0] for way in below if is_language(way[0])}
        """The languages it has a file of."""
        self.names = {"/".join(way[1:]) for way in below} & set(_ours())
        """Its files that go before ours, as templates name them: `resolved.txt`."""
        self._foreign = {way[0] for way in below} - self.languages

    def strays(self) -> Iterator[TemplateFaultError]:
        """Every folder, file, section and phrase that no letter uses."""
        for tag in sorted(self._foreign):
            yield _fault(self.root / tag, 1, _no_language(tag))
        texts: dict[Path, str] = {}
        for path in self._files.values():
            try:
                found = text_of(path)
            except TemplateFaultError as fault:
                yield fault
                continue
            if found is None:
                yield _fault(path, 1, "cannot be read")
            else:
                texts[path] = found[0]
        for way, path in self._files.items():
            if way[0] not in self._foreign and path in texts:
                yield from self._idle(way, path, texts)

    def _idle(
        self, way: tuple[str, ...], path: Path, texts: Mapping[Path, str]
    ) -> Iterator[TemplateFaultError]:
        """What of one file is idle, or all of it."""
        name = "/".join(way[1:])
        if name == WORDS:
            yield from _idle_phrases(path, texts, way[0])
        elif name in _ours():
            yield from _idle_sections(path, texts[path], _ours()[name])
        elif way[0] not in _beside() and name not in _included(texts):
            yield _fault(path, 1, "no letter uses this file" + _meant(way))


def _included(texts: Mapping[Path, str]) -> set[str]:
    return {name for text in texts.values() for name in _INCLUDED.findall(text)}


def _no_language(tag: str) -> str:
    near = did_you_mean(tag, languages(built_in()))
    if is_language(_canonical(tag)):
        near = f" — did you mean '{_canonical(tag)}'?"
    return f"is the name of no language such as 'de' or 'pt-BR'{near}"


def _walk(folder: Path, way: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Path]]:
    """Every file below, with the names that lead to it."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith(_PASSED_OVER):
            continue
        here = (*way, path.name)
        if not path.is_dir():
            yield here, path
        elif len(here) < _DEEPEST:
            yield from _walk(path, here)


def _meant(way: tuple[str, ...]) -> str:
    """The end of the message: which of our files was most likely meant."""
    tag = way[0] if len(way) > 1 else "en"
    known = [*_beside(), *(f"{tag}/{name}" for name in sorted(_ours()))]
    return did_you_mean("/".join(way), known)


@cache
def _beside() -> tuple[str, ...]:
    """Our own files beside the languages: looks, and no words."""
    return tuple(sorted(p.name for p in built_in().iterdir() if p.is_file()))


@cache
def _ours() -> Mapping[str, frozenset[str]]:
    """The sections of each of our own files, over all languages."""
    known: dict[str, frozenset[str]] = {}
    for way, path in _walk(built_in(), ()):
        found = text_of(path)
        if len(way) > 1 and found is not None:
            name = "/".join(way[1:])
            known[name] = known.get(name, frozenset()) | set(sections_of(found[0]))
    return known


def _idle_sections(
    path: Path, text: str, known: Collection[str]
) -> Iterator[TemplateFaultError]:
    seen: set[str] = set()
    for number, line in enumerate(text.split("\n"), start=1):
        looks = _HEADING.fullmatch(line)
        if looks is None:
            continue
        name = looks[1]
        near = did_you_mean(name, sorted(known))
        if SECTION.fullmatch(line) is None:
            if near:
                yield _fault(path, number, f"[{name}] heads no section{near}")
        elif not known:
            yield _fault(path, number, f"[{name}]: this file has no sections")
        elif name not in known:
            yield _fault(path, number, f"[{name}] is none of its sections{near}")
        elif name in seen:
            yield _fault(path, number, f"[{name}] is given twice")
        else:
            seen.add(name)


def _idle_phrases(
    path: Path, texts: Mapping[Path, str], tag: str
) -> Iterator[TemplateFaultError]:
    """Phrases of `words.txt` that nothing says; names of permissions are Meta's."""
    lines = texts[path].split("\n")
    try:
        his = Vocabulary.read(texts[path], babel_locale(tag))
    except Exception:  # noqa: BLE001 - the book tells it, with its line
        return
    ours = _phrases()
    templates = [text for file, text in texts.items() if file.name != WORDS]
    said = set(re.findall(r"""["']([a-z_]+)["']""", "\n".join(templates)))
    for section, keys, known in (
        ("dates", his.dates, ours.dates),
        ("names", his.names, ours.names),
        ("counted", his.counted, {*ours.counted, *said}),
    ):
        for key in keys:
            if key not in known:
                number = _line_of(key, lines)
                near = did_you_mean(key, sorted(known))
                what = f"[{section}] {key}: nothing says this phrase{near}"
                yield _fault(path, number, what)


@cache
def _phrases() -> Vocabulary:
    found = text_of(built_in() / "en" / WORDS)
    return Vocabulary.read(found[0] if found else "", babel_locale("en"))


def _line_of(key: str, lines: list[str]) -> int:
    def names(line: str) -> bool:
        written = line.partition("=")[0].strip().lower()
        return written == key or written.startswith(f"{key}.")

    return next((n for n, line in enumerate(lines, start=1) if names(line)), 1)


def _canonical(tag: str) -> str:
    """The tag as its folder must be called: `pt-BR`."""
    language, *rest = tag.replace("_", "-").split("-")
    return "-".join([language.lower(), *(_cased(part) for part in rest)])


def _cased(part: str) -> str:
    script = 4
    return part.title() if len(part) == script else part.upper()


def _fault(path: Path, line: int, what: str) -> TemplateFaultError:
    return TemplateFaultError(f"{path}:{line}: {what}")
