"""docs/policy.md explains every key, and its examples load."""

import re
from pathlib import Path

import pytest

from monitor.config import schema

TEXT = (Path(__file__).parents[2] / "docs" / "policy.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)


def every_key() -> set[str]:
    made = schema()
    sections = [made, *made["$defs"].values()]
    return {key for section in sections for key in section.get("properties", ())}


@pytest.mark.parametrize("key", sorted(every_key()))
def test_the_key_is_documented(key):
    assert f"`{key}`" in TEXT


@pytest.mark.parametrize("section", list(schema()["properties"]))
def test_the_section_has_a_heading(section):
    if not section.endswith("_file"):
        assert f"\n## `{section}`\n" in TEXT


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_example_loads(loaded, folder, example):
    (folder / "acme.secret").write_text("s")
    if "apps" not in example:
        example += '\napps: [{id: "1234567890", name: A, secret: s}]\n'
    assert loaded(example, SMTP_PASSWORD="x")


def test_a_line_is_a_sentence():
    lines = [line for line in TEXT.splitlines() if not line.startswith("|")]
    assert [line for line in lines if re.search(r"[a-z`]\. [A-Z`]", line)] == []
