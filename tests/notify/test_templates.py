"""Words are found by language, ours or the operator's, and can do nothing but words."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from monitor.core.delivery import Letter, Role
from monitor.core.incident import Reason
from monitor.core.tokens import PAGE, Code
from monitor.core.verdict import Finding
from monitor.errors import ConfigurationError
from monitor.notify.compose import Composed, Composer
from monitor.notify.rendering import TemplateFaultError, Words
from monitor.notify.samples import (
    sample_finding,
    sample_item,
    sample_letter,
    sample_now,
)
from monitor.notify.templates import Shelf, built_in
from tests.notify.hostile import SSTI

SENDER = "Acme Publisher <tokens@acme.example>"
EXPIRED = "en/findings/expired.txt"


def a_letter(code: Code = Code.EXPIRED, **changes: str) -> Letter:
    return replace(sample_letter(sample_item(code)), **changes)  # type: ignore[arg-type] # text fields only


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def sections(**changed: str) -> str:
    words = {
        "subject": "{{ matter.label }} ended",
        "summary": "It ended.",
        "happened": "Time passed.",
        "consequence": "Things stop.",
        "steps": "1. Mend it.",
        "resolved": "{{ matter.label }} works again",
    }
    return "\n".join(f"[{k}]\n{v}\n" for k, v in {**words, **changed}.items())


def compose(folder: Path, letter: Letter | None = None) -> Composed:
    composer = Composer(SENDER, templates=folder)
    return composer.compose(letter or a_letter(), sample_now())


def test_our_own_templates_have_no_fault():
    assert Composer(SENDER).check() == []
    assert Composer(SENDER, "support@acme.example").check() == []


def test_a_file_of_the_operator_wins_over_ours(tmp_path: Path):
    write(tmp_path, EXPIRED, sections(summary="Our own words, {{ product }}."))
    composed = compose(tmp_path)
    assert "Our own words, Acme Publisher." in composed.text
    assert "## " not in composed.text
    assert "Why you got this" in composed.text  # the frame is still ours
    assert composed.fell_back is None
    assert Composer(SENDER, templates=tmp_path).check() == []


def test_a_layout_of_the_operator_wins_over_ours(tmp_path: Path):
    words = "{% for b in blocks %}{% for l in b.lines %}<p>{{ l }}{% endfor %}"
    write(tmp_path, "layout.html", f"<html>ours {words}{{% endfor %}}</html>")
    html = compose(tmp_path, a_letter(name="<b>Jane</b>")).html
    assert html.startswith('<html>ours <p>Hello <span dir="auto">&lt;b&gt;Jane')


FAULTS = {
    "syntax": (sections(summary="{% if %}"), 5, "Expected"),
    "undefined": (sections(summary="one\n{{ nobody }}"), 6, "'nobody' is undefined"),
    "missing key": (sections(summary="{{ matter.nobody }}"), 5, "nobody"),
    "nothing": (sections(summary="{{ matter.nothing.at }}"), 5, "nothing"),
    "division": (sections(summary="{{ 1 / 0 }}"), 5, "division"),
    "too much": (sections(summary="{{ 'x' * 1000000 }}"), 5, "not available"),
    "too long": (
        sections(summary="{% for a in 'x' * 9 %}{% endfor %}"),
        5,
        "not available",
    ),
    "section": ("[subject]\nx\n", 1, "lacks ["),
    "recursion": (sections(summary="{% include 'findings/expired.txt' %}"), 0, ""),
    "elsewhere": (sections(summary="{% include '../../etc/passwd' %}"), 5, "passwd"),
    "filter": (sections(summary="{{ product | center(9999999) }}"), 5, "center"),
    "function": (sections(summary="{{ range(9) }}"), 5, "range"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_template_is_named_and_the_letter_still_goes(
    tmp_path: Path, fault: str
):
    text, line, what = FAULTS[fault]
    write(tmp_path, EXPIRED, text)
    faults = Composer(SENDER, templates=tmp_path).check()
    assert len(faults) >= 1
    place = f"{tmp_path / EXPIRED}:{line or ''}"
    assert all(found.startswith(place) for found in faults)
    assert all(what in found for found in faults)
    composed = compose(tmp_path)
    assert composed.fell_back in faults
    ours = Composer(SENDER).compose(a_letter(), sample_now())
    assert replace(composed, fell_back=None) == ours


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("en/attention.txt", "[subject_many]\n[body]\n{{", "en/attention.txt:3: "),
        ("en/words.txt", "[dates]\nday\n", "en/words.txt:"),
        ("en/words.txt", "[names]\nnamed = {who}\n", "en/words.txt:2: "),
        ("layout.html", "\n{{ nobody }}", "layout.html:2: "),
        ("layout.html", "{% for %}", "layout.html:1: "),
        ("en/findings/expired.txt", "x" * 300_000, "en/findings/expired.txt:1: "),
    ],
)
def test_every_file_of_the_operator_can_be_broken(
    tmp_path: Path, name: str, text: str, place: str
):
    write(tmp_path, name, text)
    faults = Composer(SENDER, templates=tmp_path).check()
    assert [f.startswith(f"{tmp_path}/{place}") for f in faults] == [True] * len(faults)
    assert faults
    assert compose(tmp_path).fell_back is not None


def test_a_file_that_is_not_utf_8_is_named(tmp_path: Path):
    write(tmp_path, EXPIRED, "")
    (tmp_path / EXPIRED).write_bytes(b"[subject]\nx\n\xff\n")
    assert Composer(SENDER, templates=tmp_path).check() == [
        f"{tmp_path / EXPIRED}:3: is not UTF-8"
    ]


@pytest.mark.parametrize("payload", [p for p in SSTI if p.startswith("{")])
def test_the_sandbox_gives_nothing_away(tmp_path: Path, payload: str):
    write(tmp_path, EXPIRED, sections(summary=payload))
    composed = compose(tmp_path)
    assert "uid=" not in composed.text
    assert "<class" not in composed.text
    assert "<built-in" not in composed.text


def test_output_is_capped(tmp_path: Path):
    loops = "{% for a in l %}{% for b in l %}{% for c in l %}xxxxxxxx{% endfor %}"
    text = f"{{% set l = [{'1,' * 100}] %}}{loops}{{% endfor %}}{{% endfor %}}"
    write(tmp_path, EXPIRED, sections(summary=text))
    assert "writes more than" in str(compose(tmp_path).fell_back)


def test_no_such_folder_is_refused_at_start(tmp_path: Path):
    with pytest.raises(ConfigurationError, match=r"mail\.templates"):
        Composer(SENDER, templates=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("sender", "reply_to"),
    [("nobody", None), ("A <a@b@c>", None), (SENDER, "x"), ("a@b.example\0", None)],
)
def test_an_impossible_mailbox_is_refused_at_start(sender: str, reply_to: str | None):
    with pytest.raises(ConfigurationError, match=r"mail\.(from|reply_to): the address"):
        Composer(sender, reply_to)


# --- languages ------------------------------------------------------------------


def _german(folder: Path, tag: str = "de") -> None:
    words = (built_in() / "en" / "words.txt").read_text(encoding="utf-8")
    words = words.replace("today = today", "today = heute")
    words = words.replace('named = "{name}"', "named = „{name}“")
    write(folder, f"{tag}/words.txt", words)
    frame = "[subject]\nx\n[body]\nHallo {{ reader }}\n\n{{ lead.summary }}"
    write(folder, f"{tag}/attention.txt", frame)
    summary = "{{ matter.label }} endet {{ finding.deadline.full }}."
    write(folder, f"{tag}/findings/expiring.txt", sections(summary=summary))


@pytest.mark.parametrize("locale", ["de", "de-AT", "de_AT", "DE"])
def test_a_language_is_a_folder(tmp_path: Path, locale: str):
    _german(tmp_path)
    composed = compose(tmp_path, a_letter(Code.EXPIRING, locale=locale))
    text = " ".join(composed.text.split())
    assert "Hallo Jane Doe „Bakery North“ endet Do. 26" in text
    assert "(in 3 Tagen)" in text
    assert '<html lang="de" dir="ltr">' in composed.html


def test_what_a_language_lacks_is_said_in_english(tmp_path: Path):
    _german(tmp_path, "sv")
    composed = compose(tmp_path, a_letter(Code.REVOKED, locale="sv"))
    assert "Hallo" in composed.text
    assert "was removed" in composed.text


@pytest.mark.parametrize("locale", ["", "xx", "sv-SE", "../en", "en/..", "e" * 1000])
def test_a_language_we_lack_is_english(locale: str):
    composed = Composer(SENDER).compose(a_letter(locale=locale), sample_now())
    assert composed == Composer(SENDER).compose(a_letter(), sample_now())


# --- markup ---------------------------------------------------------------------


def test_words_keep_their_lines_and_values_do_not(tmp_path: Path):
    write(tmp_path, "en/attention.txt", "[body]\n{{ words }}\n{{ value }}\n")
    write(tmp_path, "en/words.txt", "[dates]\n[names]\n[scopes]\n")
    data = {"words": Words("## a\nb"), "value": "## c\nd"}
    rendered = Shelf(tmp_path).book("en").render("attention.txt", "body", data)
    assert rendered == "## a\nb\n\ue000## c d\ue001"


@pytest.mark.parametrize(
    "name", ["", "../x.txt", "/etc/passwd", "x.html", "a/../b.txt"]
)
def test_a_template_outside_the_folder_is_not_there(name: str):
    with pytest.raises(TemplateFaultError, match="no such template"):
        Shelf(built_in()).book("en").render(name, "subject", {})


# --- what a reader is told ------------------------------------------------------


def _with(*codes: Code) -> Letter:
    findings = tuple(sample_finding(code) for code in codes)
    return sample_letter(replace(sample_item(codes[0]), findings=findings))


TOLD: list[tuple[str, Letter, Callable[[Composed], bool]]] = [
    (
        "the owner hears of what he can mend",
        _with(Code.EXPIRING, Code.WRONG_KIND),
        lambda c: "another kind" not in c.text,
    ),
    (
        "what is critical comes first",
        _with(Code.EXPIRING, Code.SCOPES_MISSING),
        lambda c: "missing a Facebook permission" in c.subject,
    ),
    (
        "what happened is told of every finding",
        _with(Code.EXPIRING, Code.SCOPES_MISSING),
        lambda c: "limited time" in c.text and "publish posts" in c.text,
    ),
    (
        "a finding less item still makes a letter",
        sample_letter(replace(sample_item(Code.EXPIRED), findings=())),
        lambda c: "no longer works" in c.subject,
    ),
    (
        "a healed item is named beside what is not",
        sample_letter(
            sample_item(Code.EXPIRED),
            replace(sample_item(Code.REVOKED, PAGE, Reason.RESOLVED), name="Cafe"),
        ),
        lambda c: "Working again" in c.text and '- "Cafe"' in c.text,
    ),
    (
        "a later date says its year",
        sample_letter(
            replace(
                sample_item(Code.EXPIRING),
                findings=(
                    Finding(Code.EXPIRING, sample_now().replace(year=2027, month=1)),
                ),
            )
        ),
        lambda c: "Sat 23 Jan 2027 (in 61 days)" in c.subject,
    ),
    (
        "without a link the instructions suffice",
        sample_letter(replace(sample_item(Code.EXPIRED), reauthorize_url=None)),
        lambda c: "https:" not in c.text and "by typing the address" in c.text,
    ),
    (
        "a system user is healed in Business settings and by no link",
        sample_letter(sample_item(Code.EXPIRED, "system_user")),
        lambda c: "https:" not in c.text and "System users" in c.text,
    ),
    (
        "the operator hears under the monitor's own name",
        sample_letter(sample_item(Code.WRONG_APP), role=Role.OPERATOR),
        lambda c: c.subject.startswith("[token-monitor] "),
    ),
]


@pytest.mark.parametrize(
    ("letter", "holds"), [pytest.param(a, b, id=name) for name, a, b in TOLD]
)
def test_what_a_reader_is_told(letter: Letter, holds: Callable[[Composed], bool]):
    composed = Composer(SENDER).compose(letter, sample_now())
    assert holds(composed), composed.subject + "\n" + composed.text
