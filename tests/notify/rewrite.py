"""Write every sample letter under `mails/`, for people to review in the diff.

Run as `python -m tests.notify.rewrite`. A file holds the letters of one code in one
language: `mails/de/expired.txt`.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from monitor.notify.compose import Composed, Composer
from monitor.notify.samples import sample_letters, sample_now
from monitor.notify.templates import built_in

MAILS = Path(__file__).parent / "mails"
LANGUAGES = sorted(path.name for path in built_in().iterdir() if path.is_dir())


@cache
def a_composer() -> Composer:
    """The composer of the samples."""
    return Composer("Acme Publisher <tokens@acme.example>", "support@acme.example")


@cache
def composed_samples(locale: str = "en") -> Mapping[str, Composed]:
    """Every sample letter of a language by its name."""
    return {
        name: a_composer().compose(letter, sample_now())
        for name, letter in sample_letters(locale)
    }


def as_text(name: str, composed: Composed) -> str:
    """What is kept of a letter: its name, the subject and the text part."""
    text = composed.text.replace("\n-- \n", "\n--\n")
    return f"=== {name}\n\nSubject: {composed.subject}\n\n{text}"


def files(locale: str) -> Mapping[str, str]:
    """What is kept of a language: the letters of each code by the name of its file."""
    kept: dict[str, list[str]] = {}
    for name, composed in composed_samples(locale).items():
        kept.setdefault(name.partition(".")[0], []).append(as_text(name, composed))
    return {f"{code}.txt": "\n\n".join(letters) for code, letters in kept.items()}


def main() -> None:
    """Rewrite the folders, leaving no letter that is no sample any more."""
    for locale in LANGUAGES:
        folder = MAILS / locale
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.txt"):
            old.unlink()
        for name, text in files(locale).items():
            (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
