"""Inline: the style sheet of a layout moves into its tags, once, when it is loaded.

Mail programs drop style sheets, or parts of them, and keep `style` attributes. The
layout is a template still: what stands in `{{ }}` and `{% %}` is blanked in a copy, the
copy is inlined, and the styles that its tags then have are written into the template.
So nothing else of it changes, and faults name its own lines.

Source: Can I email, "<style> element", read 2026-11-29.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from html.parser import HTMLParser
from typing import Final

from css_inline import CSSInliner, InlineError

from monitor.notify.rendering import TemplateFaultError

_INLINER: Final = CSSInliner(
    keep_style_tags=True,
    remove_inlined_selectors=True,  # what no tag can carry stays: `:hover`, `@media`
    keep_at_rules=True,
    load_remote_stylesheets=False,
)
_MARKUP: Final = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_QUOTED: Final = re.compile(r"\"[^\"]*\"|'[^']*'")
_OWN_STYLE: Final = re.compile(r"(\sstyle\s*=\s*[\"'])", re.IGNORECASE)
_MARK: Final = "data-mark"


@dataclass(slots=True)
class _Tag:
    """A start tag and where it stands; of a style sheet also its text."""

    name: str
    attributes: dict[str, str | None]
    start: int
    end: int
    line: int
    sheet: str = ""


class _Page(HTMLParser):
    """The start tags of a page."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=False)
        self.tags: list[_Tag] = []
        self._lines = [0, *(found.end() for found in re.finditer("\n", page))]
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        line, column = self.getpos()
        start = self._lines[line - 1] + column
        end = start + len(self.get_starttag_text() or "")
        self.tags.append(_Tag(tag, dict(attrs), start, end, line))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "style":
            self.tags[-1].sheet += data


def inlined(source: str, path: str) -> str:
    """The template with its styles in its tags; what cannot go there stays a sheet.

    Nothing is fetched and no other file is read: sheets that a layout links to are
    no part of this.

    Raises:
        TemplateFaultError: Template markup stands where styles cannot be told: among
            the attributes of a tag, or in a sheet. Or it is no page at all.
    """
    plain = _MARKUP.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), source)
    try:
        tags = _Page(plain).tags
        done = _Page(_INLINER.inline("".join(_marked(plain, tags)))).tags
    except (AssertionError, InlineError) as error:  # the former is the parser's
        raise TemplateFaultError(f"{path}:1: is no page: {error}") from None
    for fault in _faults(source, tags):
        raise TemplateFaultError(f"{path}:{fault}")
    return "".join(_dressed(source, tags, {t.attributes.get(_MARK): t for t in done}))


def _marked(plain: str, tags: list[_Tag]) -> Iterator[str]:
    """The page with a number in each tag, without links and styles of its own."""
    at = 0
    for number, tag in enumerate(tags):
        yield plain[at : tag.start]
        at = tag.end
        if tag.name != "link":
            attributes = {**tag.attributes, _MARK: str(number)}
            attributes.pop("style", None)
            if tag.name == "style" and "media" in attributes:
                attributes["data-css-inline"] = "ignore"  # it does not always apply
            pairs = (f' {k}="{escape(v or "")}"' for k, v in attributes.items())
            yield f"<{tag.name}{''.join(pairs)}>"
    yield plain[at:]


def _faults(source: str, tags: list[_Tag]) -> Iterator[str]:
    for tag in tags:
        if re.search(r"\{[{%#]", _QUOTED.sub("", source[tag.start : tag.end])):
            where = f"{tag.line}: template markup among the attributes of <{tag.name}>"
            yield f"{where}; it may stand around the tag or in a quoted value"
        if found := _MARKUP.search(source, tag.end, tag.end + len(tag.sheet)):
            line = tag.line + source.count("\n", tag.start, found.start())
            yield f"{line}: template markup in a style sheet"


def _dressed(
    source: str, tags: list[_Tag], done: dict[str | None, _Tag]
) -> Iterator[str]:
    """The template piece by piece, with the styles of its tags."""
    at = 0
    for number, tag in enumerate(tags):
        new = done.get(str(number), tag)
        yield source[at : tag.start]
        at = tag.end
        if new is not tag:
            yield _styled(source[tag.start : at], tag.name, new.attributes.get("style"))
        else:  # a link, or what no HTML parser takes
            yield source[tag.start : at]
        if tag.sheet:
            at += len(tag.sheet)
            # Lines that went are made up for: faults name the right line.
            gone = "\n" * (tag.sheet.count("\n") - new.sheet.count("\n"))
            yield f"{new.sheet}{{#{gone}#}}" if gone else new.sheet
    yield source[at:]


def _styled(tag: str, name: str, style: str | None) -> str:
    """The tag with that style, before what it has of its own."""
    if not style:
        return tag
    style = escape(style)
    if _OWN_STYLE.search(tag):
        return _OWN_STYLE.sub(lambda found: f"{found[1]}{style}", tag, count=1)
    head = len(name) + 1
    return f'{tag[:head]} style="{style}"{tag[head:]}'
