"""Find the words: templates by language, ours and the operator's, file by file."""

import configparser
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Final, TypeAlias

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

LAYOUT: Final = "layout.html"
WORDS: Final = "words.txt"
_TAG: Final = re.compile(
    r"([a-z]{2,3})(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?(-[a-z0-9]{5,8})?"
)
"""A language tag in the case in which `locale_chain` looks for it: RFC 5646, 2.1.1."""
_LARGEST_FILE: Final = 256 * 1024
_MOST_LOCALES: Final = 1000
"""Visitors of our pages name languages as they like; not all are remembered."""
SECTION: Final = re.compile(r"\[([a-z_]+)\]\s*")
"""The line that heads a section."""
Note: TypeAlias = Callable[[TemplateFaultError], None]
"""Hears of a fault, so that rendering goes on and finds the others too."""


class Book:
    """The words of one chain of languages, each template compiled once."""

    def __init__(
        self, roots: Sequence[Path], chain: Sequence[str], note: Note | None = None
    ) -> None:
        self._note = note
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
        self._sources: dict[str, tuple[dict[str, str], str]] = {}
        self._compiled: dict[tuple[str, str], Template] = {}
        self.words = self._vocabulary()

    def render(self, name: str, section: str, data: Mapping[str, object]) -> Words:
        """A section of a file with its values filled in.

        Raises:
            TemplateFaultError: The file or section is missing, broken or too large.
        """
        try:
            return Words(run(self._template(name, section), data).strip())
        except TemplateFaultError as fault:
            if self._note is None:
                raise
            self._note(fault)
            return Words("…")

    def compile_all(self, name: str) -> None:
        """Compile a file, also what no letter may need of it.

        Raises:
            TemplateFaultError: It cannot be read, or a section is broken.
        """
        for section in self._source(name)[0]:
            self._template(name, section)

    def _template(self, name: str, section: str) -> Template:
        template = self._compiled.get((name, section))
        if template is None:
            sections, path = self._source(name)
            if section not in sections:
                raise TemplateFaultError(f"{path}:1: lacks [{section}]")
            template = compiled(self._sandbox, sections[section], path)
            self._compiled[name, section] = template
        return template

    def _source(self, name: str) -> tuple[dict[str, str], str]:
        """The sections of a file, and where it lies."""
        if name not in self._sources:
            found = self._read(name)
            if found is None:
                raise TemplateFaultError(f"{name}:1: no such template")
            self._sources[name] = (sections_of(found[0]), found[1])
        return self._sources[name]

    def _vocabulary(self) -> Vocabulary:
        """The phrases of all folders, the first that has one winning."""
        words = Vocabulary()
        for folder in self._folders:
            try:
                found = text_of(folder / WORDS)
                if found is not None:
                    words = words.over(_vocabulary(*found, babel_locale(folder.name)))
            except TemplateFaultError as fault:
                if self._note is None:
                    raise
                self._note(fault)
        return words

    def _number(self, n: int) -> str:
        return whole_number(n, babel_locale(self.language))

    def _counted(self, number: object, key: str) -> object:
        """The filter `counted`: `{{ others | counted("more") }}`.

        What is no number is printed as it is: no letter is lost for it.
        """
        if not isinstance(number, (int, str)) or not str(number).isdecimal():
            return number
        try:
            return Words(self.words.count(key, int(number)))
        except KeyError:
            raise TemplateError(f"words.txt has no [counted] {key}.other") from None

    def _read(self, name: str) -> tuple[str, str] | None:
        if not re.fullmatch(r"[a-z_]+(/[a-z_]+)*\.txt", name):
            return None
        return next(filter(None, (text_of(f / name) for f in self._folders)), None)


class Shelf:
    """Every language of the given folders; a file of an earlier folder wins."""

    def __init__(self, *roots: Path, note: Note | None = None) -> None:
        self._roots = roots
        self._note = note
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
            self._books[chain] = Book(self._roots, chain, self._note)
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
            texts = (text_of(root / LAYOUT) for root in self._roots)
            found = next(filter(None, texts), None)
            if found is None:
                raise TemplateFaultError(f"{LAYOUT}:1: no such template")
            sandbox = a_sandbox(lambda _: None, html=True)
            self._layout = compiled(sandbox, inlined(*found), found[1])
        return run(self._layout, data).strip() + "\n"

    def page(self, name: str, data: Mapping[str, object]) -> str:
        """A page of the web, by the template of that name beside the layout.

        Raises:
            TemplateFaultError: The template is missing, broken or writes too much.
        """
        if name not in self._pages:
            found = next(filter(None, (text_of(r / name) for r in self._roots)), None)
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


def languages(folder: Path) -> list[str]:
    """The languages that have a folder there."""
    return sorted(
        path.name
        for path in folder.iterdir()
        if path.is_dir() and is_language(path.name)
    )


def is_language(tag: str) -> bool:
    """Whether a folder of that name is a language's, and would be found as one."""
    found = _TAG.fullmatch(tag)
    return found is not None and found[1] in Locale("en").languages


def sections_of(source: str) -> dict[str, str]:
    """The sections of a file by their names.

    Lines above a section are kept as blank ones: errors name the right line.
    """
    sections: dict[str, list[str]] = {}
    lines: list[str] = []
    for number, line in enumerate(source.split("\n")):
        heading = SECTION.fullmatch(line)
        if heading is not None:
            lines = sections.setdefault(heading[1], [])
            lines += [""] * (number + 1 - len(lines))
        else:
            lines.append(line)
    return {section: "\n".join(text) for section, text in sections.items()}


def text_of(path: Path) -> tuple[str, str] | None:
    """The text of a template and where it lies; `None`: there is no such file.

    Raises:
        TemplateFaultError: It is too large, or no text.
    """
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
