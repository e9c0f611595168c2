"""What no single value can tell: the keys of a configuration held against each other.

These look at the file as written, not at the finished settings, so that one mistyped
duration does not hide a duplicate id ten lines below.
"""

from collections.abc import Callable, Iterable

from monitor.config.addresses import is_loopback
from monitor.config.document import Document
from monitor.config.model import Mail
from monitor.config.policies import Policy
from monitor.config.scalars import shown
from monitor.errors import did_you_mean


def check(document: Document) -> None:
    """Note every fault between keys."""
    for each in CHECKS:
        each(document)


def _unique(document: Document, section: str, key: str) -> None:
    first: dict[str, int] = {}
    for number, entry in enumerate(document.entries(section)):
        value = entry.get(key) if isinstance(entry, dict) else None
        if section == "policies" and isinstance(entry, dict) and key not in entry:
            value = Policy().name
        if not isinstance(value, str):
            continue
        line = document.place((section, number, key))[0]
        if value in first:
            text = f"{shown(value)} is taken already in line {first[value]}"
            document.fault((section, number, key), text)
        first.setdefault(value, line)


def ids_are_unique(document: Document) -> None:
    """No two keys, apps or policies share a name."""
    _unique(document, "keys", "id")
    _unique(document, "apps", "id")
    _unique(document, "policies", "name")


def every_token_finds_a_policy(document: Document) -> None:
    """The last policy takes every token, and no earlier one does."""
    policies = document.entries("policies")
    for number, policy in enumerate(policies):
        if not isinstance(policy, dict):
            continue
        last = number == len(policies) - 1
        if last and policy.get("match"):
            text = (
                "the last policy must take every token: leave its 'match' out, or add"
                " a policy without one"
            )
            document.fault(("policies", number, "match"), text, at_key=True)
        elif not last and not policy.get("match"):
            text = (
                "takes every token, so no policy after it is ever reached: give it a"
                " 'match', or move it to the end"
            )
            document.fault(("policies", number), text)


def matched_apps_exist(document: Document) -> None:
    """A policy names apps that are configured."""
    apps = document.entries("apps")
    known = {str(app.get("id")) for app in apps if isinstance(app, dict)}
    for number in range(len(document.entries("policies"))):
        trail = ("policies", number, "match", "app")
        found = document.get(*trail)
        places: Iterable[tuple[tuple[str | int, ...], object]] = [(trail, found)]
        if isinstance(found, list):
            places = [((*trail, place), app) for place, app in enumerate(found)]
        for place, app in places:
            if known and isinstance(app, str) and app.isdigit() and app not in known:
                near = did_you_mean(app, known)
                document.fault(place, f"{shown(app)} is no app of 'apps'{near}")


def mail_is_private(document: Document) -> None:
    """Letters cross a network encrypted, unless the operator says otherwise."""
    host = document.get("mail", "host") or Mail.model_fields["host"].default
    plain = document.get("mail", "tls") == "none"
    allowed = str(document.get("mail", "allow_plaintext")).lower() == "true"
    if plain and not allowed and isinstance(host, str) and not is_loopback(host):
        text = (
            "'none' would send letters readable by everyone on the way: use starttls"
            " or implicit, or say 'allow_plaintext: true'"
        )
        document.fault(("mail", "tls"), text)


def login_is_whole(document: Document) -> None:
    """A user name comes with its password, and the other way round."""
    username = document.get("mail", "username")
    password = document.get("mail", "password")
    if username is not None and password is None:
        text = "is given without 'password' or 'password_file'"
        document.fault(("mail", "username"), text, at_key=True)
    if password is not None and username is None:
        text = "is given without 'username'"
        document.fault(("mail", "password"), text, at_key=True)


CHECKS: tuple[Callable[[Document], None], ...] = (
    ids_are_unique,
    every_token_finds_a_policy,
    matched_apps_exist,
    mail_is_private,
    login_is_whole,
)
