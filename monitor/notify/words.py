"""Put into words: dates in the reader's zone, days as people count them, scopes."""

import configparser
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from babel import Locale
from babel.core import UnknownLocaleError
from babel.dates import format_datetime, format_timedelta
from babel.lists import format_list
from babel.numbers import format_decimal

from monitor.notify.safe import clean

_DAY: Final = timedelta(days=1)
_HOUR: Final = timedelta(hours=1)
_MINUTE: Final = timedelta(minutes=1)
_NEVER_COARSER: Final = 1e9
"""Above every count, so that Babel says "in 14 days" and not "in 2 weeks"."""


@lru_cache(maxsize=256)
def zone_named(name: str) -> tzinfo:
    """The zone of that IANA name; UTC if there is none."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; not a name; a folder
        return UTC


@lru_cache(maxsize=256)
def locale_chain(tag: str) -> tuple[str, ...]:
    """The languages to try for a reader, best first, English last.

    >>> locale_chain("fr_ca")
    ('fr-CA', 'fr', 'en')
    """
    tag = tag.replace("_", "-")
    chain = []
    if re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}", tag):
        language, *rest = tag.split("-")
        parts = [language.lower(), *(_written(part) for part in rest)]
        chain = ["-".join(parts[:n]) for n in range(len(parts), 0, -1)]
    return (*chain, "en") if "en" not in chain else tuple(chain)


def _written(subtag: str) -> str:
    """A region as `BR`, a script as `Hant`: RFC 5646, section 2.1.1."""
    by_length = {2: str.upper, 4: str.title}
    return by_length.get(len(subtag), str.lower)(subtag)


@lru_cache(maxsize=256)
def babel_locale(tag: str) -> Locale:
    """What Babel knows of the language; English if nothing."""
    try:
        return Locale.parse(tag, sep="-")
    except (ValueError, UnknownLocaleError):
        return Locale("en")


_PLACE: Final = re.compile(r"\{(\w*)\}")
_PLACES: Final = frozenset({"n", "name", "id", "at", "relative", "words"})


def whole_number(n: int, locale: Locale) -> str:
    """The number as the language writes it: `2,310`, `2.310`."""
    return str(n) if abs(n) < _GROUPED else format_decimal(n, locale=locale)


_GROUPED: Final = 1000


@dataclass(frozen=True, slots=True)
class Counted:
    """A phrase with a number, in each form its language counts in."""

    locale: Locale
    forms: Mapping[str, str]
    """By CLDR's category: `one`, `few`, `other`…"""

    def say(self, n: int) -> str:
        """The phrase for so many.

        Source: unicode.org/reports/tr35/tr35-numbers.html, "Language Plural Rules".
        """
        form = self.forms.get(self.locale.plural_form(n)) or self.forms["other"]
        return form.replace("{n}", whole_number(n, self.locale))


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The small words of one language: `words.txt` of its folder."""

    dates: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    counted: Mapping[str, Counted] = field(default_factory=dict)
    scopes: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str, locale: Locale) -> "Vocabulary":
        """The vocabulary of a file of the INI kind; any section may be missing.

        Raises:
            configparser.Error: It is not such a file.
            ValueError: A phrase cannot be used; the text says which, and why.
        """
        parser = configparser.ConfigParser(
            interpolation=None, delimiters=("=",), comment_prefixes=("#",)
        )
        parser.read_string(text)
        known = ("dates", "names", "counted", "scopes")
        for name in parser.sections():
            if name not in known:
                raise ValueError(f"[{name}] is none of its sections")
            for key, phrase in parser[name].items():
                _checked(name, key, phrase, locale)
        dates, names, counted, scopes = (
            dict(parser[name]) if parser.has_section(name) else {} for name in known
        )
        forms: dict[str, dict[str, str]] = {}
        for key, phrase in counted.items():
            name, _, form = key.partition(".")
            forms.setdefault(name, {})[form] = phrase
        for name, given in forms.items():
            if "other" not in given:
                raise ValueError(f"[counted] {name} lacks {name}.other")
        return cls(
            dates,
            names,
            {name: Counted(locale, given) for name, given in forms.items()},
            scopes,
        )

    def over(self, other: "Vocabulary") -> "Vocabulary":
        """These words, and the other's for what these lack."""
        return Vocabulary(
            {**other.dates, **self.dates},
            {**other.names, **self.names},
            {**other.counted, **self.counted},
            {**other.scopes, **self.scopes},
        )

    def say(self, key: str, **values: str) -> str:
        """The phrase `key`, its `{places}` filled; values are not read again."""
        phrase = self.names[key]
        return _PLACE.sub(lambda place: values.get(place[1], place[0]), phrase)

    def count(self, key: str, n: int) -> str:
        """The counted phrase `key` for so many.

        Raises:
            KeyError: There is no such phrase.
        """
        return self.counted[key].say(n)

    def scope(self, name: str) -> str:
        """What a permission lets an app do, in words a page owner knows."""
        return self.scopes.get(name, clean(name, 60))

    def scope_in_full(self, name: str) -> str:
        """The same with Facebook's name of it, by which it can be found."""
        words = self.scopes.get(name)
        return (
            self.say("permission", words=words, name=name) if words else clean(name, 60)
        )


