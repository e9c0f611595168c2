"""Letters as people get them: reviewed as files, and held to the rules of letters."""

from collections.abc import Callable
from configparser import ConfigParser
from dataclasses import replace
from pathlib import Path

import pytest

from monitor.core.delivery import Letter
from monitor.core.tokens import Code
from monitor.notify.compose import Composed
from monitor.notify.facts import HAPPENED, PARTS, RESOLVED
from monitor.notify.samples import occurring, sample_letters, sample_now
from monitor.notify.templates import built_in
from monitor.notify.words import babel_locale
from tests.notify import lint
from tests.notify.rewrite import (
    LANGUAGES,
    MAILS,
    a_composer,
    composed_samples,
    files,
)

LETTERS = dict(sample_letters())
FILES = sorted({f"{name.partition('.')[0]}.txt" for name in LETTERS})


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("file", FILES)
def test_letters_read_as_they_were_reviewed(file: str, language: str):
    """If the wording is meant: `make mails`, then read the difference."""
    kept = (MAILS / language / file).read_text(encoding="utf-8")
    assert files(language)[file] == kept


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_reviewed_letter_is_still_written(language: str):
    assert sorted(path.name for path in (MAILS / language).iterdir()) == FILES


def test_every_reviewed_language_is_still_there():
    assert sorted(path.name for path in MAILS.iterdir()) == LANGUAGES


@pytest.mark.parametrize("code", Code)
def test_every_code_has_a_letter_for_every_reason_it_can_have(code: Code):
    for reason in occurring(code):
        assert f"{code}.{reason}.page" in LETTERS


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("code", Code)
def test_every_code_has_a_paragraph_in_every_language(code: Code, language: str):
    """Its own words, and not those that a reader would fall back to."""
    words = (built_in() / language / "findings" / f"{code}.txt").read_text("utf-8")
    english = (built_in() / "en" / "findings" / f"{code}.txt").read_text("utf-8")
    for section in ("subject", *PARTS, HAPPENED, RESOLVED):
        assert f"[{section}]\n" in words
    assert language == "en" or words != english


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_every_file_and_phrase(language: str):
    ours, english = built_in() / language, built_in() / "en"
    names = {str(path.relative_to(english)) for path in english.rglob("*.txt")}
    assert {str(path.relative_to(ours)) for path in ours.rglob("*.txt")} >= names
    words, wanted = (_keys(folder / "words.txt") for folder in (ours, english))
    assert wanted - words == set()


