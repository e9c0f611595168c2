"""`${VAR}` and `${VAR:-default}` inside a value, `$$` for a dollar sign."""

import re
from collections.abc import Mapping

_PLACE = re.compile(
    r"\$\$|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|\$\{"
)


class ExpansionError(Exception):
    """A placeholder cannot be filled; the text names the variable, never a value."""


def expand(text: str, environ: Mapping[str, str]) -> str:
    """The text with its placeholders filled, once: a value is never read again.

    A default is taken when the variable is unset or empty. A dollar sign that
    begins no placeholder stands for itself.

    >>> expand("${HOST:-localhost}/$$/$5", {})
    'localhost/$/$5'

    Raises:
        ExpansionError: A variable is unset and has no default.
    """
    return _PLACE.sub(lambda found: _filled(found, environ), text)


def _filled(found: re.Match[str], environ: Mapping[str, str]) -> str:
    if found.group() == "$$":
        return "$"
    name, default = found["name"], found["default"]
    if name is None:
        raise ExpansionError(
            "'${' begins no placeholder such as ${NAME} or ${NAME:-default}; write"
            " '$$' for a dollar sign"
        )
    value = environ.get(name)
    if not value and default is not None:
        return default
    if value is None:
        raise ExpansionError(
            f"the environment variable {name} is not set: set it, or write"
            f" ${{{name}:-default}}"
        )
    try:
        value.encode()
    except UnicodeEncodeError:
        text = f"the environment variable {name} is not UTF-8 text"
        raise ExpansionError(text) from None
    return value