def _checked(section: str, key: str, phrase: str, locale: Locale) -> None:
    if not phrase:
        raise ValueError(f"[{section}] {key} is empty")
    for place in _PLACE.findall(phrase):
        if place not in _PLACES:
            raise ValueError(f"[{section}] {key} has an unknown place {{{place}}}")
    if section == "counted":
        form = key.partition(".")[2]
        if form not in {*locale.plural_form.tags, "other"}:
            raise ValueError(
                f"[counted] {key}: expected one of the forms"
                f" {', '.join(sorted({*locale.plural_form.tags, 'other'}))}"
            )


@dataclass(frozen=True, slots=True)
class Calendar:
    """How one reader counts and writes time."""

    words: Vocabulary
    locale: Locale
    zone: tzinfo
    now: datetime

    def moment(self, at: datetime) -> dict[str, str | int | bool]:
        """An instant in all the forms a sentence may need.

        `full` "Thu 26 Nov 2026, 09:00 CET (in 3 days)"; `at` the same without the
        days; `day` "Thu 26 Nov", with its year if that is not this one; `relative`
        "in 3 days" by calendar days of the reader's zone; `left` "3 days", "5 hours".
        """
        local, today = self._local(at), self._local(self.now)
        days = (local.date() - today.date()).days
        moment = f"{self._format('moment', local)} {_zone_name(local)}"
        pattern = "day" if local.year == today.year else "day_and_year"
        relative = self._relative(days)
        return {
            "full": self.words.say("full", at=moment, relative=relative),
            "at": moment,
            "day": self._format(pattern, local),
            "relative": relative,
            "left": self._left(at - self.now, days),
            "days": days,
            "past": at <= self.now,
        }

    def listed(self, names: Sequence[str], most: int = 3) -> str:
        """Names joined as the language joins them, with a count of those left out."""
        shown = list(names[:most])
        if len(names) > most:
            shown.append(self.words.count("more", len(names) - most))
        return format_list(shown, locale=self.locale)

    def _local(self, at: datetime) -> datetime:
        try:
            return at.astimezone(self.zone)
        except OverflowError:  # the first or the last day of the calendar
            return at.astimezone(UTC)

    def _format(self, pattern: str, local: datetime) -> str:
        return format_datetime(local, self.words.dates[pattern], locale=self.locale)

    def _relative(self, days: int) -> str:
        near = {-1: "yesterday", 0: "today", 1: "tomorrow"}.get(days)
        if near is not None:
            return self.words.dates[near]
        return format_timedelta(
            timedelta(days=days),
            granularity="day",
            threshold=_NEVER_COARSER,
            add_direction=True,
            locale=self.locale,
        )

    def _left(self, left: timedelta, days: int) -> str:
        """What is left: whole days as the calendar has them, then hours, minutes."""
        if days > 1 and left >= _DAY:
            amount, unit = timedelta(days=days), "day"
        elif left >= _HOUR:
            amount, unit = (left // _HOUR) * _HOUR, "hour"
        else:
            amount, unit = max(left // _MINUTE, 1) * _MINUTE, "minute"
        return format_timedelta(
            amount,
            granularity=unit,  # type: ignore[arg-type] # a literal, one of its own
            threshold=_NEVER_COARSER,
            locale=self.locale,
        )


def _zone_name(local: datetime) -> str:
    """`CET`; where a zone has digits for a name, `UTC-03:00`."""
    name = local.tzname() or "UTC"
    if name.isascii() and name.isalpha():
        return name
    offset = local.strftime("%z")
    return f"UTC{offset[:3]}:{offset[3:5]}"
