"""The HTML part of letters, judged by html-validate, axe in Chromium, and caniemail.

All pages are judged in one run, for each start costs seconds. The planted faults are
judged among them.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from monitor.core.delivery import Letter
from monitor.core.tokens import Code
from monitor.notify.samples import sample_item, sample_letter, sample_now
from tests.look.gallery import CHOSEN
from tests.look.tools import needed, run
from tests.notify.rewrite import LANGUAGES, a_composer, composed_samples

Verdict = Mapping[str, Mapping[str, object]]

UNAVOIDABLE: Final = {
    "<style> element": "holds the dark scheme alone; without it letters are light",
    "@media": "the dark scheme, as above",
    "<body> element": "every page has one; its styles are the shade around the letter",
}
"""What some program does not support, and a letter does not need there."""

LONG: Final = {
    "unbroken": "W" * 200,
    "spaced": "Bakery of the Northern Quarter " * 6,
    "other direction": "מאפייה צפונית " * 12,
    "markup": '</span></p></div><h1 style="color:#fff">&amp;<img src=x>' * 3,
    "joined": "👩‍👩‍👧‍👦" * 40,
}


def _long(name: str) -> Letter:
    item = replace(
        sample_item(Code.PASSWORD_CHANGED),
        name=name,
        used_for=name,
        reauthorize_url="https://app.acme.example/connect?to=" + "x" * 900,
    )
    return replace(sample_letter(item), name=name)


def _letters() -> dict[str, str]:
    """Each code in English, and every other language; the longest in both directions.

    Words make no difference to the judges but by their length, and kinds of blocks do.
    """
    pages: dict[str, str] = {}
    seen: set[str] = set()
    for name, composed in composed_samples("en").items():
        code = name.partition(".")[0]
        if name in CHOSEN or code not in seen or code in {"many", "report"}:
            pages[f"en.{name}"] = composed.html
        seen.add(code)
    for language in LANGUAGES:
        for name in CHOSEN[1::2]:
            pages[f"{language}.{name}"] = composed_samples(language)[name].html
    for language in {"en", "ar"} & set(LANGUAGES):
        for why, name in LONG.items():
            letter = replace(_long(name), locale=language)
            composed = a_composer().compose(letter, sample_now())
            pages[f"{language}.long.{why}"] = composed.html
    return pages


def _put(words: str) -> Callable[[str], str]:
    return lambda html: html.replace("</h2>", f"</h2>{words}", 1)


def _swap(old: str, new: str) -> Callable[[str], str]:
    return lambda html: html.replace(old, new)


PLANTED: Final[Mapping[str, tuple[Callable[[str], str], str, str]]] = {
    "unclosed": (_put("<p><em>x</p>"), "grammar", "close-order"),
    "nested": (_put("<p><ol><li>x</ol></p>"), "grammar", "close-order"),
    "no picture words": (_put('<img src="data:,">'), "eye", "image-alt"),
    "pale": (_swap("#57606a;", "#b0b8c0;"), "eye", "color-contrast (light)"),
    "dark on dark": (_swap("#e4e7ea", "#33373b"), "eye", "color-contrast (dark)"),
    "no language": (_swap(' lang="en"', ""), "eye", "html-has-lang"),
    "wide": (_put('<p style="width: 500px">x</p>'), "eye", "wider than the screen"),
    "remote": (
        _put('<img alt="x" src="http://127.0.0.1:9/x.png">'),
        "eye",
        "fetches http://127.0.0.1:9/x.png",
    ),
    "modern": (_put('<p style="display: grid">x</p>'), "mail", "grid"),
    "isolated": (_put("<p><bdi>x</bdi></p>"), "mail", "<bdi> element: gmail"),
}
"""A fault, which judge must see it, and a part of what he says."""


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> Verdict:
    needed()
    folder: Path = tmp_path_factory.mktemp("look")
    pages = _letters()
    sound = pages["en.password_changed.opened.page"]
    for name, (plant, *_) in PLANTED.items():
        pages[f"planted.{name}"] = plant(sound)
        assert pages[f"planted.{name}"] != sound
    for name, html in pages.items():
        (folder / f"{name}.html").write_text(html, encoding="utf-8")
    found: Verdict = run("judge.mjs", folder)
    assert set(found) == {f"{name}.html" for name in pages}
    return found


def _said(verdicts: Verdict, judge: str) -> Mapping[str, list[str]]:
    """The faults of our letters, by the letter."""
    said = {}
    for name, verdict in verdicts.items():
        faults = verdict[judge]
        assert isinstance(faults, list)
        if not name.startswith("planted."):
            said[name] = faults
    assert len(said) > 30
    return {name: faults for name, faults in said.items() if faults}


def test_letters_are_valid_html(verdicts: Verdict):
    assert _said(verdicts, "grammar") == {}


def test_letters_are_accessible_fit_a_phone_and_fetch_nothing(verdicts: Verdict):
    """Both schemes; contrast by WCAG AA."""
    assert _said(verdicts, "eye") == {}


def test_letters_use_what_gmail_outlook_and_apple_mail_support(verdicts: Verdict):
    said = _said(verdicts, "mail")
    features = {
        fault.rpartition(": ")[0] for faults in said.values() for fault in faults
    }
    assert features <= set(UNAVOIDABLE)


@pytest.mark.parametrize("fault", PLANTED)
def test_the_judges_see_what_is_planted(verdicts: Verdict, fault: str):
    _, judge, what = PLANTED[fault]
    faults = verdicts[f"planted.{fault}.html"][judge]
    assert what in str(faults)


def test_a_letter_is_photographed_narrow_and_wide_light_and_dark(tmp_path: Path):
    needed()
    html = composed_samples("en")["expired.opened.page"].html
    (tmp_path / "letter.html").write_text(html, encoding="utf-8")
    assert run("shoot.mjs", tmp_path) == 4
    pictures = {path.name: path.read_bytes() for path in sorted(tmp_path.glob("*.png"))}
    assert list(pictures) == [
        "letter.360.dark.png",
        "letter.360.light.png",
        "letter.800.dark.png",
        "letter.800.light.png",
    ]
    assert len(set(pictures.values())) == 4  # the scheme shows
    for name, picture in pictures.items():
        # PNG, section 11.2.1: the width is the first field of the header.
        assert int.from_bytes(picture[16:20], "big") == int(name.split(".")[1])
