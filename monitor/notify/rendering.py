"""Render: a template becomes words in a strict sandbox.

A template sees text, numbers, lists and mappings, and can call nothing. What it prints
is a value, kept on one line and marked as such, so that no value can become markup.
"""

from collections.abc import Callable, Mapping
from functools import partial
from traceback import walk_tb
from typing import Any, Final

from jinja2 import FunctionLoader, StrictUndefined, Template, Undefined
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from monitor.notify.safe import CLOSE, OPEN, one_line

LARGEST_OUTPUT: Final = 256 * 1024
_FILTERS: Final = frozenset(
    {"capitalize", "default", "first", "join", "last", "length", "lower", "trim"}
)


class TemplateFaultError(Exception):
    """A template that cannot be used; the text says `file:line: what`."""


class Words(str):
    """Words rendered by a template: they keep their lines and their markup."""

    __slots__ = ()


def _printed(value: object, number: Callable[[int], str] = str) -> object:
    """What becomes of a value that a template prints."""
    if isinstance(value, (Words, Markup)):
        return value
    if value is None:
        raise TemplateError("prints a value that is not there")
    if isinstance(value, int) and not isinstance(value, bool):
        value = number(value)
    line = one_line(str(value).replace(OPEN, "").replace(CLOSE, ""))
    return f"{OPEN}{line}{CLOSE}"


class Sandbox(ImmutableSandboxedEnvironment):
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
        if isinstance(obj, (LoopContext, Undefined)):  # the latter says what it lacks
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


def a_sandbox(
    read: Callable[[str], tuple[str, str] | None],
    *,
    html: bool = False,
    number: Callable[[int], str] = str,
) -> Sandbox:
    """A sandbox whose `include` finds what `read` returns: a text and its place.

    Args:
        read: From a name to a text and its place.
        html: Whether values are escaped rather than marked.
        number: How the reader's language writes a whole number.
    """
    sandbox = Sandbox(
        undefined=StrictUndefined,
        autoescape=html,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        finalize=None if html else partial(_printed, number=number),
        loader=FunctionLoader(
            lambda name: None if (found := read(name)) is None else (*found, None)
        ),
    )
    sandbox.filters = {
        name: made for name, made in sandbox.filters.items() if name in _FILTERS
    }
    sandbox.globals.clear()
    return sandbox


def compiled(sandbox: Sandbox, source: str, path: str) -> Template:
    """A template, made once.

    Raises:
        TemplateFaultError: It is no template.
    """
    try:
        code = sandbox.compile(source, path, path)
    except TemplateError as error:
        raise _fault(error, path) from None
    return Template.from_code(sandbox, code, {})


def run(template: Template, data: Mapping[str, object]) -> str:
    """What the template writes, at most 256 Ki characters.

    Raises:
        TemplateFaultError: It fails, or writes more.
    """
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
