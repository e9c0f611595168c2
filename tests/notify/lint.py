"""The rules of a letter that a machine can check, each a function to its faults.

What differs between languages is in `phrases/<language>.toml`.
"""

import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email import message_from_bytes, policy
from functools import cache
from html import unescape
from html.parser import HTMLParser
from itertools import count
from pathlib import Path

from monitor.core.delivery import Letter, Role
from monitor.core.incident import Reason
from monitor.core.tokens import SYSTEM_USER
from monitor.core.verdict import Audience
from monitor.notify.compose import Composed
from monitor.notify.facts import OPERATORS_PRODUCT, told_findings
from monitor.notify.safe import clean
from monitor.notify.templates import Shelf, built_in
from monitor.notify.words import locale_chain
from monitor.notify.wrapping import width

Rule = Callable[[Letter, Composed], Iterator[str]]

ALLOWED_HOSTS = {"app.acme.example", "monitor.acme.example"}
_PHRASES = Path(__file__).parent / "phrases"
_URL = re.compile(r"https?://[^\s<>\"]+")
_TOKEN = re.compile(r"\bEAA\w{8,}|\bIG\w{16,}|\d{5,}\|")
_EMPTY = r'""|„“|“”|«\s*»|「」| ,| \.(?!\w)|\(\)|\uff08\uff09'
"""Quotes or brackets with nothing between them, and what stands before a stop."""
_END = "(?<=[.?:\u061f])\\s+|(?<=[\u3002\uff1f])"
"""Where a sentence ends, in Arabic and in Japanese too."""
_MAIL = re.compile(r"[\w.+…-]+@[\w.-]+\.\w+", re.ASCII)


@dataclass(frozen=True)
class Phrases:
    """What the rules look for in one language."""

    happened: str
    do: str
    why: str
    never: list[str]
    """How a reader is told that nobody asks for secrets."""
    asks: str
    """What would ask for one."""


@cache
def phrases(locale: str) -> Phrases:
    """The phrases of the language that a reader of the locale gets."""
    for tag in locale_chain(locale):
        path = _PHRASES / f"{tag}.toml"
        if path.is_file():
            return Phrases(**tomllib.loads(path.read_text(encoding="utf-8")))
    raise LookupError(locale)


