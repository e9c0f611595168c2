"""Write what the docs repeat of the code: commands, answers, metrics, a letter.

Run as `python -m tests.rewrite_docs`; `make docs` does.
"""

from collections.abc import Iterator
from pathlib import Path

import click

from monitor.cli import main as door
from monitor.probe.meanings import meanings_table
from monitor.web.metrics import CATALOGUE
from tests.notify.rewrite import composed_samples

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"

_BEGIN, _END = "<!-- generated: make docs -->", "<!-- end of generated -->"
_WIDTH = 88


def between_marks(text: str, generated: str) -> str:
    """The text with what stands between its marks replaced."""
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"no {_BEGIN} … {_END}")
    return f"{before}{_BEGIN}\n{generated.strip()}\n{_END}{after}"


def every_command() -> Iterator[tuple[str, str]]:
    """Every command by its full name, with the text of its `--help`."""
    yield from _commands(door, "token-monitor", None)


def _commands(
    command: click.Command, name: str, parent: click.Context | None
) -> Iterator[tuple[str, str]]:
    context = click.Context(
        command,
        parent=parent,
        info_name=name,
        terminal_width=_WIDTH,
        help_option_names=["-h", "--help"],
    )
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            found = command.get_command(context, each)
            if found is not None:
                yield from _commands(found, each, context)


def commands() -> str:
    """The help of every command, under a heading each."""
    parts = [f"## `{name}`\n\n```text\n{text}\n```" for name, text in every_command()]
    return "\n\n".join(parts)


def answers() -> str:
    """The table of meanings as Markdown, in the order in which it is read."""
    head = ("where", "code", "subcode", "and", "means", "why", "source")
    rows = [head, tuple("---" for _ in head)]
    rows += [
        (
            row.position,
            row.code,
            row.subcode,
            row.text,
            f"`{row.meaning}`",
            row.note,
            row.source,
        )
        for row in meanings_table()
    ]
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in rows)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def metrics() -> str:
    """The table of metrics as Markdown."""
    rows = [("metric", "kind", "labels", "meaning"), ("---", "---", "---", "---")]
    rows += [
        (
            f"`{each.name}`",
            "counter" if each.counter else "gauge",
            ", ".join(f"`{label}`" for label in each.labels),
            each.help,
        )
        for each in CATALOGUE
    ]
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in rows)


def letter() -> str:
    """A letter as its owner gets it; a sample, so it is always the real one."""
    composed = composed_samples()["expiring.opened.page"]
    text = f"Subject: {composed.subject}\n\n{composed.text}"
    return f"```text\n{text.strip()}\n```"


GENERATED = {
    DOCS / "commands.md": commands,
    DOCS / "answers.md": answers,
    DOCS / "metrics.md": metrics,
    ROOT / "README.md": letter,
}
"""Each file with generated text, and who makes it."""


def main() -> None:
    """Rewrite every file with generated text."""
    for path, make in GENERATED.items():
        text = path.read_text(encoding="utf-8")
        path.write_text(between_marks(text, make()), encoding="utf-8")


if __name__ == "__main__":
    main()
