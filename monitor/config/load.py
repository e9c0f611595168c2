"""From a file to settings: read, fill in, validate, and tell every fault at once."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from monitor.config import checks, source, twins
from monitor.config.document import Document
from monitor.config.faults import Trail, printable
from monitor.config.model import Settings
from monitor.config.schema import keys_at
from monitor.errors import ConfigurationError, did_you_mean

VARIABLE: Final = "TOKEN_MONITOR_CONFIG"
"""The environment variable that names the configuration file."""
USUAL_PLACES: Final = (Path("monitor.yaml"), Path("/etc/token-monitor/monitor.yaml"))
_WAYS_OUT: Final[Mapping[Trail, str]] = {
    ("database",): "expected sqlite:///monitor.db or postgresql://user@host/name",
    ("keys",): "at least one key, as `token-monitor keys new` prints one",
    ("apps",): "at least one app with 'id', 'name' and 'secret'",
    ("mail",): "the section with at least 'from', the sender of the letters",
    ("operator",): "the section with at least 'email', who hears of trouble",
}

_EXAMPLES: Final = {
    "keys": "{id: k1, secret_file: monitor.key}",
    "apps": '{id: "123", name: Acme Publisher, secret_file: acme.secret}',
    "policies": "{name: default}",
    "email": "ops@acme.example",
    "escalate_to": "lead@acme.example",
    "warn_before": "14d, 7d, 1d",
    "data_access_warn_before": "14d, 7d, 1d",
    "required_scopes": "ads_read",
    "allowed_scopes": "ads_read, ads_management",
}


def find(explicit: Path | None, environ: Mapping[str, str]) -> Path:
    """The configuration file to use: the one named, else the first usual place.

    Raises:
        ConfigurationError: There is none.
    """
    if explicit is not None:
        return explicit
    named = environ.get(VARIABLE)
    if named:
        if not os.path.exists(named):  # noqa: PTH110 - never raises
            raise ConfigurationError(f"${VARIABLE} names {named!r}: no such file")
        return Path(named)
    for place in USUAL_PLACES:
        if os.path.exists(place):  # noqa: PTH110 - never raises
            return place
    looked = ", ".join(["--config", f"${VARIABLE}", *map(str, USUAL_PLACES)])
    raise ConfigurationError(
        f"no configuration found (looked at {looked}): `token-monitor init` makes one"
    )


def load(path: Path, environ: Mapping[str, str], *, secrets: bool = True) -> Settings:
    """The settings of a configuration file.

    Args:
        path: The file.
        environ: What `${VAR}` stands for.
        secrets: Whether its secrets are needed. If not they are neither read nor
            asked for, and whatever would use them must not be begun.

    Raises:
        ConfigurationError: The file is not usable; names every fault with its line
            and column, and never shows a secret or a value of the environment.
    """
    document = source.read(path, environ)
    if secrets:
        twins.resolve(document)
    else:
        twins.blank(document)
    where = document.folder / Path(path).name
    settings = None
    try:
        settings = Settings.model_validate(document.tree, context={"source": where})
    except ValidationError as error:
        _tell(document, error)
    checks.check(document)
    if document.faults or settings is None:
        raise ConfigurationError(*document.told()) from None
    return settings


def _tell(document: Document, error: ValidationError) -> None:
    """The complaints of the model as faults of the file."""
    for item in error.errors(
        include_url=False, include_context=False, include_input=False
    ):
        trail: Trail = item["loc"]
        if any(trail[:end] in document.spoiled for end in range(1, len(trail) + 1)):
            continue
        siblings = keys_at(trail[:-1])
        text = _text(document, trail, item["type"], item["msg"], siblings)
        if not text:
            continue
        where = _written(document, trail)
        document.fault(
            where,
            text,
            at_key=item["type"] in {"missing", "extra_forbidden"},
            known=siblings,
            spoils=where == trail,
        )


def _text(
    document: Document, trail: Trail, kind: str, told: str, siblings: tuple[str, ...]
) -> str:
    """One complaint in our words; empty when another fault says it already."""
    found = document.get(*trail)
    text = "is not what is expected here"
    match kind:
        case "fault":
            text = told
        case "missing":
            text = _missing(trail, siblings)
        case "extra_forbidden":
            text = _unknown(trail, siblings)
        case "default_factory_not_called":
            text = ""
        case "too_short":
            text = "" if found else "expected at least one entry, found none"
        case "dict_type" | "model_type" | "model_attributes_type":
            text = f"expected keys and values, found {_kind(found)}"
        case "tuple_type" | "frozen_set_type":
            example = _EXAMPLES.get(str(trail[-1]), "…")
            text = f"expected a list such as [{example}], found {_kind(found)}"
        case _:
            pass
    return text


def _missing(trail: Trail, siblings: Iterable[str]) -> str:
    way_out = _WAYS_OUT.get(trail)
    if way_out:
        return f"is missing: {way_out}"
    twin = f"{trail[-1]}_file"
    return f"is missing: give it or '{twin}'" if twin in siblings else "is missing"


def _unknown(trail: Trail, siblings: Iterable[str]) -> str:
    near = did_you_mean(str(trail[-1]), siblings)
    name = printable(str(trail[-1]), siblings)
    known = "" if near else f"; known are {', '.join(siblings)}"
    told = "this key" if name == "?" else f"the key '{name}'"
    return f"{told} is not known here{near}{known}"


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "keys and values"
    return "a list" if isinstance(value, list) else "a text"


def _written(document: Document, trail: Trail) -> Trail:
    """The trail without a number that stands for a single word in place of a list."""
    while trail and isinstance(trail[-1], int) and trail not in document.values:
        trail = trail[:-1]
    return trail
