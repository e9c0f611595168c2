"""Small words: phrases that count, and what is refused of a `words.txt`."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from babel import Locale

from monitor.core.incident import Reason
from monitor.core.tokens import Code
from monitor.notify.compose import Composer
from monitor.notify.rendering import TemplateFaultError
from monitor.notify.samples import (
    sample_finding,
    sample_item,
    sample_letter,
    sample_now,
)
from monitor.notify.templates import Shelf, built_in
from monitor.notify.words import Vocabulary, locale_chain

SENDER = "Acme Publisher <tokens@acme.example>"
ARABIC = """
[counted]
pages.zero = none
pages.one = one
pages.two = two
pages.few = {n} few
pages.many = {n} many
pages.other = {n} other
"""


@pytest.mark.parametrize(
    ("n", "said"),
    [
        (0, "none"),
        (1, "one"),
        (2, "two"),
        (3, "3 few"),
        (11, "11 many"),
        (100, "100 other"),
        (1003, "1,003 few"),
    ],
)
def test_a_phrase_is_said_in_the_form_its_language_counts_in(n: int, said: str):
    words = Vocabulary.read(ARABIC, Locale("ar"))
    assert words.count("pages", n) == said


def test_what_a_language_does_not_say_its_fallback_says():
    german = Vocabulary.read("[names]\nnamed = „{name}“\n", Locale("de"))
    english = Vocabulary.read(
        "[names]\nnamed = '{name}'\nrows = rows\n[counted]\nmore.other = {n} more\n",
        Locale("en"),
    )
    both = german.over(english)
    assert both.say("named", name="Nord") == "„Nord“"
    assert both.say("rows") == "rows"
    assert both.count("more", 4) == "4 more"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[names]\nrows = rows\n[name]\nx = y\n", "3: [name] is none of its sections"),
        ("[names]\nrows = x\nnamed = {nam}\n", "3: [names] named has an unknown place"),
        ("[names]\nnamed =\n", "2: [names] named is empty"),
        ("[counted]\nmore.few = {n}\n", "2: [counted] more.few: expected one of"),
        ("[counted]\nmore.one = 1\n", "2: [counted] more lacks more.other"),
        ("[names]\nnamed\n", "2: expected key = phrase"),
        ("[names]\nrows = a\nrows = b\n", "3: "),
    ],
)
def test_a_phrase_that_cannot_be_used_is_refused(tmp_path: Path, text: str, place: str):
    path = tmp_path / "en" / "words.txt"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TemplateFaultError) as found:
        Shelf(tmp_path, built_in()).book("en")
    assert str(found.value).startswith(f"{path}:{place}")


def test_a_template_that_counts_what_no_phrase_counts_is_named(tmp_path: Path):
    path = tmp_path / "en" / "parts" / "stops.txt"
    path.parent.mkdir(parents=True)
    path.write_text('\n{{ 4 | counted("nothing") }}\n', encoding="utf-8")
    composer = Composer(SENDER, templates=tmp_path)
    letter = sample_letter(sample_item(Code.REVOKED))
    what = "words.txt has no [counted] nothing.other"
    assert composer.compose(letter, sample_now()).fell_back == f"{path}:2: {what}"


def test_what_is_no_number_is_printed_as_it_is(tmp_path: Path):
    path = tmp_path / "en" / "parts" / "stops.txt"
    path.parent.mkdir(parents=True)
    path.write_text('{{ reader | counted("more") }}\n', encoding="utf-8")
    composer = Composer(SENDER, templates=tmp_path)
    composed = composer.compose(sample_letter(sample_item(Code.REVOKED)), sample_now())
    assert composed.fell_back is None
    assert "\n\nJane Doe\n\n" in composed.text


def test_a_phrase_that_counts_is_not_isolated_as_a_value():
    five = sample_letter(*(sample_item(Code.REVOKED) for _ in range(5)))
    html = Composer(SENDER).compose(five, sample_now()).html
    assert "(and 4 more)" in html


# --- the language of a reader


@pytest.mark.parametrize(
    ("tag", "chain"),
    [
        ("fr-CA", ("fr-CA", "fr", "en")),
        ("fr_ca", ("fr-CA", "fr", "en")),
        ("ZH-hant-tw", ("zh-Hant-TW", "zh-Hant", "zh", "en")),
        ("en-GB", ("en-GB", "en")),
        ("no such", ("en",)),
        ("", ("en",)),
    ],
)
def test_languages_are_tried_from_near_to_far(tag: str, chain: tuple[str, ...]):
    assert locale_chain(tag) == chain


@pytest.fixture
def two_regions(tmp_path: Path) -> Shelf:
    """Ours, and one language of which there is only one region."""
    for tag in ("xx-BR", "xy", "xy-CA"):
        (tmp_path / tag).mkdir()
        words = f"[subject]\n{tag}\n"
        (tmp_path / tag / "report.txt").write_text(words, encoding="utf-8")
    return Shelf(tmp_path, built_in())


@pytest.mark.parametrize(
    ("tag", "read"),
    [("xx-BR", "xx-BR"), ("xx-PT", "xx-BR"), ("xx", "xx-BR"), ("xy-CH", "xy")],
)
def test_a_region_we_lack_reads_the_nearest_one(
    two_regions: Shelf, tag: str, read: str
):
    assert two_regions.book(tag).render("report.txt", "subject", {}) == read


def test_a_language_we_lack_reads_english(two_regions: Shelf):
    assert two_regions.book("zz").language == "en"
    with pytest.raises(TemplateFaultError):
        two_regions.book("zz").render("report.txt", "subject", {})


# --- what is over


def _subject(*codes: Code, change: Callable[[str], str] = str) -> str:
    item = sample_item(codes[0], reason=Reason.RESOLVED)
    item = replace(item, findings=tuple(sample_finding(code) for code in codes))
    return Composer(SENDER).compose(sample_letter(item), sample_now()).subject


def test_what_is_over_is_said_for_its_cause():
    assert _subject(Code.SCOPES_MISSING).endswith(
        "the Facebook permissions it needs again"
    )
    assert _subject(Code.EXPIRED).endswith("is renewed")


def test_several_causes_that_are_over_are_said_in_common():
    assert _subject(Code.SCOPES_MISSING, Code.EXPIRING).endswith(
        '"Bakery North" is reconnected'
    )


def test_broken_words_of_ours_are_said_in_english(tmp_path: Path):
    """A language whose words fault in a case nobody foresaw costs no letter."""
    shutil.copytree(built_in(), tmp_path, dirs_exist_ok=True)
    (tmp_path / "de" / "parts" / "stops.txt").write_text("{{ nobody }}")
    composer = Composer(SENDER)
    composer._own = composer._shelf = Shelf(tmp_path)
    letter = replace(sample_letter(sample_item(Code.REVOKED)), locale="de")
    composed = composer.compose(letter, sample_now())
    assert (
        composed.subject
        == '[Acme Publisher] Facebook access for "Bakery North" was removed'
    )
    assert (
        composed.fell_back == f"{tmp_path}/de/parts/stops.txt:1: 'nobody' is undefined"
    )
