"""The operator's folder is proved at start: what it changes, every name in it."""

import re
import shutil
from datetime import datetime
from pathlib import Path

import pytest

from monitor.core.delivery import Letter
from monitor.core.incident import Reason
from monitor.core.tokens import KINDS, Code
from monitor.notify import proof
from monitor.notify.compose import Composer
from monitor.notify.leaflets import Leaflets
from monitor.notify.samples import (
    occurring,
    sample_item,
    sample_letters,
    sample_now,
    trial_letter,
)
from monitor.notify.templates import Shelf, built_in, is_language, languages

SENDER = "Acme Publisher <tokens@acme.example>"
OURS = languages(built_in())


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def ours(name: str) -> str:
    return (built_in() / name).read_text(encoding="utf-8")


def faults(folder: Path) -> list[str]:
    """The faults of a folder, their paths within it."""
    found = Composer(SENDER, templates=folder).check()
    return [fault.removeprefix(f"{folder}/") for fault in found]


# --- what no letter would read --------------------------------------------------

EXPIRED = "en/findings/expired.txt"
STRAYS = {
    "a misspelt folder": (
        "en/finding/expired.txt",
        "x",
        (
            "en/finding/expired.txt:1: no letter uses this file"
            f" — did you mean '{EXPIRED}'?"
        ),
    ),
    "a misspelt file": (
        "en/findings/expird.txt",
        "x",
        (
            "en/findings/expird.txt:1: no letter uses this file"
            f" — did you mean '{EXPIRED}'?"
        ),
    ),
    "another ending": (
        "en/words.text",
        "x",
        "en/words.text:1: no letter uses this file — did you mean 'en/words.txt'?",
    ),
    "a misspelt layout": (
        "layouts.html",
        "x",
        "layouts.html:1: no letter uses this file — did you mean 'layout.html'?",
    ),
    "a file beside the languages": (
        "resolved.txt",
        "x",
        "resolved.txt:1: no letter uses this file — did you mean 'en/resolved.txt'?",
    ),
    "nothing near": (
        "en/zzz.txt",
        "x",
        "en/zzz.txt:1: no letter uses this file",
    ),
    "no language": (
        "english/findings/expired.txt",
        ours(EXPIRED),
        "english:1: is the name of no language such as 'de' or 'pt-BR'",
    ),
    "a language written otherwise": (
        "pt_br/words.txt",
        "x",
        (
            "pt_br:1: is the name of no language such as 'de' or 'pt-BR'"
            " — did you mean 'pt-BR'?"
        ),
    ),
    "a language in capitals": (
        "EN/words.txt",
        "x",
        "EN:1: is the name of no language such as 'de' or 'pt-BR' — did you mean 'en'?",
    ),
    "a misspelt section": (
        EXPIRED,
        ours(EXPIRED) + "\n[sumary]\nx\n",
        (
            f"{EXPIRED}:{ours(EXPIRED).count(chr(10)) + 2}: [sumary] is none of its"
            " sections — did you mean 'summary'?"
        ),
    ),
    "a section in capitals": (
        EXPIRED,
        "[Summary]\n" + ours(EXPIRED),
        f"{EXPIRED}:1: [Summary] heads no section — did you mean 'summary'?",
    ),
    "a section given twice": (
        EXPIRED,
        "[summary]\nx\n" + ours(EXPIRED),
        "[summary] is given twice",
    ),
    "a section where there are none": (
        "en/parts/reconnect.txt",
        "[steps]\n" + ours("en/parts/reconnect.txt"),
        "en/parts/reconnect.txt:1: [steps]: this file has no sections",
    ),
    "a misspelt phrase": (
        "en/words.txt",
        "[dates]\n\ntomorow = the day after\n",
        (
            "en/words.txt:3: [dates] tomorow: nothing says this phrase"
            " — did you mean 'tomorrow'?"
        ),
    ),
    "a misspelt count": (
        "en/words.txt",
        "[counted]\nmores.other = {n} more\n",
        (
            "en/words.txt:2: [counted] mores: nothing says this phrase"
            " — did you mean 'more'?"
        ),
    ),
}


@pytest.mark.parametrize("stray", STRAYS)
def test_what_no_letter_would_read_is_refused(tmp_path: Path, stray: str) -> None:
    name, text, said = STRAYS[stray]
    write(tmp_path, name, text)
    found = faults(tmp_path)
    assert any(said in fault for fault in found), found
    assert all(re.match(r"[^:]+:\d+: .", fault) for fault in found)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "en" / "findings").mkdir(parents=True)
    (tmp_path / EXPIRED).symlink_to(tmp_path / "nowhere")
    assert faults(tmp_path) == [f"{EXPIRED}:1: cannot be read"]


