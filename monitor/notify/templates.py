"""Find the words: templates by language, ours and the operator's, file by file."""

import configparser
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Final

from babel import Locale
from jinja2 import Template
from jinja2.exceptions import TemplateError

from monitor.notify.inlining import inlined
from monitor.notify.rendering import (
    TemplateFaultError,
    Words,
    a_sandbox,
    compiled,
    run,
)
from monitor.notify.words import Vocabulary, babel_locale, locale_chain, whole_number

_LARGEST_FILE: Final = 256 * 1024
_MOST_LOCALES: Final = 1000
"""Visitors of our pages name languages as they like; not all are remembered."""
_SECTION: Final = re.compile(r"\[([a-z_]+)\]\s*")


class Book:
    """The words of one chain of languages, each template compiled once."""

    def __init__(self, roots: Sequence[Path], chain: Sequence[str]) -> None:
        self._folders = tuple(root / tag for tag in chain for root in roots)
        self.language = next(
            (
                t
                for t in chain
                if any((r / t / "attention.txt").is_file() for r in roots)
            ),
            "en",
        )
        """The language of the frame, and so of the letter."""
        self._sandbox = a_sandbox(self._read, number=self._number)
        self._sandbox.filters["counted"] = self._counted
        self._sections: dict[str, dict[str, Template]] = {}
        self.words = self._vocabulary()

    def render(self, name: str, section: str, data: Mapping[str, object]) -> Words:
        """A section of a file with its values filled in.

        Raises:
            TemplateFaultError: The file or section is missing, broken or too large.
        """
        sections = self._sections.get(name)
        if sections is None:
            sections = self._sections[name] = self._compile(name)
        template = sections.get(section)
        if template is None:
            raise TemplateFaultError(f"{self._path(name)}:1: lacks [{section}]")
        return Words(run(template, data).strip())

    def _compile(self, name: str) -> dict[str, Template]:
        found = self._read(name)
        if found is None:
            raise TemplateFaultError(f"{name}:1: no such template")
        source, path = found
        sections: dict[str, list[str]] = {}
        lines: list[str] = []
        for number, line in enumerate(source.split("\n")):
            heading = _SECTION.fullmatch(line)
            if heading is not None:
                lines = sections.setdefault(heading[1], [])
                # Lines above are kept as blank ones: errors name the right line.
                lines += [""] * (number + 1 - len(lines))
            else:
                lines.append(line)
        return {
            section: compiled(self._sandbox, "\n".join(text), path)
            for section, text in sections.items()
        }

    def _vocabulary(self) -> Vocabulary:
        """The phrases of all folders, the first that has one winning."""
        words = Vocabulary()
        for folder in self._folders:
            found = _text_of(folder / "words.txt")
            if found is not None:
                words = words.over(_vocabulary(*found, babel_locale(folder.name)))
        return words

    def _number(self, n: int) -> str:
        return whole_number(n, babel_locale(self.language))

    def _counted(self, number: object, key: str) -> Words:
        """The filter `counted`: `{{ others | counted("more") }}`."""
        if not isinstance(number, (int, str)) or not str(number).isdecimal():
            raise TemplateError(f"counted({key!r}) needs a number")
        try:
            return Words(self.words.count(key, int(number)))
        except KeyError:
            raise TemplateError(f"words.txt has no [counted] {key}.other") from None

    def _path(self, name: str) -> str:
        found = self._read(name)
        return name if found is None else found[1]

    def _read(self, name: str) -> tuple[str, str] | None:
        if not re.fullmatch(r"[a-z_]+(/[a-z_]+)*\.txt", name):
            return None
        return next(filter(None, (_text_of(f / name) for f in self._folders)), None)


