"""The door: commands, their words, and their exit codes."""

import sys
from typing import Any

import click

from monitor import __version__
from monitor.cli.bouncing import bounces
from monitor.cli.configuring import config, db, init, keys
from monitor.cli.explaining import explain
from monitor.cli.holding import holds
from monitor.cli.inventory import tokens
from monitor.cli.mailing import mail
from monitor.cli.outgoing import outbox, silence, silences, unsilence
from monitor.cli.reading import status
from monitor.cli.rehearsing import demo, sandbox
from monitor.cli.working import check, deliver, run
from monitor.errors import OperatorError


class Door(click.Group):
    """Turns what the operator did wrong into words and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's
        """Run the command; an operator's error ends it without a traceback."""
        try:
            return super().invoke(ctx)
        except OperatorError as error:
            click.echo(str(error), err=True)
            ctx.exit(error.exit_code)
        except BrokenPipeError:
            # Whoever read our output has seen enough.
            sys.stderr.close()
            ctx.exit(0)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:  # noqa: BLE001 - a bug; its text may hold secrets
            from monitor.log import last_words

            click.echo(last_words(error), err=True, nl=False)
            ctx.exit(1)


@click.group(
    cls=Door,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 88},
)
@click.version_option(__version__, prog_name="token-monitor")
@click.option(
    "-c",
    "--config",
    "path",
    type=click.Path(dir_okay=False),
    help="The configuration; else $TOKEN_MONITOR_CONFIG, ./monitor.yaml or "
    "/etc/token-monitor/monitor.yaml.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="Log at this level, whatever the configuration says.",
)
@click.pass_context
def main(ctx: click.Context, path: str | None, log_level: str | None) -> None:
    """Watch Meta access tokens, and tell their owners in time.

    \b
    Start here:
      token-monitor demo            the whole way on a simulated Graph
      token-monitor init            a commented monitor.yaml and a fresh key
      token-monitor config check    every fault of the configuration at once

    \b
    Exit codes:
      0 fine                        1 attention needed
      2 usage, unknown id           3 could not ask or deliver
      65 input data refused         69 database or port unavailable
      73 another run has the file   78 configuration, policy, template, key, schema
    """  # noqa: D301 - \b is click's
    ctx.obj = {"path": path, "level": log_level}


for command in (
    demo,
    init,
    config,
    tokens,
    check,
    deliver,
    run,
    status,
    explain,
    silence,
    silences,
    unsilence,
    holds,
    outbox,
    bounces,
    mail,
    keys,
    db,
    sandbox,
):
    main.add_command(command)