def test_every_fault_of_every_file_is_told_at_once(tmp_path: Path) -> None:
    text = ours(EXPIRED).replace("[summary]\n", "[summary]\n{{ nobody }}\n")
    text = text.replace("[steps]\n", "[steps]\n{{ nothing }}\n")
    write(tmp_path, EXPIRED, text)
    write(tmp_path, "en/attention.txt", "[body]\n{% if %}\n")
    write(tmp_path, "en/zzz.txt", "")
    write(tmp_path, "layout.html", "{{ none_of_it }}")
    found = "\n".join(faults(tmp_path))
    for said in (
        "'nobody' is undefined",
        "'nothing' is undefined",
        "en/attention.txt:2: ",
        "en/attention.txt:1: lacks [subject_many]",
        "en/zzz.txt:1: ",
        "layout.html:1: 'none_of_it' is undefined",
    ):
        assert said in found


def test_what_is_nobodys_words_is_passed_over(tmp_path: Path) -> None:
    """Git's files, and how Kubernetes mounts a ConfigMap."""
    write(tmp_path, "README.md", "Our words")
    write(tmp_path, "..2026_11_23/en/findings/expired.txt", ours(EXPIRED))
    write(tmp_path, ".git/config", "[core]")
    (tmp_path / "..data").symlink_to("..2026_11_23")
    (tmp_path / "en").symlink_to("..data/en")
    assert faults(tmp_path) == []
    (tmp_path / "..2026_11_23" / EXPIRED).write_text("[sumary]\n", encoding="utf-8")
    assert f"{EXPIRED}:1: [sumary] is none of its sections" in faults(tmp_path)[0]


def test_a_part_and_a_count_of_his_own_are_no_strays(tmp_path: Path) -> None:
    more = '[steps]\n{% include "ours/desk.txt" %}\n{{ "2" | counted("desks") }}\n'
    write(tmp_path, EXPIRED, ours(EXPIRED).replace("[steps]\n", more))
    write(tmp_path, "en/ours/desk.txt", "1. Ask the desk of {{ product }}.\n")
    write(tmp_path, "en/words.txt", "[counted]\ndesks.other = {n} desks\n")
    assert faults(tmp_path) == []
    write(tmp_path, "en/ours/desk.txt", "1. Ask {{ nobody }}.\n")
    assert faults(tmp_path) == ["en/ours/desk.txt:1: 'nobody' is undefined"]


@pytest.mark.parametrize("tag", ["de", "pt-BR", "zh-Hant-TW", "es-419", "fil"])
def test_a_language_is_known_by_its_name(tag: str) -> None:
    assert is_language(tag)


@pytest.mark.parametrize("tag", ["", "xx", "PT-BR", "pt-br", "pt_BR", "de-", "en-u-x"])
def test_no_other_name_is_a_language(tag: str) -> None:
    assert not is_language(tag)


# --- every letter, in every language ---------------------------------------------


@pytest.mark.parametrize("code", list(Code))
def test_every_kind_and_reason_of_a_code_is_written(tmp_path: Path, code: Code) -> None:
    """A fault that only one kind for one reason would meet is met."""
    cases = [(kind, reason) for kind in KINDS for reason in occurring(code)]
    if sample_item(code).kind is None:  # no token's matter
        cases = [("", reason) for reason in occurring(code)]
    traps = "\n".join(
        f'{{% if matter.kind == "{kind}" and matter.reason == "{reason}" %}}'
        f"{{{{ met_{kind}_{reason} }}}}{{% endif %}}"
        for kind, reason in cases
    )
    name = f"en/findings/{code}.txt"
    text = ours(name).replace("[summary]\n", f"[summary]\n{traps}\n")
    text = text.replace("[resolved]\n", f"[resolved]\n{traps}\n")
    write(tmp_path, name, text)
    found = {fault.partition("'")[2].partition("'")[0] for fault in faults(tmp_path)}
    assert found >= {f"met_{kind}_{reason}" for kind, reason in cases}


@pytest.mark.parametrize("word", ["mute_url", "not mute_url", "not reader"])
def test_what_a_letter_may_have_or_lack_is_tried(tmp_path: Path, word: str) -> None:
    trap = f"{{% if {word} %}}{{{{ nobody }}}}{{% endif %}}\n"
    write(tmp_path, EXPIRED, ours(EXPIRED).replace("[summary]\n", f"[summary]\n{trap}"))
    assert ["'nobody' is undefined" in fault for fault in faults(tmp_path)] == [True]


@pytest.mark.parametrize("locale", OURS)
def test_a_fault_is_found_in_the_language_it_is_in(tmp_path: Path, locale: str) -> None:
    name = f"{locale}/attention.txt"
    write(tmp_path, name, ours(name).replace("[body]\n", "[body]\n{{ nobody }}\n"))
    found = faults(tmp_path)
    assert [fault.startswith(f"{name}:") for fault in found] == [True]