class Shelf:
    """Every language of the given folders; a file of an earlier folder wins."""

    def __init__(self, *roots: Path) -> None:
        self._roots = roots
        self._books: dict[tuple[str, ...], Book] = {}
        self._chains: dict[str, tuple[str, ...]] = {}
        self._layout: Template | None = None
        self._pages: dict[str, Template] = {}

    def book(self, locale: str) -> Book:
        """The words for a reader of that language, or of the nearest one we have.

        Raises:
            TemplateFaultError: Its vocabulary is broken.
        """
        chain = self._chains.get(locale)
        if chain is None:
            if len(self._chains) >= _MOST_LOCALES:
                self._chains.clear()
            chain = self._chains[locale] = self._chain(locale)
        if chain not in self._books:
            self._books[chain] = Book(self._roots, chain)
        return self._books[chain]

    def _chain(self, locale: str) -> tuple[str, ...]:
        """The languages we have for the reader: his own, one near it, English."""
        wanted = locale_chain(locale)
        have = sorted({path.name for r in self._roots for path in r.glob("*/")})
        chain = tuple(tag for tag in wanted if tag in have)
        language = wanted[-2] if len(wanted) > 1 else ""
        if chain == ("en",) and language:
            chain = (*(t for t in have if t.startswith(f"{language}-")), "en")
        return chain or ("en",)

    def dress(self, data: Mapping[str, object]) -> str:
        """The HTML page of a letter.

        Raises:
            TemplateFaultError: The layout is missing, broken or writes too much.
        """
        if self._layout is None:
            texts = (_text_of(root / "layout.html") for root in self._roots)
            found = next(filter(None, texts), None)
            if found is None:
                raise TemplateFaultError("layout.html:1: no such template")
            sandbox = a_sandbox(lambda _: None, html=True)
            self._layout = compiled(sandbox, inlined(*found), found[1])
        return run(self._layout, data).strip() + "\n"

    def page(self, name: str, data: Mapping[str, object]) -> str:
        """A page of the web, by the template of that name beside the layout.

        Raises:
            TemplateFaultError: The template is missing, broken or writes too much.
        """
        if name not in self._pages:
            found = next(filter(None, (_text_of(r / name) for r in self._roots)), None)
            if found is None:
                raise TemplateFaultError(f"{name}:1: no such template")
            sandbox = a_sandbox(lambda _: None, html=True)
            self._pages[name] = compiled(sandbox, *found)
        return run(self._pages[name], data).strip() + "\n"


def built_in() -> Path:
    """The folder of our own templates: in the wheel, or beside the package."""
    packed = Path(str(files("monitor"))) / "_data" / "templates"
    if packed.is_dir():
        return packed
    return Path(__file__).resolve().parents[2] / "templates"


def _vocabulary(text: str, path: str, locale: Locale) -> Vocabulary:
    try:
        return Vocabulary.read(text, locale)
    except configparser.ParsingError as error:
        line = error.errors[0][0]
        raise TemplateFaultError(f"{path}:{line}: expected key = phrase") from None
    except (configparser.Error, ValueError) as error:
        line = getattr(error, "lineno", None) or _line_of(text, str(error))
        what = " ".join(str(error).split())
        raise TemplateFaultError(f"{path}:{line}: {what}") from None


def _line_of(text: str, what: str) -> int:
    """The line of the phrase that the fault names."""
    section, _, rest = what.partition("] ")
    heading, key = f"{section}]", rest.split(" ")[0].rstrip(":")
    lines = text.split("\n")
    inside = False
    for number, line in enumerate(lines, start=1):
        if line.startswith("["):
            inside = line.strip() == heading
            if inside and "none of its sections" in what:
                return number
        elif inside and line.partition("=")[0].strip().lower().startswith(key):
            return number
    return 1


def _text_of(path: Path) -> tuple[str, str] | None:
    try:
        raw = path.read_bytes()
    except OSError:
        return None
    if len(raw) > _LARGEST_FILE:
        raise TemplateFaultError(f"{path}:1: is larger than {_LARGEST_FILE} bytes")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise TemplateFaultError(f"{path}:{line}: is not UTF-8") from None
    return text.replace("\r\n", "\n"), str(path)