def _keys(path: Path) -> set[tuple[str, str]]:
    """The phrases of a file; of a counted one its name, without its form."""
    parser = ConfigParser(interpolation=None, delimiters=("=",))
    parser.read_string(path.read_text(encoding="utf-8"))
    return {
        (section, key.partition(".")[0])
        for section in parser.sections()
        for key in parser[section]
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_phrase_has_every_form_of_its_language(language: str):
    """So that no number is said in the form of another."""
    parser = ConfigParser(interpolation=None, delimiters=("=",))
    parser.read_string((built_in() / language / "words.txt").read_text("utf-8"))
    forms = {*babel_locale(language).plural_form.tags, "other"}
    given: dict[str, set[str]] = {}
    for key in parser["counted"]:
        name, _, form = key.partition(".")
        given.setdefault(name, set()).add(form)
    lacking = {name: forms - has for name, has in given.items() if forms - has}
    assert language == "en" or lacking == {}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("rule", lint.RULES, ids=lambda rule: rule.__name__)
def test_every_letter_keeps_the_rules(rule: lint.Rule, language: str):
    found = {
        name: faults
        for name, letter in sample_letters(language)
        if (faults := list(rule(letter, composed_samples(language)[name])))
    }
    assert found == {}


def _text(old: str, new: str) -> Callable[[Composed], Composed]:
    def change(letter: Composed) -> Composed:
        assert old in letter.text
        return replace(letter, text=letter.text.replace(old, new))

    return change


def _html(old: str, new: str) -> Callable[[Composed], Composed]:
    def change(letter: Composed) -> Composed:
        assert old in letter.html
        return replace(letter, html=letter.html.replace(old, new))

    return change


def _raw(old: bytes, new: bytes) -> Callable[[Composed], Composed]:
    def change(letter: Composed) -> Composed:
        assert old in letter.raw
        return replace(letter, raw=letter.raw.replace(old, new, 1))

    return change


def _subject(new: str) -> Callable[[Composed], Composed]:
    return lambda letter: replace(letter, subject=new)


_LINK = "https://app.acme.example/connect/facebook?token=page-17"
PLANTED: dict[lint.Rule, list[Callable[[Composed], Composed]]] = {
    lint.subject_is_calm: [
        _subject('[Acme Publisher] "Bakery North" ' + "x" * 100),
        _subject('[Acme Publisher] "Bakery North" ends today!'),
        _subject('[Acme Publisher] "Bakery North" ends URGENT'),
    ],
    lint.subject_names_product_and_object: [
        _subject('Facebook access for "Bakery North" ends'),
        _subject("[Acme Publisher] Action required"),
    ],
    lint.one_primary_link: [
        _html('class="url"', 'class="button"'),
        _html('class="button"', 'class="url"'),
    ],
    lint.links_go_where_they_say: [
        _text(_LINK, "https://elsewhere.example/"),
        _text("https:", "http:"),
        _html(f'href="{_LINK}"', 'href="https://elsewhere.example"'),
        _text("Reconnect at app.acme.example:", "Reconnect here:"),
    ],
    lint.both_parts_say_the_same: [_html("Bakery North", "Bakery South")],
    lint.dates_have_a_zone: [_text("10:00 CET", "10:00"), _text(", 10:00 CET", "")],
    lint.sections_are_there: [_text("What to do\n", "Steps\n")],
    lint.nothing_is_left_unfilled: [
        _text("Hello Jane Doe", "Hello None"),
        _text("Bakery North", ""),
        _text("Jane Doe", "{{ reader }}"),
        _text("Jane", "\ue000Jane"),
    ],
    lint.no_secret_and_no_foreign_address: [
        _text("Jane Doe", "EAAGm0PX4ZCpsBA"),
        _text("Jane Doe", "1234567890|abc"),
        _text("Jane Doe", "john@other.example"),
    ],
    lint.sentences_are_short: [
        lambda letter: replace(letter, text="word " * 30 + ".\n\n" + "word " * 12)
    ],
    lint.it_never_asks_for_a_secret: [
        _text("never ask for", "ask for"),
        _text("Hello", "Please send your password. Hello"),
    ],
    lint.at_most_four_steps: [_text("4. ", "5. ")],
    lint.it_is_small: [lambda letter: replace(letter, raw=b"x" * 100_001)],
    lint.lines_are_not_too_wide: [_text("Hello", "Hello" * 20)],
    lint.the_page_is_quiet: [
        _html(' lang="en"', ""),
        _html("</p>", '</p><img alt="">'),
        _html("background: #ffffff", "background: url(x)"),
    ],
    lint.headers_are_complete: [
        _raw(b"Auto-Submitted: auto-generated\r\n", b""),
        _raw(b"List-Id:", b"Bcc: eve@evil.example\r\nList-Id:"),
        _raw(b"<9c41.", b"<other."),
        _raw(b"To: ", b"To: eve@evil.example, "),
        _raw(b"Hello", "Höllo".encode()),
        _raw(b"Date:", b"X-Token-Monitor-Reason: closer\r\nDate:"),
    ],
}


def test_every_rule_is_controlled():
    assert {*PLANTED, lint.capped_lists_say_so} == set(lint.RULES)


@pytest.mark.parametrize(
    ("rule", "plant"),
    [
        pytest.param(rule, plant, id=f"{rule.__name__}-{number}")
        for rule, plants in PLANTED.items()
        for number, plant in enumerate(plants)
    ],
)
def test_a_rule_catches_what_it_is_for(
    rule: lint.Rule, plant: Callable[[Composed], Composed]
):
    name = "expiring.opened.page"
    assert list(rule(LETTERS[name], plant(composed_samples()[name])))


def test_the_rule_of_capped_lists_catches_what_it_is_for():
    letter = LETTERS["many.opened.capped"]
    written = composed_samples()["many.opened.capped"]
    uncounted = replace(written, text=written.text.replace("And 12 more", ""))
    assert list(lint.capped_lists_say_so(letter, written)) == []
    assert list(lint.capped_lists_say_so(letter, uncounted))
    every = " ".join(f'"{item.name}"' for item in letter.items)
    uncapped = replace(written, text=f"And 12 more {every}")
    assert list(lint.capped_lists_say_so(letter, uncapped))


def test_every_rule_has_a_control():
    assert {*PLANTED, lint.capped_lists_say_so} == set(lint.RULES)


def test_equal_letters_are_equal_bytes():
    letter: Letter = LETTERS["expiring.opened.page"]
    first, second = a_composer(), a_composer.__wrapped__()
    once = first.compose(letter, sample_now())
    assert first.compose(letter, sample_now()) == once
    assert second.compose(letter, sample_now()) == once
