"""Compose: a letter as facts becomes the bytes that leave, and nothing loses it."""

from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Final

from monitor.core.delivery import Item, Letter, Role
from monitor.core.incident import Reason
from monitor.errors import ConfigurationError
from monitor.notify import headers, proof
from monitor.notify.blocks import Block, as_data, as_text, parse, unmarked
from monitor.notify.digest import digest_facts
from monitor.notify.facts import (
    RESOLVED,
    Data,
    grouped,
    label,
    letter_facts,
    listed,
    matter_facts,
    put_in_words,
)
from monitor.notify.headers import UnwritableError
from monitor.notify.rendering import TemplateFaultError
from monitor.notify.safe import clean, one_line, shorten
from monitor.notify.templates import Book, Shelf, built_in
from monitor.notify.words import Calendar, babel_locale, locale_chain, zone_named

TRIAL: Final = "test.txt"
LONGEST_SUBJECT: Final = 100
MOST_ITEMS: Final = 100
LARGEST: Final = 100_000
"""Bytes of a letter as it is sent. Gmail hides the end of what is larger than about
102 kB, as senders report; a guess."""
_FEWEST: Final = 3
"""So many matters are named, however long their names are."""
_MOST_TOLD: Final = 10
"""Matters with a section of their own; the others are points of a list."""
_SHORTEST_NAME: Final = 12


@dataclass(frozen=True, slots=True)
class Composed:
    """A letter as it leaves, and as people read it."""

    subject: str
    text: str
    html: str
    raw: bytes
    envelope_to: tuple[str, ...]
    """The reader first, then copies."""
    fell_back: str | None = None
    """The fault of an operator's template for which our own words were used."""


@dataclass(frozen=True, slots=True)
class _Page:
    """A letter in words, before it is dressed."""

    book: Book
    subject: str
    blocks: tuple[Block, ...]

    def text(self) -> str:
        return as_text(self.blocks, self._link)

    def html(self, shelf: Shelf) -> str:
        language = self.book.language
        return shelf.dress(
            {
                "language": language,
                "direction": babel_locale(language).text_direction,
                "title": self.subject,
                "blocks": as_data(self.blocks, self._link),
            }
        )

    def _link(self, words: str) -> str:
        return self.book.words.say("link", words=words)


@dataclass(frozen=True, slots=True)
class _Draft:
    subject: str
    text: str
    html: str


