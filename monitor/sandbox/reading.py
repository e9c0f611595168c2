"""Scenario files: YAML read with its line numbers, all faults told at once."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import get_args

from monitor.errors import ConfigurationError
from monitor.sandbox.faults import Fault
from monitor.sandbox.pages import Page, Place
from monitor.sandbox.scenario import (
    AppPlan,
    Event,
    Group,
    Kind,
    Owner,
    Scenario,
    TokenPlan,
)
from monitor.sandbox.states import State

_TOKEN_KEYS = (
    "id",
    "app",
    "kind",
    "token",
    "user_id",
    "profile_id",
    "expires_in",
    "data_access_expires_in",
    "issued_ago",
    "scopes",
    "targets",
    "owner",
    "name",
    "used_for",
    "labels",
    "inventory",
    "events",
)
_KINDS: Mapping[str, Kind] = {kind: kind for kind in get_args(Kind)}


def load(path: Path) -> Scenario:
    """Read a scenario file.

    Raises:
        ConfigurationError: unreadable, or wrong somewhere; every fault is named.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigurationError(
            f"{path}: cannot read the scenario: {reason}"
        ) from error
    return parse(text, str(path))


def demo() -> Scenario:
    """The scenario of `token-monitor demo`, with every kind of trouble."""
    file = files("monitor.sandbox") / "scenarios" / "demo.yaml"
    return parse(file.read_text(encoding="utf-8"), "demo.yaml")


def parse(text: str, name: str = "scenario.yaml") -> Scenario:
    """Read a scenario from text; `name` is what errors call it.

    Raises:
        ConfigurationError: wrong somewhere; every fault is named.
    """
    page = Page(name)
    scenario = _scenario(page.open(text))
    if page.faults:
        raise ConfigurationError(*page.faults)
    return scenario


def _scenario(root: Place) -> Scenario:
    parts = root.mapping(
        "apps", "owners", "tokens", "groups", "faults", "version", "oldest_version"
    )
    apps = tuple(_app(place) for place in _each(parts, "apps"))
    if not apps:
        root.fault("at least one app is expected under `apps`")
    ids = tuple(app.id for app in apps)
    people = parts["owners"].entries() if "owners" in parts else {}
    owners = {key: _owner(place, {}) for key, place in people.items()}
    seen: dict[str, int] = {}
    tokens = []
    for place in _each(parts, "tokens"):
        plan = _token(place, place.mapping(*_TOKEN_KEYS), ids, owners)
        if plan.id in seen:
            place.fault(f"token {plan.id!r} is already on line {seen[plan.id]}")
        seen.setdefault(plan.id, place.line)
        tokens.append(plan)
    known = Scenario(apps)
    return Scenario(
        apps=apps,
        tokens=tuple(tokens),
        groups=tuple(_group(place, ids, owners) for place in _each(parts, "groups")),
        faults=tuple(_fault(place, ids) for place in _each(parts, "faults")),
        version=_text(parts, "version", known.version),
        oldest_version=_text(parts, "oldest_version", known.oldest_version),
    )


def _app(place: Place) -> AppPlan:
    parts = place.mapping(
        "id", "name", "secret", "hourly_calls", "require_proof", "usage", "regain"
    )
    plain = AppPlan("")
    usage = parts["usage"].entries() if "usage" in parts else {}
    return AppPlan(
        id=place.required(parts, "id"),
        name=_text(parts, "name", plain.name),
        secret=_text(parts, "secret", plain.secret),
        hourly_calls=parts["hourly_calls"].whole() if "hourly_calls" in parts else None,
        require_proof="require_proof" in parts and parts["require_proof"].yes(),
        usage={key: value.whole() or 0 for key, value in usage.items()} or None,
        regain=parts["regain"].span() if "regain" in parts else None,
    )


def _owner(place: Place, owners: Mapping[str, Owner]) -> Owner:
    if place.is_text:
        known = place.one_of(owners, "owner")
        return owners.get(known, Owner(""))
    parts = place.mapping("email", "name", "locale", "timezone", "cc")
    email = place.required(parts, "email")
    rest = {key: value.text() for key, value in parts.items() if key != "email"}
    return Owner(email, **rest)


