"""A pseudo-language: English with every word of a template made strange and longer.

Whatever reads plainly in a letter in this language comes from code and not from words,
and whatever breaks would break in a language with longer words.
"""

import re
from pathlib import Path

from monitor.notify.templates import built_in

TAG = "qps"
"""A tag of ISO 639-3 for local use, which no reader has by chance."""

_STRANGE = str.maketrans("aeiouyAEIOUYcnszt", "äëïöüÿÄËÏÖÜŸçñšžť")
_KEPT = re.compile(
    r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}|^\[\w+\]$|`[^`]*`|\{\w+\}",
    re.DOTALL | re.MULTILINE,
)
_WORD = re.compile(r"[A-Za-z']{2,}")


def strange(text: str) -> str:
    """The text in the pseudo-language: `Sign` becomes `Sïgñø`."""
    return _WORD.sub(lambda word: f"{word[0].translate(_STRANGE)}ø", text)


def is_strange(word: str) -> bool:
    """Whether it cannot be English."""
    return not word.isascii()


def translate(source: str) -> str:
    """A template with all words made strange; what Jinja reads stays."""
    pieces, at = [], 0
    for kept in _KEPT.finditer(source):
        pieces += [strange(source[at : kept.start()]), kept[0]]
        at = kept.end()
    return "".join([*pieces, strange(source[at:])])


def write(root: Path) -> None:
    """The folder of the language under `root`, which can be `mail.templates`."""
    for path in (built_in() / "en").rglob("*.txt"):
        target = root / TAG / path.relative_to(built_in() / "en")
        target.parent.mkdir(parents=True, exist_ok=True)
        source = path.read_text(encoding="utf-8")
        made = _phrases(source) if path.name == "words.txt" else translate(source)
        target.write_text(made, encoding="utf-8")


def _phrases(source: str) -> str:
    """The small words: keys, sections and patterns of dates stay."""
    lines, section = [], ""
    for line in source.split("\n"):
        if line.startswith("["):
            section = line
        key, equals, phrase = line.partition("=")
        pattern = section == "[dates]" and key.strip() in {
            "day",
            "day_and_year",
            "moment",
        }
        phrased = equals and not line.startswith("#") and not pattern
        lines.append(f"{key}={translate(phrase)}" if phrased else line)
    return "\n".join(lines)
