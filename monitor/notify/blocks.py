r"""Two dresses: rendered words become blocks, blocks become a text and an HTML part.

The markup is as small as letters need::

    ## Heading                 ### Smaller heading
    a paragraph, its lines joined until a blank one
    1. a step, numbered anew by the parser      - a point of a list
    > words of the button https://…             + words of a lesser link https://…
    `what is to be typed`, within a line
    ---                        everything after it is the footer

It is recognised at the start of a line and nowhere else, and a value printed by a
template never stands there: the marks `OPEN` and `CLOSE` are around it.

>>> parse("## What happened\nIt ended.\n\n1. Look.\n1. Mend.")[2].lines
('Look.', 'Mend.')
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from markupsafe import Markup, escape

from monitor.notify.safe import CLOSE, OPEN, host_of, safe_url
from monitor.notify.wrapping import width, wrap

_UNMARKED: Final = {ord(OPEN): None, ord(CLOSE): None}
_OPENED: Final = '<span dir="auto">'
_TICK: Final = "\ue002"
"""A backtick of the template's own; those of values stay what they are."""
_VALUE: Final = re.compile(f"({OPEN}[^{CLOSE}]*{CLOSE})")
_CODE: Final = re.compile(f"{_TICK}((?:[^{_TICK}<]|{_OPENED}[^<]*</span>)+){_TICK}")
"""What is to be typed; a value inside is whole, or tags would cross."""


class Kind(StrEnum):
    """What a block is."""

    HEADING = "heading"
    SUBHEADING = "subheading"
    PARAGRAPH = "paragraph"
    STEPS = "steps"
    POINTS = "points"
    BUTTON = "button"
    LINK = "link"
    FOOTER = "footer"
    """Not shown itself: the footer begins."""


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a letter; its lines still carry the marks of values."""

    kind: Kind
    lines: tuple[str, ...] = ()
    url: str = ""


_MARKUP: Final = (
    (re.compile(r"### +(.+)"), Kind.SUBHEADING),
    (re.compile(r"## +(.+)"), Kind.HEADING),
    (re.compile(r"\d{1,3}\. +(.+)"), Kind.STEPS),
    (re.compile(r"- +(.+)"), Kind.POINTS),
    (re.compile(r"> +(.+)"), Kind.BUTTON),
    (re.compile(r"\+ +(.+)"), Kind.LINK),
    (re.compile(r"(---)"), Kind.FOOTER),
)
_LINKS: Final = frozenset({Kind.BUTTON, Kind.LINK})
_LISTS: Final = frozenset({Kind.STEPS, Kind.POINTS})


def parse(words: str) -> tuple[Block, ...]:
    """The blocks of rendered words."""
    blocks: list[Block] = []
    open_block = False  # whether a further line belongs to the last block
    for raw in words.split("\n"):
        line = raw.strip()
        if not line:
            open_block = False
            continue
        kind, content = _read(line)
        last = blocks[-1] if blocks else None
        if kind in _LISTS and last is not None and last.kind is kind:
            blocks[-1] = Block(kind, (*last.lines, content))
        elif kind is Kind.PARAGRAPH and open_block and last is not None:
            joined = (*last.lines[:-1], f"{last.lines[-1]} {content}")
            blocks[-1] = Block(last.kind, joined)
        else:
            blocks.append(_link(kind, content) if kind in _LINKS else _one(kind, line))
        open_block = kind in _LISTS or kind is Kind.PARAGRAPH
    return tuple(blocks)


def _read(line: str) -> tuple[Kind, str]:
    for pattern, kind in _MARKUP:
        found = pattern.fullmatch(line)
        if found is not None:
            return kind, found[1]
    return Kind.PARAGRAPH, line


def _one(kind: Kind, line: str) -> Block:
    return Block(kind, (_read(line)[1],))


def _link(kind: Kind, content: str) -> Block:
    """A link to a URL that readers may be sent to, else its words alone."""
    label, _, last = content.rpartition(" ")
    url = safe_url(last.translate(_UNMARKED))
    if not label or url is None:
        return Block(Kind.PARAGRAPH, (content,))
    return Block(kind, (label,), url)


def unmarked(line: str) -> str:
    """The line as people read it."""
    return line.translate(_UNMARKED)


Link: TypeAlias = Callable[[str], str]
"""What stands before a link's URL, from its words: `words:` in English."""


def as_text(blocks: Sequence[Block], link: Link) -> str:
    """The text part, lines of at most 76 characters but for URLs."""
    text = "\n\n".join("\n".join(_text_lines(block, link)) for block in blocks)
    return text.replace("\n-- \n\n", "\n-- \n") + "\n"


def _text_lines(block: Block, link: Link) -> Iterable[str]:
    lines = [unmarked(line) for line in block.lines]
    match block.kind:
        case Kind.HEADING:
            title = wrap(lines[0])
            return [*title, "-" * max(map(width, title))]
        case Kind.STEPS:
            return _hanging((f"{n}. " for n in range(1, len(lines) + 1)), lines)
        case Kind.POINTS:
            return _hanging(("- " for _ in lines), lines)
        case Kind.BUTTON | Kind.LINK:
            return [*wrap(link(lines[0])), f"  {block.url}"]
        case Kind.FOOTER:
            return ["-- "]  # RFC 3676, section 4.3
        case Kind.SUBHEADING | Kind.PARAGRAPH:
            return wrap(lines[0])


def _hanging(heads: Iterable[str], lines: Sequence[str]) -> list[str]:
    return [
        wrapped
        for head, line in zip(heads, lines, strict=False)
        for wrapped in wrap(line, head, " " * len(head))
    ]


def as_data(blocks: Sequence[Block], link: Link) -> list[dict[str, object]]:
    """The blocks as the layout sees them: their words are escaped already."""
    data: list[dict[str, object]] = []
    small = False
    for block in blocks:
        if block.kind is Kind.FOOTER:
            small = True
            continue
        data.append(
            {
                "kind": block.kind.value,
                "small": small,
                "lines": [_inline(line) for line in block.lines],
                "before": _inline(link(block.lines[0])) if block.url else "",
                "url": block.url,
                "host": host_of(block.url),
            }
        )
    return data


def _inline(line: str) -> Markup:
    """The line escaped, each value isolated from the direction of what is around it.

    An element whose `dir` is `auto` is isolated as `bdi` is; Gmail and Outlook drop the
    element `bdi`, and keep this.

    Source: HTML Living Standard, section 15.3.5, "Bidirectional text"; Can I email,
    "<bdi> element" and "dir attribute", read 2026-11-29.
    """
    if "`" in line:
        pieces = _VALUE.split(line)
        pieces[::2] = [words.replace("`", _TICK) for words in pieces[::2]]
        line = "".join(pieces)
    html = str(escape(line)).replace(OPEN, _OPENED).replace(CLOSE, "</span>")
    if _TICK in html:
        html = _CODE.sub(r'<code dir="ltr">\1</code>', html).replace(_TICK, "`")
    return Markup(html)  # noqa: S704 - escaped above
