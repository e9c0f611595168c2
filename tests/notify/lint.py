"""The rules of a letter that a machine can check, each a function to its faults."""

import re
from collections.abc import Callable, Iterator
from html import unescape
from html.parser import HTMLParser

from monitor.core.delivery import Letter, Role
from monitor.notify.compose import Composed
from monitor.notify.facts import OPERATORS_PRODUCT
from monitor.notify.safe import clean

Rule = Callable[[Letter, Composed], Iterator[str]]

ALLOWED_HOSTS = {"app.acme.example"}
_URL = re.compile(r"https?://[^\s<>\"]+")
_MONTHS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
_TOKEN = re.compile(r"\bEAA\w{8,}|\bIG\w{16,}|\d{5,}\|")
_MAIL = re.compile(r"[\w.+…-]+@[\w.-]+\.\w+")


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
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._silent = tag in {"style", "title"}
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
    text = re.sub(r"^(\d+\.|-|--) ?|^-{3,}$", "", text, flags=re.MULTILINE)
    return "".join(re.sub(r"[\s:-]", "", unescape(text)))


def subject_is_calm(letter: Letter, composed: Composed) -> Iterator[str]:
    subject = composed.subject
    if len(subject) > 100:
        yield f"{len(subject)} characters"
    if "!" in subject:
        yield "an exclamation mark"
    if shouted := re.findall(r"\b[A-Z]{5,}\b", subject):
        yield f"capitals: {shouted}"


NAMES = {"rows": "stored rows"}
"""What is called by a name of its own, and belongs to no app."""


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
    known_by = {item.name, item.token_id, *facts} - {None}
    known_by = known_by or {NAMES.get(item.subject, item.app_name)}
    if ":" not in item.subject:  # a matter there is only one of
        known_by.add(item.subject)
    if not any(name and name in composed.subject for name in known_by):
        yield "nothing is named"


def one_primary_link(letter: Letter, composed: Composed) -> Iterator[str]:
    buttons = page(composed).buttons
    if buttons > 1:
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
    text = " ".join(composed.text.split())
    for date in re.findall(rf"\b\d{{1,2}} (?:{_MONTHS}) \d{{4}}[^.;]{{0,12}}", text):
        if not re.search(r", \d\d:\d\d [A-Z]{2,5}", date):
            yield f"no time or zone: {date}"


def sections_are_there(letter: Letter, composed: Composed) -> Iterator[str]:
    for heading in ("What happened", "What to do", "Why you got this"):
        if not re.search(rf"^{heading}.*\n-{{3,}}$", composed.text, re.MULTILINE):
            yield f"lacks {heading}"


def nothing_is_left_unfilled(letter: Letter, composed: Composed) -> Iterator[str]:
    for found in re.findall(r"\bNone\b|\{\{|\{%|\}\}|\[\]|Undefined", composed.text):
        yield f"a placeholder: {found}"
    if re.search(r'""| ,| \.(?!\w)|\(\)', composed.text):
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
        for sentence in re.split(r"(?<=[.?:])\s+", paragraph)
        if sentence
    ]
    average = sum(len(s.split()) for s in sentences) / len(sentences)
    if average > 20:
        yield f"{average:.1f} words a sentence"


def it_never_asks_for_a_secret(letter: Letter, composed: Composed) -> Iterator[str]:
    text = " ".join(composed.text.split())
    said = "never asks for a password, a login code or an access token"
    told = "never ask for your password, a login code or an access token"
    if said not in text and told not in text:
        yield "does not say that we never ask for secrets"
    if re.search(r"(send|enter|confirm|reply with) your (password|token|code)", text):
        yield "asks for a secret"


def at_most_four_steps(letter: Letter, composed: Composed) -> Iterator[str]:
    if re.search(r"^5\. ", composed.text, re.MULTILINE):
        yield "more than four steps"


def it_is_small(letter: Letter, composed: Composed) -> Iterator[str]:
    if len(composed.raw) > 100_000:
        yield f"{len(composed.raw)} bytes"


def lines_are_not_too_wide(letter: Letter, composed: Composed) -> Iterator[str]:
    for line in composed.text.split("\n"):
        if len(line) > 76 and not _URL.search(line):
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
    if left_out > 0 and f"And {left_out} more" not in composed.text:
        yield "what is left out is not counted"
    names = {clean(item.name or "") for item in letter.items} - {""}
    shown = sum(f'"{name}"' in composed.text for name in names)
    if shown > 100 + 3:
        yield f"{shown} matters"


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
)
