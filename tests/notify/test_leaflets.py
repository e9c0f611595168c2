"""The page that stops reminders, in every language."""

import re
from pathlib import Path

import pytest

from monitor.app import composer_of
from monitor.config import load
from monitor.core.mute import Scope, Sheet
from monitor.errors import ConfigurationError
from monitor.notify.leaflets import Leaflets
from monitor.notify.templates import built_in
from tests.whole.tools import Place

READER = "ann@bakery.example"
LANGUAGES = sorted(path.name for path in built_in().glob("*/"))
BUTTONS = {Sheet.ON: "off", Sheet.AGAIN: "off", Sheet.OFF: "on"}


def scope_of(*incidents: str, product: str = "Acme Publisher") -> Scope:
    return Scope("0123456789ab", READER, product, "en", incidents)


def the_page(sheet: Sheet, scope: Scope | None, language: str = "en") -> str:
    return Leaflets().page(sheet, scope, language, "a-nonce")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("sheet", list(Sheet))
@pytest.mark.parametrize("incidents", [("i1",), ("i1", "i2")])
def test_every_page_in_every_language(
    language: str, sheet: Sheet, incidents: tuple[str, ...]
) -> None:
    known = sheet not in {Sheet.UNKNOWN, Sheet.LATER}
    page = the_page(sheet, scope_of(*incidents) if known else None, language)
    assert f'<html lang="{language}"' in page
    assert ('dir="rtl"' in page) is (language == "ar")
    assert len(re.findall("<h1>", page)) == 1
    assert re.findall(r'name="reminders" value="(\w+)"', page) == [
        value for each, value in BUTTONS.items() if each is sheet
    ]
    assert READER not in page
    assert ("a…@b….example" in page) is (known and sheet is not Sheet.OVER)
    assert not re.search(r"\{\{|\}\}|\{%|[\ue000\ue001]|None|http|##", page)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_still_comes_is_said_before_and_after(language: str) -> None:
    pages = [the_page(sheet, scope_of("i1"), language) for sheet in BUTTONS]
    asked, _, stopped = (set(re.findall("<li>.*</li>", page)) for page in pages)
    assert len(stopped) == 3
    assert stopped < asked, "which says what stops, too"


def test_a_name_is_no_markup() -> None:
    scope = scope_of("i1", product='</title><script>alert("x")</script>')
    page = the_page(Sheet.ON, scope)
    assert "<script" not in page
    assert page.count("</title>") == 1


def test_words_of_the_operator_win_and_are_tried_at_start(tmp_path: Path) -> None:
    place = Place.make(tmp_path)
    words = place.folder / "words" / "en" / "pages" / "mute.txt"
    words.parent.mkdir(parents=True)
    whole = (built_in() / "en" / "pages" / "mute.txt").read_text(encoding="utf-8")
    words.write_text(whole.replace("Stop reminders?", "Quiet?"), encoding="utf-8")
    place.change("  tls: none", "  tls: none\n  templates: words")
    settings = load(place.config, {})
    composer_of(settings)
    leaflets = Leaflets(settings.mail.templates)
    assert "Quiet?" in leaflets.page(Sheet.ON, scope_of("i1"), "en", "x")
    words.write_text(whole.replace("{{ reader }}", "{{ email }}"), encoding="utf-8")
    with pytest.raises(
        ConfigurationError, match=r"mute\.txt:\d+: 'email' is undefined"
    ):
        composer_of(settings)
    broken = Leaflets(settings.mail.templates)
    page = broken.page(Sheet.ON, scope_of("i1"), "en", "x")
    assert "Stop reminders?" in page, "our own words serve the reader"
