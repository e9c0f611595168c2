"""Which sample letters are meant, and how they look with the operator's own product."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import click

from monitor.app import charter_of
from monitor.config import Settings
from monitor.core.delivery import Item, Letter, Role
from monitor.errors import did_you_mean
from monitor.notify.samples import sample_letters
from monitor.notify.templates import Shelf, built_in, languages
from monitor.notify.words import locale_chain

EVERY_LANGUAGE = "all"


def samples(
    codes: Sequence[str], tag: str, settings: Settings | None
) -> Iterator[tuple[str, Letter]]:
    """The samples of these codes, of all if none is named, in one language.

    Raises:
        click.UsageError: There are none of a code.
    """
    letters = dict(sample_letters(tag))
    known = list(dict.fromkeys(name.partition(".")[0] for name in letters))
    for code in codes:
        if code not in known:
            near = did_you_mean(code, known) or f"; there are {', '.join(known)}"
            raise click.UsageError(f"--code {code}: no letter has this code{near}")
    for name, letter in letters.items():
        if not codes or name.partition(".")[0] in codes:
            yield name, letter if settings is None else _own(letter, settings)


def moved(letter: Letter, by: timedelta) -> Letter:
    """The letter with all its instants later by so much."""

    def item_moved(item: Item) -> Item:
        findings = tuple(
            each
            if each.deadline is None
            else replace(each, deadline=each.deadline + by)
            for each in item.findings
        )
        at = item.verified_at
        return replace(
            item,
            findings=findings,
            opened_at=item.opened_at + by,
            verified_at=None if at is None else at + by,
        )

    return replace(letter, items=tuple(item_moved(item) for item in letter.items))


def tags_of(locales: Iterable[str], templates: Path | None) -> list[str]:
    """The languages meant; says of each that has no words of its own whose it gets.

    Raises:
        click.UsageError: A text that is no language tag.
    """
    roots = (built_in(),) if templates is None else (templates, built_in())
    known = {tag for root in roots for tag in languages(root)}
    shelf = Shelf(*roots)
    tags: dict[str, None] = {}
    for given in locales:
        if given == EVERY_LANGUAGE:
            tags |= dict.fromkeys(sorted(known, key=lambda tag: (tag != "en", tag)))
            continue
        chain = locale_chain(given)
        tag = chain[0]
        if len(chain) == 1 and given.lower() != tag:
            raise click.UsageError(
                f"--locale {given!r}: no language such as de or pt-BR, nor `all`"
            )
        words = shelf.book(tag).language
        if words != tag:
            click.echo(f"{tag}: no words of its own, those of {words} go", err=True)
        tags[tag] = None
    return list(tags)


def _own(letter: Letter, settings: Settings) -> Letter:
    """The sample as if it were about the first app of the configuration."""
    app = settings.apps[0]
    wired = charter_of(settings).apps[app.id]

    def item_own(item: Item) -> Item:
        facts = {
            key: text.replace(letter.product, app.name)
            for key, text in item.facts.items()
        }
        url = None
        if item.reauthorize_url is not None and item.token_id is not None:
            url = wired.way_back(item.token_id)
        return replace(
            item,
            app_id=app.id if item.app_id else "",
            app_name=app.name if item.app_name else "",
            reauthorize_url=url,
            facts=facts,
        )

    operator = letter.role is Role.OPERATOR
    return replace(
        letter,
        product=app.name,
        to=settings.operator.email[0] if operator else letter.to,
        items=tuple(item_own(item) for item in letter.items),
    )