class Composer:
    """Writes letters: equal input gives equal bytes, on every attempt.

    Args:
        sender: The From mailbox, with a display name if wanted.
        reply_to: The mailbox of people who answer; `None`: no such header.
        templates: The operator's folder, whose files win over ours one by one.
        contact: Whom the letter names for questions; `None`: the reply address.

    Raises:
        ConfigurationError: A mailbox cannot be written, or there is no such folder.
    """

    def __init__(
        self,
        sender: str,
        reply_to: str | None = None,
        *,
        templates: Path | None = None,
        contact: str | None = None,
    ) -> None:
        name, self._address = _configured("mail.from", sender)
        self._from = headers.mailbox_line("From", name, self._address)
        self._reply_to = ""
        if reply_to is not None:
            name, desk = _configured("mail.reply_to", reply_to)
            self._reply_to = headers.mailbox_line("Reply-To", name, desk)
            contact = contact or desk
        self._contact = clean(contact) if contact else None
        self._list_id = f"<token-monitor.{self._address.rpartition('@')[2]}>"
        if templates is not None and not templates.is_dir():
            raise ConfigurationError(
                f"mail.templates: {templates} is not a folder; expected one with files"
                " like en/findings/expired.txt"
            )
        self._templates = templates
        self._own = Shelf(built_in())
        self._shelf = Shelf(templates, built_in()) if templates else self._own

    @property
    def envelope_from(self) -> str:
        """The envelope sender: the address of the From mailbox."""
        return self._address

    def compose(self, letter: Letter, now: datetime) -> Composed:
        """The letter at this instant.

        Raises:
            UnwritableError: Its address can never be written; settle it as refused.
        """
        to = headers.address(letter.to)
        recipients = (to, *_writable(letter.cc, to))
        most = MOST_ITEMS
        while True:
            composed = self._composed(letter, recipients, now, most)
            if len(composed.raw) <= LARGEST or most <= _FEWEST:
                return composed
            most //= 2  # the others are counted

    def _composed(
        self, letter: Letter, recipients: tuple[str, ...], now: datetime, most: int
    ) -> Composed:
        draft, fell_back = self._written(letter, now, most)
        lines = self._headers(letter, draft.subject, recipients, now)
        raw = headers.serialise(lines, draft.text, draft.html)
        return Composed(
            draft.subject, draft.text, draft.html, raw, recipients, fell_back
        )

    def _written(
        self, letter: Letter, now: datetime, most: int
    ) -> tuple[_Draft, str | None]:
        """The words, and the first fault that kept better ones from being used.

        The operator's words come before ours, and the reader's language before English.
        """
        faults: list[str] = []
        tries = [(self._shelf, letter), (self._own, letter)]
        tries.append((self._own, replace(letter, locale="en")))
        for shelf, spoken in tries:
            try:
                page = self._page(shelf, spoken, now, most)
                draft = _Draft(page.subject, page.text(), page.html(shelf))
            except TemplateFaultError as fault:
                faults.append(str(fault))
                continue
            return draft, faults[0] if faults else None
        raise TemplateFaultError(faults[0])

    def check(self) -> list[str]:
        """Render every code for every kind and reason in every language.

        Of the operator's folder only what it changes; without one, all of ours.

        Returns:
            Faults of templates, each `file:line: what`; empty if all can be used.
        """

        def write(shelf: Shelf, letter: Letter, now: datetime, *, dress: bool) -> None:
            page = self._page(shelf, letter, now)
            if dress:
                page.html(shelf)

        return proof.faults(self._templates, write)

    def _headers(
        self, letter: Letter, subject: str, recipients: tuple[str, ...], now: datetime
    ) -> list[tuple[str, str]]:
        """Every header in its order; an empty value stands for none."""
        incidents = headers.plain_words(item.incident for item in letter.items)
        reasons = headers.plain_words(item.reason.value for item in letter.items)
        incident, reason = "X-Token-Monitor-Incident", "X-Token-Monitor-Reason"
        return [
            ("From", self._from),
            ("To", recipients[0]),
            ("Cc", ",\n ".join(recipients[1:])),
            ("Reply-To", self._reply_to),
            ("Subject", headers.unstructured("Subject", subject)),
            ("Date", format_datetime(now)),
            ("Message-ID", headers.message_id(letter.message_id)),
            ("References", headers.message_ids("References", letter.references)),
            ("Auto-Submitted", "auto-generated"),  # RFC 3834, section 5
            ("List-Id", self._list_id),  # RFC 2919
            *headers.unsubscribe(letter.mute_url),
            (incident, headers.fold(incident, incidents)),
            (reason, headers.fold(reason, reasons)),
        ]

    def _page(
        self, shelf: Shelf, letter: Letter, now: datetime, most: int = MOST_ITEMS
    ) -> _Page:
        book = shelf.book(letter.locale)
        chain = locale_chain(letter.locale)
        tag = chain[0] if book.language in chain[:-1] else book.language
        locale, zone = babel_locale(tag), zone_named(letter.timezone)
        calendar = Calendar(book.words, locale, zone, now)
        if not letter.items:
            return self._trial(book, letter)
        if letter.items[0].reason is Reason.REPORT:
            return self._report(book, letter, calendar)
        told = [item for item in letter.items if item.reason is not Reason.RESOLVED]
        healed = [item for item in letter.items if item.reason is Reason.RESOLVED]
        frame = _frame(letter, told)
        items = (told or healed)[:most]
        about = letter_facts(letter, book.language, self._contact)
        matters = [
            put_in_words(matter_facts(item, calendar, letter.role), about, book)
            for item in items
        ]
        about |= {
            "lead": matters[0],
            "told": matters[:_MOST_TOLD],
            "listed": matters[_MOST_TOLD:],
            "unlisted": len(told or healed) - len(items),
            "others": len(told or healed) - 1,
            "labels": listed([label(i, calendar) for i in told or healed], calendar),
            "healed": [label(i, calendar) for i in healed[:_MOST_TOLD]] if told else [],
            "consequences": grouped(matters, "consequence", calendar, _MOST_TOLD),
            "steps": grouped(matters, "steps", calendar, _MOST_TOLD),
        }
        blocks = parse(book.render(frame, "body", about))
        subject = self._subject(book, frame, about, items[0], calendar)
        return _Page(book, subject, blocks)

    def _report(self, book: Book, letter: Letter, calendar: Calendar) -> _Page:
        about = letter_facts(letter, book.language, self._contact)
        about |= digest_facts(letter.items[0], calendar)
        blocks = parse(book.render("report.txt", "body", about))
        words = unmarked(book.render("report.txt", "subject", about))
        subject = shorten(one_line(f"[{about['product']}] {words}"), LONGEST_SUBJECT)
        return _Page(book, subject, blocks)

    def _trial(self, book: Book, letter: Letter) -> _Page:
        """The letter about nothing: it says that it is a test."""
        about = letter_facts(letter, book.language, self._contact)
        blocks = parse(book.render(TRIAL, "body", about))
        words = unmarked(book.render(TRIAL, "subject", about))
        subject = shorten(one_line(f"[{about['product']}] {words}"), LONGEST_SUBJECT)
        return _Page(book, subject, blocks)

    def _subject(
        self, book: Book, frame: str, about: Data, item: Item, calendar: Calendar
    ) -> str:
        """The subject, its name shortened until a hundred characters hold it."""

        def phrase(longest: int) -> str:
            lead = about["lead"]
            if not isinstance(lead, dict):
                raise TypeError("the leading matter is a mapping")
            shown = {**lead, "label": label(item, calendar, longest)}
            resolved = item.reason is Reason.RESOLVED
            name, section = f"findings/{lead['finding']['code']}.txt", "subject"
            if about["others"]:
                name, section = frame, "subject_many"
            elif resolved and len(lead["findings"]) > 1:
                name = frame
            elif resolved:
                section = RESOLVED
            data = {**about, "lead": shown, "matter": shown, "finding": lead["finding"]}
            return f"[{about['product']}] {unmarked(book.render(name, section, data))}"

        whole = phrase(LONGEST_SUBJECT)
        excess = len(whole) - LONGEST_SUBJECT
        if excess > 0:
            length = len(clean(item.name or item.token_id or item.app_name))
            longest = min(length, LONGEST_SUBJECT) - excess
            whole = phrase(max(longest, _SHORTEST_NAME))
        return shorten(one_line(whole), LONGEST_SUBJECT)


def _frame(letter: Letter, told: list[Item]) -> str:
    if letter.role is Role.OPERATOR:
        return "operator.txt"
    return "attention.txt" if told else "resolved.txt"


def _writable(addresses: tuple[str, ...], to: str) -> tuple[str, ...]:
    """The copies that can be written: one that cannot must not lose the letter."""
    written: dict[str, None] = {}
    for text in addresses:
        try:
            written[headers.address(text)] = None
        except UnwritableError:
            continue
    written.pop(to, None)
    return tuple(written)


def _configured(key: str, text: str) -> tuple[str, str]:
    try:
        return headers.mailbox(text)
    except UnwritableError as error:
        raise ConfigurationError(
            f"{key}: {error}; expected Name <name@domain.example>"
        ) from None