def _token(
    place: Place,
    parts: Mapping[str, Place],
    apps: tuple[str, ...],
    owners: Mapping[str, Owner],
) -> TokenPlan:
    place.required(parts, "id")
    place.required(parts, "app")
    plan = TokenPlan(_text(parts, "id", ""), _text(parts, "app", ""))
    if "app" in parts:
        parts["app"].one_of(apps, "app")
    kind = parts["kind"].one_of(_KINDS, "kind") if "kind" in parts else "user"
    events = tuple(_event(each) for each in _each(parts, "events"))
    return replace(
        plan,
        kind=_KINDS.get(kind, "user"),
        token=_text(parts, "token", ""),
        user_id=_text(parts, "user_id", ""),
        profile_id=_text(parts, "profile_id", ""),
        expires_in=_span(parts, "expires_in", plan.expires_in),
        data_access_expires_in=_span(
            parts, "data_access_expires_in", plan.data_access_expires_in
        ),
        issued_ago=_span(parts, "issued_ago", plan.issued_ago),
        scopes=_texts(parts["scopes"]) if "scopes" in parts else plan.scopes,
        targets={key: _texts(value) for key, value in _entries(parts, "targets")},
        owner=_owner(parts["owner"], owners) if "owner" in parts else plan.owner,
        name=_text(parts, "name", ""),
        used_for=_text(parts, "used_for", ""),
        labels={key: value.text() for key, value in _entries(parts, "labels")},
        inventory={key: value.text() for key, value in _entries(parts, "inventory")},
        events=tuple(sorted(events, key=lambda event: event.after)),
    )


def _event(place: Place) -> Event:
    parts = place.mapping("after", "state")
    text = place.required(parts, "state")
    state = State("valid")
    if "state" in parts:
        try:
            state = State.parse(text)
        except ValueError as error:
            parts["state"].fault(f"{error}; docs/sandbox.md lists them")
    return Event(_span(parts, "after", None) or timedelta(0), state)


def _group(place: Place, apps: tuple[str, ...], owners: Mapping[str, Owner]) -> Group:
    parts = place.mapping(*_TOKEN_KEYS, "count", "per_owner")
    if "{n}" not in place.required(parts, "id"):
        place.fault("the id of a group needs `{n}`, the number of its member")
    if "token" in parts:
        parts["token"].fault("the tokens of a group are made up, never given")
    place.required(parts, "count")
    count = parts["count"].whole() if "count" in parts else None
    per_owner = parts["per_owner"].whole() if "per_owner" in parts else None
    return Group(_token(place, parts, apps, owners), count or 0, per_owner or 1)


def _fault(place: Place, apps: tuple[str, ...]) -> Fault:
    parts = place.mapping("after", "for", "app", "fault", "share")
    text = place.required(parts, "fault")
    fault = Fault("hang")
    if "fault" in parts:
        try:
            fault = Fault.parse(text)
        except ValueError as error:
            parts["fault"].fault(f"{error}; docs/sandbox.md lists them")
    app = parts["app"].one_of(("all", *apps), "app") if "app" in parts else "all"
    return replace(
        fault,
        after=_span(parts, "after", None) or timedelta(0),
        lasting=_span(parts, "for", None),
        app=None if app == "all" else app,
        share=parts["share"].share() if "share" in parts else 1.0,
    )


def _each(parts: Mapping[str, Place], key: str) -> tuple[Place, ...]:
    return parts[key].items() if key in parts else ()


def _entries(parts: Mapping[str, Place], key: str) -> Iterator[tuple[str, Place]]:
    return iter(parts[key].entries().items() if key in parts else ())


def _text(parts: Mapping[str, Place], key: str, otherwise: str) -> str:
    return parts[key].text() if key in parts else otherwise


def _texts(place: Place) -> tuple[str, ...]:
    return tuple(each.text() for each in place.items())


def _span(
    parts: Mapping[str, Place], key: str, otherwise: timedelta | None
) -> timedelta | None:
    return parts[key].span() if key in parts else otherwise
