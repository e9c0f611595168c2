"""Letters in a pseudo-language: no word of a letter is in the code."""

import re
from pathlib import Path

import pytest

from monitor.core.delivery import Letter
from monitor.notify.compose import Composed, Composer
from monitor.notify.samples import sample_letters, sample_now
from tests.notify import lint, pseudo

LETTERS = dict(sample_letters(pseudo.TAG))

# Dates as Babel writes them in a language it does not know.
_DATES = "Mon|Tue|Wed|Thu|Fri|Sat|Sun|Nov|Dec|CET|UTC|days?|hours?|in|ago|and"


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Composed]:
    """Every sample letter in the pseudo-language."""
    folder: Path = tmp_path_factory.mktemp("templates")
    pseudo.write(folder)
    composer = Composer(
        "Acme Publisher <tokens@acme.example>",
        "support@acme.example",
        templates=folder,
    )
    return {n: composer.compose(each, sample_now()) for n, each in LETTERS.items()}


def _plain(letter: Letter, text: str) -> set[str]:
    """The English words that no value of the letter, and no command, accounts for."""
    values = [str(letter)]
    values += [value for item in letter.items for value in item.facts.values()]
    known = set(re.findall(r"[^\W\d_]{2,}", " ".join(values)))
    text = re.sub(
        r"`[^`]*`|https?://\S+|\S+@\S+|\S+\.\w+|\w+_\w+|[a-z]+-[\w-]+", "", text
    )
    words = set(re.findall(r"[^\W\d_]{2,}", text))
    plain = {word for word in words if not pseudo.is_strange(word)}
    return {w for w in plain - known if not re.fullmatch(_DATES, w)}


@pytest.mark.parametrize("name", LETTERS)
def test_no_word_of_a_letter_is_in_the_code(name: str, composed: dict[str, Composed]):
    written = composed[name]
    assert written.fell_back is None
    found = _plain(LETTERS[name], f"{written.subject} {written.text}")
    assert found == set()


def test_a_word_in_the_code_would_be_found(composed: dict[str, Composed]):
    letter = LETTERS["expiring.opened.page"]
    text = composed["expiring.opened.page"].text
    assert _plain(letter, f"Dear {text}") == {"Dear"}


LANGUAGELESS = [
    rule
    for rule in lint.RULES
    if rule
    not in {
        lint.sections_are_there,
        lint.it_never_asks_for_a_secret,
        lint.capped_lists_say_so,
    }
]
"""Rules that look for no phrase of the language."""


@pytest.mark.parametrize("rule", LANGUAGELESS, ids=lambda rule: rule.__name__)
def test_longer_words_keep_the_rules(rule: lint.Rule, composed: dict[str, Composed]):
    found = {
        name: faults
        for name, letter in LETTERS.items()
        if (faults := list(rule(letter, composed[name])))
    }
    assert found == {}