class _Page(HTMLParser):
    """The words, the links and the tags of an HTML part."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.lang: str | None = None
        self.buttons = 0
        self._silent = False
        self._steps: Iterator[int] | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._silent = tag in {"style", "title"}
        if tag in {"ol", "ul"}:
            self._steps = count(1) if tag == "ol" else None
        if tag == "li" and self._steps is not None:
            self.words.append(f"{next(self._steps)}.")
        found = dict(attrs)
        if tag == "html":
            self.lang = found.get("lang")
        if tag == "a":
            self.links.append(found.get("href") or "")
        self.buttons += found.get("class") == "button"

    def handle_endtag(self, tag: str) -> None:
        self._silent &= tag not in {"style", "title"}

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.words.append(data)


def page(composed: Composed) -> _Page:
    return _Page(composed.html)


def plain(text: str) -> str:
    """Words only: what both parts must say."""
    text = re.sub(r"^(-|--) ?|^-{3,}$", "", text, flags=re.MULTILINE)
    return "".join(re.sub("[\\s:`\uff1a-]", "", unescape(text)))


def subject_is_calm(letter: Letter, composed: Composed) -> Iterator[str]:
    subject = composed.subject
    if len(subject) > 100:
        yield f"{len(subject)} characters"
    if "!" in subject:
        yield "an exclamation mark"
    if shouted := re.findall(r"\b[A-Z]{5,}\b", subject):
        yield f"capitals: {shouted}"


def subject_names_product_and_object(
    letter: Letter, composed: Composed
) -> Iterator[str]:
    product = letter.product
    if letter.role is Role.OPERATOR:
        product = OPERATORS_PRODUCT
    if not composed.subject.startswith(f"[{product}] "):
        yield "the product is not first"
    item = letter.items[0]
    names = ("recipient", "stranded", "organ", "period")
    facts = (item.facts.get(name) for name in names)
    known_by = {item.name, item.token_id, *facts} - {None} or {item.app_name}
    if ":" not in item.subject:
        return  # a matter there is only one of
    # A long name is shortened, to a dozen characters at least.
    if not any(name and name[:11] in composed.subject for name in known_by):
        yield "nothing is named"


def one_primary_link(letter: Letter, composed: Composed) -> Iterator[str]:
    buttons, lead = page(composed).buttons, letter.items[0]
    asked = letter.role is not Role.OPERATOR and lead.reason is not Reason.RESOLVED
    audience = told_findings(lead, letter.role)[0].meaning.audience
    mendable = audience is Audience.OWNER and lead.kind != SYSTEM_USER
    wanted = asked and mendable and lead.reauthorize_url
    if buttons != bool(wanted):
        yield f"{buttons} buttons"


def links_go_where_they_say(letter: Letter, composed: Composed) -> Iterator[str]:
    in_text, in_html = _URL.findall(composed.text), page(composed).links
    if set(in_text) != set(in_html):
        yield f"the parts differ: {set(in_text) ^ set(in_html)}"
    for url in {*in_text, *in_html}:
        host = url.split("/")[2]
        if not url.startswith("https:"):
            yield f"not https: {url}"
        if host not in ALLOWED_HOSTS:
            yield f"a host that is not allowed: {host}"
        lines = composed.text.split("\n")
        at = next((n for n, line in enumerate(lines) if url in line), 0)
        if host not in " ".join(lines[max(at - 2, 0) : at]):
            yield f"the words before the link do not name {host}"


def both_parts_say_the_same(letter: Letter, composed: Composed) -> Iterator[str]:
    in_html = plain(" ".join(page(composed).words))
    in_text = plain(composed.text)
    if in_html != in_text:
        yield "the words differ"


def dates_have_a_zone(letter: Letter, composed: Composed) -> Iterator[str]:
    """A year is followed by a time, a time by a zone; 2024 is history."""
    text = " ".join(_URL.sub("", composed.text).split())
    for date in re.findall(r"(?<![\d-])20(?!24)\d\d(?!-W)\D.{0,22}", text):
        if not re.search(r"\d\d:\d\d(:\d\d)? (UTC|[A-Z]{2,5})(?![A-Za-z])", date):
            yield f"no time or zone: {date}"
    for time in re.findall(r"(?<!\d)\d\d:\d\d(?!\d).{0,8}", text):
        if not re.match(r"\d\d:\d\d(:\d\d)? [A-Z]{2,5}", time):
            yield f"no zone: {time}"


def sections_are_there(letter: Letter, composed: Composed) -> Iterator[str]:
    known = phrases(letter.locale)
    for heading in (known.happened, known.do, known.why):
        line = rf"^{re.escape(heading)}.*\n-{{3,}}$"
        if not re.search(line, composed.text, re.MULTILINE):
            yield f"lacks {heading}"


def nothing_is_left_unfilled(letter: Letter, composed: Composed) -> Iterator[str]:
    for found in re.findall(r"\bNone\b|\{\{|\{%|\}\}|\[\]|Undefined", composed.text):
        yield f"a placeholder: {found}"
    if re.search(_EMPTY, composed.text):
        yield "an empty place"
    if re.search("[\ue000-\uf8ff]", composed.text + composed.html):
        yield "a mark of our own"


def no_secret_and_no_foreign_address(
    letter: Letter, composed: Composed
) -> Iterator[str]:
    everything = composed.subject + composed.text + composed.html
    if _TOKEN.search(everything):
        yield "something like a token"
    masked = {item.facts.get("recipient", "") for item in letter.items}
    for address in set(_MAIL.findall(everything)) - masked - {"support@acme.example"}:
        yield f"an address: {address}"


def sentences_are_short(letter: Letter, composed: Composed) -> Iterator[str]:
    body = _URL.sub("", composed.text)
    paragraphs = [" ".join(p.split()) for p in body.split("\n\n")]
    sentences = [
        sentence
        for paragraph in paragraphs
        for sentence in re.split(_END, paragraph)
        if sentence
    ]
    average = sum(_words(s) for s in sentences) / len(sentences)
    if average > 20:
        yield f"{average:.1f} words a sentence"


def _words(sentence: str) -> float:
    """Its words; of what is written without spaces, three characters count as one."""
    wide = width(sentence) - len(sentence)
    return wide / 3 if wide > len(sentence) / 2 else len(sentence.split())


def it_never_asks_for_a_secret(letter: Letter, composed: Composed) -> Iterator[str]:
    text, known = " ".join(composed.text.split()), phrases(letter.locale)
    packed = text.replace(" ", "")
    if not any(said.replace(" ", "") in packed for said in known.never):
        yield "does not say that we never ask for secrets"
    if re.search(known.asks, text):
        yield "asks for a secret"


def at_most_four_steps(letter: Letter, composed: Composed) -> Iterator[str]:
    if re.search(r"^5\. ", composed.text, re.MULTILINE):
        yield "more than four steps"


def it_is_small(letter: Letter, composed: Composed) -> Iterator[str]:
    if len(composed.raw) > 100_000:
        yield f"{len(composed.raw)} bytes"


def lines_are_not_too_wide(letter: Letter, composed: Composed) -> Iterator[str]:
    for line in composed.text.split("\n"):
        if width(line) > 76 and not _URL.search(line):
            yield f"{len(line)} characters: {line}"


def the_page_is_quiet(letter: Letter, composed: Composed) -> Iterator[str]:
    seen = page(composed)
    if seen.lang is None:
        yield "no language"
    for tag in {"img", "script", "link", "iframe", "form", "input"} & set(seen.tags):
        yield f"<{tag}>"
    if re.search(r"url\(|@import|src=", composed.html):
        yield "something remote"


def capped_lists_say_so(letter: Letter, composed: Composed) -> Iterator[str]:
    left_out = len(letter.items) - 100
    if left_out > 0 and _further(letter, left_out) not in composed.text:
        yield "what is left out is not counted"
    names = {clean(item.name or "") for item in letter.items} - {""}
    said = " ".join(composed.text.split())
    shown = sum(bool(re.search(rf"{re.escape(name)}\b", said)) for name in names)
    if shown > 100 + 3:
        yield f"{shown} matters"


def _further(letter: Letter, left_out: int) -> str:
    return Shelf(built_in()).book(letter.locale).words.count("further", left_out)


def headers_are_complete(letter: Letter, composed: Composed) -> Iterator[str]:
    seen = message_from_bytes(composed.raw, policy=policy.default)
    names = [name.lower() for name in seen]
    wanted = set(_HEADERS) - {"reply-to"}
    if letter.references:
        wanted.add("references")
    if letter.mute_url:
        wanted |= {"list-unsubscribe", "list-unsubscribe-post"}
    for name in sorted(wanted - set(names)):
        yield f"lacks {name}"
    for name in sorted(set(names) - wanted - {"reply-to", "cc"}):
        yield f"has {name}"
    if len(set(names)) != len(names):
        yield "has a header twice"
    if seen["message-id"] != letter.message_id:
        yield "another Message-ID"
    if len(seen["to"].addresses) != 1:
        yield "not one To"
    if not composed.raw.isascii():
        yield "is not 7-bit"


_HEADERS = (
    "from",
    "to",
    "reply-to",
    "subject",
    "date",
    "message-id",
    "auto-submitted",
    "list-id",
    "x-token-monitor-incident",
    "x-token-monitor-reason",
    "mime-version",
    "content-type",
)
"""Source: the headers every letter has, docs/mails.md."""


RULES: tuple[Rule, ...] = (
    subject_is_calm,
    subject_names_product_and_object,
    one_primary_link,
    links_go_where_they_say,
    both_parts_say_the_same,
    dates_have_a_zone,
    sections_are_there,
    nothing_is_left_unfilled,
    no_secret_and_no_foreign_address,
    sentences_are_short,
    it_never_asks_for_a_secret,
    at_most_four_steps,
    it_is_small,
    lines_are_not_too_wide,
    the_page_is_quiet,
    capped_lists_say_so,
    headers_are_complete,
)
