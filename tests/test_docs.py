"""What must be documented is documented, and what the docs repeat is what is."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor import errors
from monitor.config import Settings, load, new_key, schema
from monitor.core.delivery import Drop, Waiting
from monitor.core.tokens import Cause, Code
from monitor.core.verdict import MEANINGS, SHORT_LIFE
from monitor.store.tables import metadata
from tests.rewrite_docs import GENERATED, ROOT, between_marks, every_command

DOCS = ROOT / "docs"
PAGES = sorted(
    path
    for folder in (ROOT, DOCS, DOCS / "adr")
    for path in folder.glob("*.md")
    if path.is_file()
)


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def table_rows(text: str) -> Iterator[tuple[str, ...]]:
    """The rows of every table of a page, cell by cell, without backticks."""
    for line in text.splitlines():
        if line.startswith("|") and not line.startswith("|---"):
            cells = line.strip("|").split("|")
            yield tuple(cell.strip().strip("`") for cell in cells)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


# --- codes


@pytest.mark.parametrize("code", list(Code))
def test_a_code_has_a_section(code: Code) -> None:
    assert f"\n### `{code}`\n" in page("verdicts.md")


@pytest.mark.parametrize("code", list(Code))
def test_a_section_names_its_source(code: Code) -> None:
    _, _, rest = page("verdicts.md").partition(f"\n### `{code}`\n")
    assert "\nSource: " in rest.partition("\n#")[0]


@pytest.mark.parametrize("code", list(Code))
def test_the_table_says_what_the_code_means(code: Code) -> None:
    """Severity, reader and second look in the docs are those of the product."""
    meaning = MEANINGS[code]
    rows = {row[0]: row[1:] for row in table_rows(page("verdicts.md"))}
    severity, told_to, second_look = rows[code]
    assert severity == meaning.severity
    assert told_to == meaning.audience
    assert second_look.partition(",")[0] == ("yes" if meaning.sudden else "no")


def test_no_code_is_invented() -> None:
    found = re.findall(r"^### `(\w+)`$", page("verdicts.md"), re.MULTILINE)
    assert sorted(found) == sorted(Code)


@pytest.mark.parametrize("code", list(Code))
@pytest.mark.parametrize(
    "language",
    sorted(each.name for each in (ROOT / "templates").iterdir() if each.is_dir()),
)
def test_a_code_has_words(language: str, code: Code) -> None:
    folder = ROOT / "templates" / language / "findings"
    assert (folder / f"{code}.txt").read_text(encoding="utf-8").strip()


def test_short_life_is_the_documented_one() -> None:
    hours = SHORT_LIFE.total_seconds() / 3600
    assert f"lives for {hours:.0f} hours at most" in page("verdicts.md")


@pytest.mark.parametrize("cause", list(Cause))
def test_a_cause_is_explained(cause: Cause) -> None:
    assert f"| `{cause}` |" in page("answers.md")


@pytest.mark.parametrize("why", [*Waiting, *Drop])
def test_why_a_letter_waits_or_is_dropped_is_explained(why: str) -> None:
    assert f"`{why}`" in page("architecture.md")


# --- configuration


def every_key() -> Iterator[str]:
    whole: dict[str, Any] = schema()
    for section in (whole, *whole["$defs"].values()):
        yield from section.get("properties", ())


@pytest.mark.parametrize("key", sorted(set(every_key())))
def test_a_key_is_documented(key: str) -> None:
    assert f"`{key}`" in page("policy.md")


def settings_of(text: str, folder: Path) -> Settings:
    path = folder / "monitor.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path, {})


def test_the_configuration_of_the_readme_loads(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    example = text.partition("```yaml\n")[2].partition("```")[0]
    (tmp_path / "monitor.key").write_text(new_key(), encoding="ascii")
    (tmp_path / "acme.secret").write_text("a secret", encoding="ascii")
    settings = settings_of(example, tmp_path)
    assert [rule.name for rule in settings.rules] == ["ads", "default"]
    assert len(example.splitlines()) <= 12


def test_the_configuration_of_the_compose_file_loads(tmp_path: Path) -> None:
    """Its secrets are files of the container; the test has its own."""
    text = (ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8")
    compose: dict[str, Any] = yaml.safe_load(text)
    (tmp_path / "monitor_key").write_text(new_key(), encoding="ascii")
    (tmp_path / "acme_app_secret").write_text("a secret", encoding="ascii")
    inner = str(compose["configs"]["monitor"]["content"])
    settings = settings_of(inner.replace("/run/secrets/", ""), tmp_path)
    assert settings.mail.host in compose["services"]
    named = set(compose["services"]["daemon"]["secrets"])
    assert named == set(re.findall(r"/run/secrets/(\w+)", inner))
    assert named <= set(compose["secrets"])


# --- operations


def exit_codes() -> set[int]:
    found = {0, 1, 2, 3}
    for _, kind in inspect.getmembers(errors, inspect.isclass):
        found.add(getattr(kind, "exit_code", 2))
    return found


@pytest.mark.parametrize("code", sorted(exit_codes()))
def test_an_exit_code_is_documented(code: int) -> None:
    assert f"\n| {code} | " in page("operations.md")


def logged() -> set[tuple[str, str]]:
    """Every event of the source with its level."""
    call = re.compile(r'\blog\.(\w+)\(\s*"([^"]+)"')
    return {
        (event, "error" if level == "exception" else level)
        for path in (ROOT / "monitor").rglob("*.py")
        for level, event in call.findall(path.read_text(encoding="utf-8"))
    }


@pytest.mark.parametrize(("event", "level"), sorted(logged()))
def test_an_event_is_documented_with_its_level(event: str, level: str) -> None:
    assert f"\n| `{event}` | {level} | " in page("operations.md")


def test_no_event_is_invented() -> None:
    found = re.findall(r"\n\| `([a-z]+\.[a-z_]+)` \|", page("operations.md"))
    assert set(found) == {event for event, _ in logged()}


def variables() -> set[str]:
    """Every variable that the source names, or our example of an environment."""
    example = (ROOT / "config" / "monitor.env.example").read_text(encoding="utf-8")
    named = set(re.findall(r"^([A-Z_]+)=", example, re.MULTILINE))
    for path in (ROOT / "monitor").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        named.update(re.findall(r'"(TOKEN_MONITOR_[A-Z_]+)"', text))
    return named


@pytest.mark.parametrize("variable", sorted(variables()))
def test_a_variable_is_documented(variable: str) -> None:
    assert f"| `{variable}` |" in page("operations.md")


@pytest.mark.parametrize("table", sorted(metadata.tables))
def test_a_table_is_documented(table: str) -> None:
    assert f"| `{table}` |" in page("architecture.md")


# --- what the docs repeat


@pytest.mark.parametrize("path", GENERATED, ids=name_of)
def test_the_generated_part_is_current(path: Path) -> None:
    """`make docs` writes it anew."""
    text = path.read_text(encoding="utf-8")
    assert text == between_marks(text, GENERATED[path]())


@pytest.mark.parametrize("command", [name for name, _ in every_command()])
def test_a_command_is_documented(command: str) -> None:
    assert f"\n## `{command}`\n" in page("commands.md")


def spoken_of() -> set[str]:
    """Every command that a page, a letter or an error tells somebody to run."""
    sources = [
        *PAGES,
        *(ROOT / "templates").rglob("*.txt"),
        *(ROOT / "monitor").rglob("*.py"),
        ROOT / "config" / "monitor.yaml",
    ]
    call = re.compile(r"`token-monitor ((?:-c [^ `]+ )?[a-z][^`{]*)")
    return {
        found.strip()
        for source in sources
        for found in call.findall(source.read_text(encoding="utf-8"))
    }


@pytest.mark.parametrize("spoken", sorted(spoken_of()))
def test_a_command_that_is_spoken_of_exists(spoken: str) -> None:
    names = {name.removeprefix("token-monitor ") for name, _ in every_command()}
    words = re.sub(r"^-c \S+ ", "", spoken).split()
    groups = {name.partition(" ")[0] for name in names if " " in name}
    wanted = " ".join(words[:2]) if words[0] in groups and words[1:] else words[0]
    assert wanted in names


def test_every_target_is_named_to_contributors() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+): .*## ", makefile, re.MULTILINE)) - {"help"}
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert targets == set(re.findall(r"\| `make (\w+)` \|", contributing))


# --- pages


def prose(path: Path) -> str:
    """A page without its blocks of code."""
    text = path.read_text(encoding="utf-8")
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def anchors(path: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-")
        for head in heads
    }


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_a_link_leads_somewhere(path: Path) -> None:
    """Links stay inside the repository, and a heading they name is there."""
    for target in re.findall(r"\]\(([^)]+)\)", prose(path)):
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.is_relative_to(ROOT), target
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


@pytest.mark.parametrize("path", sorted((DOCS / "adr").glob("*.md")), ids=name_of)
def test_a_decision_is_dated_and_numbered(path: Path) -> None:
    number, title, blank, dated, *_ = [
        *path.name.split("-", 1)[:1],
        *path.read_text(encoding="utf-8").splitlines(),
    ]
    assert title.startswith(f"# {int(number)}. ")
    assert blank == ""
    assert re.match(r"\d{4}-\d{2}-\d{2}, accepted\.", dated)
