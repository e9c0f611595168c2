"""Commands for the operator's own look at the letters: mail preview, mail test."""

from pathlib import Path

import click

from monitor.cli.shared import format_option, wait_for


@click.group()
def mail() -> None:
    """Read every letter before anybody gets one; try the way letters take."""


@mail.command("preview")
@click.option(
    "--code",
    "codes",
    multiple=True,
    help="Only the letters of this code, of `many` or of `report`; may be repeated.",
)
@click.option(
    "--locale",
    "locales",
    multiple=True,
    help="In this language; may be repeated, and `all` means every language there is."
    "  [default: mail.locale, else en]",
)
@click.option(
    "--out",
    default="letters-preview",
    type=click.Path(file_okay=False),
    help="Where the letters and their index.html are written.",
    show_default=True,
)
@format_option
@click.pass_context
def mail_preview(
    ctx: click.Context,
    codes: tuple[str, ...],
    locales: tuple[str, ...],
    out: str,
    style: str | None,
) -> None:
    """Write every letter as files to look through; send nothing.

    Sender, words and the first app are those of the configuration, if there is one;
    names and dates are samples. It needs neither a database nor any secret.
    """
    from monitor.cli.previewing import preview

    preview(ctx, codes, locales, Path(out), style)


@mail.command("test")
@click.argument("address", metavar="ADDRESS")
@click.option("--code", help="Send the sample letter of this code instead.")
@click.option("--locale", help="In this language.  [default: mail.locale]")
@click.option(
    "--format",
    "style",
    type=click.Choice(["table", "json"]),
    help="How to print: table on a terminal, json elsewhere unless asked.",
)
@click.pass_context
def mail_test(
    ctx: click.Context,
    address: str,
    code: str | None,
    locale: str | None,
    style: str | None,
) -> None:
    """Send one letter that says it is a test, and tell what the server answers.

    Every step is told with its reply and its time; on failure also what to mend.
    Nothing is stored. Ends 0 if the server took the letter, else 3.
    """
    from monitor.cli.trying import attempt

    ctx.exit(wait_for(attempt(ctx, address, code, locale, style)))
