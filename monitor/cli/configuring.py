"""Commands that set the house up: init, config, keys, db."""

import os
from pathlib import Path

import click

from monitor.cli.shared import config_path, load_settings, print_json, wait_for


@click.command()
@click.argument("directory", default=".", type=click.Path(file_okay=False))
def init(directory: str) -> None:
    """Write a commented monitor.yaml and a fresh key file; overwrite nothing."""
    from monitor.config import new_key, write_starter

    configuration, key = write_starter(Path(directory), new_key())
    click.echo(f"{configuration}  edit this: apps, mail, operator")
    click.echo(f"{key}  keep this safe: without it stored tokens cannot be read")
    click.echo(f"then: token-monitor -c {configuration} config check")


@click.group()
def config() -> None:
    """Check, show or describe the configuration."""


@config.command("check")
@click.pass_context
def config_check(ctx: click.Context) -> None:
    """Name every fault at once, each with file, line and column."""
    from monitor.app import check_settings

    settings = load_settings(ctx)
    check_settings(settings)
    click.echo(
        f"{settings.source}: fine: {len(settings.apps)} apps, "
        f"{len(settings.rules)} policies, {len(settings.keys)} keys"
    )


@config.command("show")
@click.pass_context
def config_show(ctx: click.Context) -> None:
    """Print the effective values, defaults included, secrets masked."""
    from monitor.config import load, show

    click.echo(show(load(config_path(ctx), os.environ)), nl=False)


@config.command("schema")
def config_schema() -> None:
    """Print the JSON Schema of monitor.yaml, for editors."""
    from monitor.config import schema

    print_json(schema())


@click.group()
def keys() -> None:
    """The keys that seal stored tokens."""


@keys.command("new")
def keys_new() -> None:
    """Print a fresh key."""
    from monitor.config import new_key

    click.echo(new_key())


@click.group()
def db() -> None:
    """The schema of the database."""


@db.command("upgrade")
@click.pass_context
def db_upgrade(ctx: click.Context) -> None:
    """Bring the schema to this release."""
    from monitor.store.database import upgrade_database

    settings = load_settings(ctx)
    url = settings.database.get_secret_value()
    before, after = wait_for(upgrade_database(url))
    if before == after:
        click.echo(f"schema {after}: nothing to do")
    else:
        click.echo(f"schema {before or 'none'} → {after}")


@db.command("check")
@click.pass_context
def db_check(ctx: click.Context) -> None:
    """Say whether the database can be opened with the schema and keys at hand."""
    from monitor.app import open_store
    from monitor.store.database import HEAD

    settings = load_settings(ctx)

    async def work() -> None:
        async with open_store(settings):
            click.echo(f"schema {HEAD}: fine, and the keys open it")

    wait_for(work())
