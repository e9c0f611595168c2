"""Write every sample letter under `mails/`, for people to review in the diff.

Run as `python -m tests.notify.rewrite`.
"""

from collections.abc import Mapping
from pathlib import Path

from monitor.notify.compose import Composed, Composer
from monitor.notify.samples import sample_letters, sample_now

MAILS = Path(__file__).parent / "mails" / "en"


def a_composer() -> Composer:
    """The composer of the samples."""
    return Composer("Acme Publisher <tokens@acme.example>", "support@acme.example")


def composed_samples() -> Mapping[str, Composed]:
    """Every sample letter by its name."""
    composer = a_composer()
    return {
        name: composer.compose(letter, sample_now())
        for name, letter in sample_letters()
    }


def as_file(composed: Composed) -> str:
    """What is kept of a letter: the subject and the text part."""
    text = composed.text.replace("\n-- \n", "\n--\n")
    return f"Subject: {composed.subject}\n\n{text}"


def main() -> None:
    """Rewrite the folder, leaving no letter that is no sample any more."""
    MAILS.mkdir(parents=True, exist_ok=True)
    for old in MAILS.glob("*.txt"):
        old.unlink()
    for name, composed in composed_samples().items():
        (MAILS / f"{name}.txt").write_text(as_file(composed), encoding="utf-8")


if __name__ == "__main__":
    main()
