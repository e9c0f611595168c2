"""Every sample letter as files, with an index to look through."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from monitor.app import composer_of
from monitor.cli.choosing import samples, tags_of
from monitor.cli.contents import index_page
from monitor.cli.shared import (
    config_path,
    counted,
    each,
    print_rows,
    progress,
    take_folder,
    wait_for,
)
from monitor.config import find, load
from monitor.errors import ConfigurationError, OperatorError
from monitor.notify.compose import Composed, Composer
from monitor.notify.samples import sample_now

if TYPE_CHECKING:
    from monitor.config import Settings

_MARK: Final = ".token-monitor-letters"
"""Only a folder that holds this file is emptied."""
_COLUMNS: Final = ("code", "reason", "variant", "locale", "subject", "html")


def preview(
    ctx: click.Context,
    codes: Sequence[str],
    locales: Sequence[str],
    out: Path,
    style: str | None,
) -> None:
    """Write the letters and their index; list them."""
    settings = _settings(ctx)
    composer, about = _composer(settings)
    if settings is not None:
        tags = tags_of(locales or [settings.mail.locale], settings.mail.templates)
    else:
        tags = tags_of(locales or ["en"], None)
    letters = [
        (name, tag, letter)
        for tag in tags
        for name, letter in samples(codes, tag, settings)
    ]
    places: dict[str, int] = {}
    for name, *_ in letters:
        places.setdefault(_code(name), len(places))
    letters.sort(key=lambda one: places[_code(one[0])])
    rows: list[dict[str, str]] = []
    try:
        take_folder(out, _MARK)
        with progress("writing letters", len(letters)) as tell:
            for done, (name, tag, letter) in enumerate(letters, start=1):
                composed = composer.compose(letter, sample_now())
                rows.append(_write(out, name, tag, composed))
                tell(done)
        page = index_page(rows, f"{counted(len(rows), 'letter')} {about}")
        (out / "index.html").write_text(page, encoding="utf-8")
    except OSError as error:
        raise OperatorError(f"{out}: cannot be written: {error.strerror}") from None
    listed = [{**row, **_forms(out, row)} for row in rows]
    wait_for(print_rows(each(listed), style, _COLUMNS, "no letters"))
    click.echo(f"{counted(len(rows), 'letter')}: open {out / 'index.html'}", err=True)


def _settings(ctx: click.Context) -> "Settings | None":
    """The configuration without its secrets; `None`: there is none."""
    from monitor.config.load import VARIABLE

    if ctx.obj["path"] is None and not os.environ.get(VARIABLE):
        try:
            find(None, os.environ)
        except ConfigurationError:
            return None
    return load(config_path(ctx), os.environ, secrets=False)


def _composer(settings: "Settings | None") -> tuple[Composer, str]:
    """The writer, and a sentence on whose words these are."""
    if settings is None:
        sender, desk = "Acme Publisher <tokens@acme.example>", "support@acme.example"
        return Composer(sender, desk), (
            "with the built-in words; there is no configuration, so sender and product "
            "are samples."
        )
    words = "the built-in words"
    if settings.mail.templates is not None:
        words = f"the words of {settings.mail.templates.name} before the built-in ones"
    return composer_of(settings), (
        f"with {words}, from {settings.mail.sender}, as of {settings.apps[0].name}; "
        "people, names and dates are samples."
    )


def _code(name: str) -> str:
    return name.partition(".")[0]


def _write(out: Path, name: str, tag: str, composed: Composed) -> dict[str, str]:
    folder = out / tag
    folder.mkdir(exist_ok=True)
    forms: Mapping[str, bytes] = {
        "txt": composed.text.encode(),
        "html": composed.html.encode(),
        "eml": composed.raw,
    }
    for form, content in forms.items():
        (folder / f"{name}.{form}").write_bytes(content)
    code, _, rest = name.partition(".")
    reason, _, variant = rest.partition(".")
    return {
        "name": name,
        "code": code,
        "reason": reason,
        "variant": variant,
        "locale": tag,
        "subject": composed.subject,
        **{form: f"{tag}/{name}.{form}" for form in forms},
    }


def _forms(out: Path, row: Mapping[str, str]) -> dict[str, Any]:
    """Where the files lie, seen from where the command runs."""
    return {form: str(out / row[form]) for form in ("txt", "html", "eml")}