def test_a_language_below_ours_is_proved_too(tmp_path: Path) -> None:
    name = "en-GB/findings/expired.txt"
    write(tmp_path, name, ours(EXPIRED))
    assert faults(tmp_path) == []
    write(tmp_path, name, ours(EXPIRED) + "{{ nobody }}")
    assert ["'nobody' is undefined" in fault for fault in faults(tmp_path)] == [True]


@pytest.mark.parametrize("locale", OURS)
@pytest.mark.parametrize("file", ["attention.txt", "findings/expired.txt", "words.txt"])
def test_our_words_of_the_same_language_go_instead(
    tmp_path: Path, locale: str, file: str
) -> None:
    write(tmp_path, f"{locale}/{file}", "[subject]\n{% if %}\n")
    broken, sound = Composer(SENDER, templates=tmp_path), Composer(SENDER)
    for name, letter in sample_letters(locale):
        if name == "expired.opened.page":
            composed = broken.compose(letter, sample_now())
            expected = sound.compose(letter, sample_now())
            assert composed.fell_back is not None
            assert composed.fell_back.startswith(f"{tmp_path}/{locale}/{file}:")
            assert composed.raw == expected.raw
            assert f'<html lang="{locale}"' in composed.html


@pytest.mark.parametrize("locale", OURS)
def test_the_test_letter_is_in_every_language(locale: str) -> None:
    composer = Composer(SENDER, "support@acme.example")
    letter = composer.compose(trial_letter("ops@acme.example", locale), sample_now())
    assert letter.fell_back is None
    assert "`token-monitormailtest`" in "".join(letter.text.split())
    assert "support@acme.example" in letter.text
    assert f'<html lang="{locale}"' in letter.html
    english = composer.compose(trial_letter("ops@acme.example"), sample_now())
    assert (letter.subject == english.subject) == (locale == "en")


# --- no more than that ------------------------------------------------------------


def written(folder: Path | None) -> list[tuple[Letter, bool]]:
    """The letters that a folder makes us write, and whether in HTML."""
    seen: list[tuple[Letter, bool]] = []

    def note(shelf: Shelf, letter: Letter, now: datetime, *, dress: bool) -> None:
        seen.append((letter, dress))

    assert proof.faults(folder, note) == []
    return seen


def test_only_letters_and_languages_that_a_file_changes_are_written(
    tmp_path: Path,
) -> None:
    every = written(None)
    assert {letter.locale for letter, _ in every} == set(OURS)
    assert written(tmp_path) == []
    write(tmp_path, EXPIRED, ours(EXPIRED))
    few = written(tmp_path)
    assert all(
        any(f.code is Code.EXPIRED for item in letter.items for f in item.findings)
        for letter, _ in few
    )
    assert {dress for _, dress in few} == {False}
    assert {i.reason for letter, _ in few for i in letter.items} >= {Reason.ESCALATED}
    assert 0 < len(few) < len(every) / 5


def test_a_layout_dresses_the_letters_of_every_language(tmp_path: Path) -> None:
    write(tmp_path, "layout.html", ours("layout.html"))
    dressed = written(tmp_path)
    assert {letter.locale for letter, dress in dressed if dress} == set(OURS)
    english = [letter for letter, _ in dressed if letter.locale == "en"]
    assert len(english) == len(list(sample_letters()))


def test_pages_stand_in_no_letter_and_are_proved_in_their_language(
    tmp_path: Path,
) -> None:
    for locale in OURS:
        name = f"{locale}/pages/mute.txt"
        write(tmp_path, name, ours(name))
    assert written(tmp_path) == []
    assert Leaflets(tmp_path).check() == []
    write(tmp_path, "de/pages/mute.txt", ours("de/pages/mute.txt") + "{{ nobody }}")
    (fault,) = Leaflets(tmp_path).check()
    assert fault.startswith(f"{tmp_path}/de/pages/mute.txt:")
    write(tmp_path, "de/pages/mutes.txt", "")
    assert "did you mean 'de/pages/mute.txt'?" in faults(tmp_path)[0]


def test_words_equal_to_ours_make_no_work(tmp_path: Path) -> None:
    shutil.copytree(built_in() / "en", tmp_path / "en", ignore=lambda *_: {"findings"})
    for path in (tmp_path / "en").rglob("*.txt"):
        if path.name != "words.txt":
            path.unlink()
    assert written(tmp_path) == []
    write(tmp_path, "en/words.txt", "[dates]\ntoday = this very day\n")
    assert written(tmp_path) != []
