"""SpamAssassin, on its local rules, finds nothing in an English letter."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from monitor.notify.compose import Composed
from tests.letters.tools import as_received, command, perl, ran, written
from tests.notify.rewrite import composed_samples

HIGHEST = 0.5
BY_COMMAND = ("expiring.opened.page", "report.full")
"""Letters judged by the command too, which starts anew for each."""


def judged(letters: dict[str, bytes], folder: Path) -> dict[str, tuple[float, str]]:
    """The score of each letter, and the rules it breaks."""
    paths = written(letters, folder)
    lines = perl("spam.pl", "Mail::SpamAssassin", paths.values())
    scores = [line.split(" ")[:2] for line in lines]
    return {
        name: (float(score), rules)
        for name, (score, rules) in zip(letters, scores, strict=True)
    }


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[float, str]]:
    letters = {
        name: as_received(composed) for name, composed in composed_samples().items()
    }
    return judged(letters, tmp_path_factory.mktemp("letters"))


def test_no_english_letter_looks_like_spam(verdicts: dict[str, tuple[float, str]]):
    assert set(verdicts) == set(composed_samples())
    assert {
        name: verdict for name, verdict in verdicts.items() if verdict[0] > HIGHEST
    } == {}


@pytest.mark.parametrize("name", BY_COMMAND)
def test_the_command_says_the_same(
    name: str, verdicts: dict[str, tuple[float, str]], tmp_path: Path
):
    preferences = tmp_path / "none"
    preferences.touch()
    arguments = [command("spamassassin"), "-L", "-t", f"--prefspath={preferences}"]
    letter = as_received(composed_samples()[name])
    report = ran(arguments, letter.replace(b"\r\n", b"\n"), HOME=str(tmp_path))
    score = re.search(
        r"^Content analysis details: +\((-?[\d.]+) points", report, re.MULTILINE
    )
    assert score is not None
    assert float(score[1]) == pytest.approx(verdicts[name][0], abs=0.05)


def _body(old: str, new: str, composed: Composed) -> Composed:
    raw = composed.raw.replace(old.encode(), new.encode())
    assert raw != composed.raw
    return replace(composed, raw=raw)


def test_what_looks_like_spam_is_found(tmp_path: Path):
    """The control: our own letter with what spammers do, and a known test string."""
    calm = composed_samples()["expiring.opened.page"]
    gtube = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
    planted = {
        "calm": calm,
        "gtube": _body("Hello Jane Doe,", gtube, calm),
        "shouting": _body("Subject: ", "Subject: ACT NOW!!! $$$ FREE VIAGRA ", calm),
        "no date": _body("Date: ", "X-Date: ", calm),
    }
    letters = {name: as_received(calm) for name in planted}
    for name, composed in planted.items():
        letters[name] = letters[name].replace(calm.raw, composed.raw)
    scores = {name: score for name, (score, _) in judged(letters, tmp_path).items()}
    assert scores.pop("calm") <= HIGHEST
    assert scores.pop("gtube") > 900
    assert min(scores.values()) > HIGHEST, scores
