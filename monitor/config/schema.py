"""The configuration as JSON Schema, for editors and for "did you mean"."""

from functools import cache
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema

from monitor.config.faults import Trail
from monitor.config.model import Settings
from monitor.config.show import plain
from monitor.config.twins import SECRETS

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """The JSON Schema of `monitor.yaml`."""
    made = Settings.model_json_schema(schema_generator=_AsWritten)
    _add_twins(made)
    made["title"] = "monitor.yaml of token-health-monitor"
    return {"$schema": _DIALECT, **made}


@cache
def keys_at(trail: Trail) -> tuple[str, ...]:
    """The keys a mapping at this place may have; none if any are allowed."""
    whole = schema()
    here = whole
    for step in trail:
        here = _resolved(here, whole)
        if isinstance(step, int):
            here = here.get("items", {})
        else:
            here = here.get("properties", {}).get(step, {})
    return tuple(_resolved(here, whole).get("properties", ()))


def _resolved(node: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    for choice in node.get("anyOf", ()):
        if choice.get("type") != "null":
            return _resolved(choice, whole)
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        found: dict[str, Any] = whole["$defs"][name]
        return found
    return node


class _AsWritten(GenerateJsonSchema):
    """Defaults as the file would write them, not as Python holds them."""

    def encode_default(self, dft: Any) -> Any:  # noqa: ANN401 - any default
        return plain(dft, mask=False)


def _add_twins(made: dict[str, Any]) -> None:
    """Every secret may stand in a file of its own, but not in two places."""
    for section, key in SECRETS:
        node = made
        if section:
            node = _resolved(made["properties"][section], made)
            node = _resolved(node.get("items", node), made)
        twin = f"{key}_file"
        about = f"A file that holds `{key}`, relative to this file."
        both = {"type": "string", "description": about}
        known = node["properties"]
        node["properties"] = {}
        for name, value in known.items():
            node["properties"][name] = value
            if name == key:
                node["properties"][twin] = both
        if key in node.get("required", ()):
            node["required"].remove(key)
            node["oneOf"] = [{"required": [key]}, {"required": [twin]}]
        else:
            node["not"] = {"required": [key, twin]}
