"""The effective configuration as YAML, with its secrets masked."""

from collections.abc import Callable, Mapping
from datetime import time, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, SecretBytes, SecretStr

from monitor.config.addresses import Listen, Mailbox
from monitor.config.durations import spelled
from monitor.config.model import Hours, Settings
from monitor.config.policies import Match, Policy
from monitor.config.times import Appointment, spelled_days

MASK: Final = "********"


class _Dumper(yaml.SafeDumper):
    """Mappings as blocks, short lists on one line, as the operator writes them."""

    def represent_words(self, data: list[object]) -> yaml.Node:
        flow = not any(isinstance(each, dict) for each in data)
        tag = "tag:yaml.org,2002:seq"
        return self.represent_sequence(tag, data, flow_style=flow)


_Dumper.add_representer(list, _Dumper.represent_words)


def show(settings: Settings) -> str:
    """Every value in force, defaults included, in the order of the documentation."""
    told = plain(settings, mask=True)
    assert isinstance(told, dict)  # noqa: S101 - settings are a mapping
    told["database"] = _without_password(settings.database.get_secret_value())
    body = yaml.dump(
        told, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000
    )
    return f"# {settings.source}\n{body}"


def plain(value: object, *, mask: bool) -> object:
    """A value of the settings as YAML and JSON know it."""
    if isinstance(value, BaseModel):
        return _section(value, mask=mask)
    if isinstance(value, SecretStr) and not mask:
        return value.get_secret_value()
    for kind, spell in _SPELLINGS.items():
        if isinstance(value, kind):
            return spell(value)
    if isinstance(value, tuple):
        return [plain(each, mask=mask) for each in value]
    if isinstance(value, dict):
        return {key: plain(each, mask=mask) for key, each in value.items()}
    return value


_SPELLINGS: Final[Mapping[type, Callable[[Any], object]]] = {
    SecretStr: lambda _: MASK,
    SecretBytes: lambda _: MASK,
    timedelta: spelled,
    time: lambda value: f"{value:%H:%M}",
    ZoneInfo: str,
    Path: str,
    Mailbox: str,
    Listen: str,
    Appointment: str,
    frozenset: sorted,
}


def _section(section: BaseModel, *, mask: bool) -> dict[str, object]:
    told = {
        field.alias or name: plain(getattr(section, name), mask=mask)
        for name, field in type(section).model_fields.items()
    }
    if isinstance(section, Hours):
        told["days"] = spelled_days(section.days)
    if isinstance(section, Match):
        return {key: value for key, value in told.items() if value}
    if isinstance(section, Policy) and not told["match"]:
        del told["match"]
    return told


def _without_password(url: str) -> str:
    """A database URL with everything that opens the database masked."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return url
    user, at, host = parts.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    netloc = f"{name}{':' + MASK if colon else ''}{at}{host}"
    # The query of a libpq URL may hold a password too.
    query = f"?{MASK}" if parts.query or parts.fragment else ""
    return f"{parts.scheme}://{netloc}{parts.path}{query}"
