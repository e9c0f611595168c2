"""What all sections of the configuration have in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A mapping of the configuration: frozen, and no key is unknown to it."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )


def present(value: object) -> object:
    """A section whose keys are all commented out is a section of defaults."""
    return {} if value is None else value


def listed(value: object) -> object:
    """One word where several may stand is a list of one."""
    return [value] if isinstance(value, str) else value
