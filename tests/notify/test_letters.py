"""Letters as people get them: reviewed as files, and held to the rules of letters."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

from monitor.core.delivery import Letter
from monitor.core.tokens import Code
from monitor.notify.compose import Composed
from monitor.notify.samples import sample_letters, sample_now
from monitor.notify.templates import built_in
from tests.notify import lint
from tests.notify.rewrite import MAILS, a_composer, as_file, composed_samples

LETTERS = dict(sample_letters())
composed = cache(composed_samples)


@pytest.mark.parametrize("name", LETTERS)
def test_a_letter_reads_as_it_was_reviewed(name: str):
    """If the wording is meant: `python -m tests.notify.rewrite`, then read the diff."""
    kept = (MAILS / f"{name}.txt").read_text(encoding="utf-8")
    assert as_file(composed()[name]) == kept


def test_every_reviewed_letter_is_still_written():
    assert {path.stem for path in MAILS.glob("*.txt")} == set(LETTERS)


@pytest.mark.parametrize("code", Code)
def test_every_code_has_a_paragraph_in_every_language(code: Code):
    languages = [path for path in built_in().iterdir() if path.is_dir()]
    assert languages
    for language in languages:
        assert (language / "findings" / f"{code}.txt").is_file()


@pytest.mark.parametrize("name", LETTERS)
@pytest.mark.parametrize("rule", lint.RULES, ids=lambda rule: rule.__name__)
def test_a_letter_keeps_the_rules(rule: lint.Rule, name: str):
    assert list(rule(LETTERS[name], composed()[name])) == []


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
    lint.one_primary_link: [_html('<p class="url">', '<p class="button">')],
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
        _html("<p>", '<p><img alt="">'),
        _html("background: #ffffff", "background: url(x)"),
    ],
}


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
    assert list(rule(LETTERS[name], plant(composed()[name])))


def test_the_rule_of_capped_lists_catches_what_it_is_for():
    letter = LETTERS["many.opened.capped"]
    written = composed()["many.opened.capped"]
    uncounted = replace(written, text=written.text.replace("And 12 more", ""))
    assert list(lint.capped_lists_say_so(letter, uncounted))
    every = " ".join(f'"{item.name}"' for item in letter.items)
    uncapped = replace(written, text=f"And 12 more {every}")
    assert list(lint.capped_lists_say_so(letter, uncapped))


def test_every_rule_has_a_control():
    assert {*PLANTED, lint.capped_lists_say_so} == set(lint.RULES)


def test_equal_letters_are_equal_bytes():
    letter: Letter = LETTERS["expiring.opened.page"]
    first, second = a_composer(), a_composer()
    once = first.compose(letter, sample_now())
    assert first.compose(letter, sample_now()) == once
    assert second.compose(letter, sample_now()) == once
