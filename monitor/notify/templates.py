"""Find the words: templates by language, ours and the operator's, in a strict sandbox.

A template sees text, numbers, lists and mappings, and can call nothing. What it prints
is a value, kept on one line and marked as such, so that no value can become markup.
"""

import configparser
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from traceback import walk_tb
from typing import Any, Final

from jinja2 import FunctionLoader, StrictUndefined, Template
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from monitor.notify.safe import CLOSE, OPEN
from monitor.notify.words import Vocabulary, locale_chain

LARGEST_OUTPUT: Final = 256 * 1024
_LARGEST_FILE: Final = 256 * 1024
_SECTION: Final = re.compile(r"\[([a-z_]+)\]\s*")
_FILTERS: Final = frozenset(
    {"capitalize", "default", "first", "join", "last", "length", "lower", "trim"}
)


class TemplateFaultError(Exception):
    """A template that cannot be used; the text says `file:line: what`."""


class Words(str):
    """Words rendered by a template: they keep their lines and their markup."""

    __slots__ = ()


def _printed(value: object) -> object:
    """What becomes of a value that a template prints."""
    if isinstance(value, (Words, Markup)):
        return value
    if value is None:
        raise TemplateError("prints a value that is not there")
    line = " ".join(str(value).replace(OPEN, "").replace(CLOSE, "").split())
    return f"{OPEN}{line}{CLOSE}"


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox without attributes: mappings have keys, loops have a state."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def call_binop(
        self,
        context: object,  # noqa: ARG002 - the signature is Jinja's
        operator: str,
        left: object,  # noqa: ARG002 - as above
        right: object,  # noqa: ARG002 - as above
    ) -> Any:  # noqa: ANN401 - as above
        """Refuse operators by which ten characters become ten gigabytes."""
        raise SecurityError(f"the operator {operator} is not available")

    def getattr(self, obj: Any, attribute: str) -> Any:  # noqa: ANN401 - as above
        """`mapping.key`, `loop.first`, and nothing else."""
        if isinstance(obj, Mapping):
            if attribute in obj:
                return obj[attribute]
            return self.undefined(obj=obj, name=attribute)
        if isinstance(obj, LoopContext):
            return super().getattr(obj, attribute)
        return self.unsafe_undefined(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:  # noqa: ANN401 - as above
        """`mapping["key"]`, `list[0]`, and nothing else."""
        if isinstance(obj, (Mapping, list, tuple)):
            try:
                return obj[argument]
            except (LookupError, TypeError):
                return self.undefined(obj=obj, name=str(argument))
        return self.unsafe_undefined(obj, str(argument))


def _sandbox(
    read: Callable[[str], tuple[str, str] | None], *, html: bool = False
) -> _Sandbox:
    sandbox = _Sandbox(
        undefined=StrictUndefined,
        autoescape=html,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        finalize=None if html else _printed,
        loader=FunctionLoader(
            lambda name: None if (found := read(name)) is None else (*found, None)
        ),
    )
    sandbox.filters = {
        name: made for name, made in sandbox.filters.items() if name in _FILTERS
    }
    sandbox.globals.clear()
    return sandbox


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
        self._sandbox = _sandbox(self._read)
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
        return Words(_run(template, data).strip())

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
            section: _compiled(self._sandbox, "\n".join(text), path)
            for section, text in sections.items()
        }

    def _vocabulary(self) -> Vocabulary:
        found = self._read("words.txt")
        if found is None:
            raise TemplateFaultError("words.txt:1: no such template")
        try:
            return Vocabulary.read(found[0])
        except (configparser.Error, KeyError) as error:
            line = getattr(error, "lineno", None) or 1
            what = " ".join(str(error).split())
            raise TemplateFaultError(f"{found[1]}:{line}: {what}") from None

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
        self._layout: Template | None = None

    def book(self, locale: str) -> Book:
        """The words for a reader of that language, or of the nearest one we have.

        Raises:
            TemplateFaultError: Its vocabulary is broken.
        """
        chain = tuple(
            tag
            for tag in locale_chain(locale)
            if any((root / tag).is_dir() for root in self._roots)
        )
        if chain not in self._books:
            self._books[chain] = Book(self._roots, chain)
        return self._books[chain]

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
            sandbox = _sandbox(lambda _: None, html=True)
            self._layout = _compiled(sandbox, *found)
        return _run(self._layout, data).strip() + "\n"


def built_in() -> Path:
    """The folder of our own templates: in the wheel, or beside the package."""
    packed = Path(str(files("monitor"))) / "_data" / "templates"
    if packed.is_dir():
        return packed
    return Path(__file__).resolve().parents[2] / "templates"


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


def _compiled(sandbox: _Sandbox, source: str, path: str) -> Template:
    try:
        code = sandbox.compile(source, path, path)
    except TemplateError as error:
        raise _fault(error, path) from None
    return Template.from_code(sandbox, code, {})


def _run(template: Template, data: Mapping[str, object]) -> str:
    room, pieces = LARGEST_OUTPUT, []
    try:
        for piece in template.generate(data):
            room -= len(piece)
            if room < 0:
                break
            pieces.append(piece)
    except Exception as error:  # noqa: BLE001 - whatever a template provokes
        raise _fault(error, str(template.filename)) from None
    if room < 0:
        what = f"writes more than {LARGEST_OUTPUT} characters"
        raise TemplateFaultError(f"{template.filename}:1: {what}")
    return "".join(pieces)


def _fault(error: Exception, path: str) -> TemplateFaultError:
    """The fault with the place in the template, as far as Jinja tells it."""
    named = getattr(error, "filename", None) or path
    line = getattr(error, "lineno", None)
    for frame, at in walk_tb(error.__traceback__):
        # Jinja rewrites its tracebacks, so that frames name templates.
        if frame.f_code.co_filename.endswith((".txt", ".html")):
            named, line = frame.f_code.co_filename, at
    what = " ".join(str(error).split()) or type(error).__name__
    return TemplateFaultError(f"{named}:{line or 1}: {what}")
