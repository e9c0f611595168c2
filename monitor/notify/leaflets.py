"""Leaflets: the pages behind the links of letters, in the words of their reader."""

from itertools import product
from pathlib import Path
from typing import Final

from monitor.core.incident import MOST_REMINDERS
from monitor.core.mute import Scope, Sheet, hinted
from monitor.notify.blocks import as_data, parse, unmarked
from monitor.notify.facts import LONGEST_PRODUCT, Data
from monitor.notify.rendering import TemplateFaultError
from monitor.notify.safe import clean
from monitor.notify.templates import Book, Shelf, built_in, languages
from monitor.notify.words import babel_locale

_WORDS: Final = "pages/mute.txt"
_PAGE: Final = "page.html"
_BUTTONS: Final = {
    Sheet.ON: ("stop", "off"),
    Sheet.AGAIN: ("stop", "off"),
    Sheet.OFF: ("resume", "on"),
}
"""The words of the button of a sheet, and what it says of reminders."""


class Leaflets:
    """Writes the pages; a template of the operator's that fails gives way to ours.

    Args:
        templates: The operator's folder, whose files win over ours one by one.
    """

    def __init__(self, templates: Path | None = None) -> None:
        roots = (templates, built_in()) if templates else (built_in(),)
        self._languages = sorted({tag for root in roots for tag in languages(root)})
        self._own = Shelf(built_in())
        self._shelf = Shelf(*roots) if templates else self._own

    def page(self, sheet: Sheet, scope: Scope | None, locale: str, nonce: str) -> str:
        """The page as HTML.

        Args:
            sheet: What to say.
            scope: What the link covers; `None`: nothing is known of it.
            locale: The reader's language.
            nonce: By which the browser knows the page's own style.
        """
        try:
            return _written(self._shelf, sheet, scope, locale, nonce)
        except TemplateFaultError:
            if self._shelf is self._own:
                raise
            return _written(self._own, sheet, scope, locale, nonce)

    def check(self) -> list[str]:
        """Faults of templates, each `file:line: what`; empty if all can be used."""
        faults: dict[str, None] = {}
        for sheet, scope, tag in product(Sheet, _SAMPLES, self._languages):
            known = sheet not in {Sheet.UNKNOWN, Sheet.LATER}
            try:
                _written(self._shelf, sheet, scope if known else None, tag, "x")
            except TemplateFaultError as fault:
                faults[str(fault)] = None
        return list(faults)


_SAMPLES: Final = (
    Scope("a1b2c3d4e5f6", "ann@bakery.example", "Acme", "en", ("i1",)),
    Scope("a1b2c3d4e5f6", "ann@bakery.example", "Acme", "en", ("i1", "i2")),
)


def _written(
    shelf: Shelf, sheet: Sheet, scope: Scope | None, locale: str, nonce: str
) -> str:
    book = shelf.book(locale)
    about: Data = {"product": "token-monitor"}
    if scope is not None:
        about = {
            "product": clean(scope.product, LONGEST_PRODUCT) or "token-monitor",
            "reader": clean(hinted(scope.reader)),
            "alone": len(scope.incidents) == 1,
            "most_reminders": MOST_REMINDERS,
        }
        about["still"] = book.render(_WORDS, "still", about)
    data = {
        "language": book.language,
        "direction": babel_locale(book.language).text_direction,
        "title": unmarked(book.render(_WORDS, "title", about)),
        "blocks": as_data(parse(book.render(_WORDS, sheet.value, about)), str),
        "button": _button(book, sheet, about),
        "nonce": nonce,
    }
    return shelf.page(_PAGE, data)


def _button(book: Book, sheet: Sheet, about: Data) -> dict[str, str] | None:
    if sheet not in _BUTTONS:
        return None
    section, value = _BUTTONS[sheet]
    return {"value": value, "label": unmarked(book.render(_WORDS, section, about))}
