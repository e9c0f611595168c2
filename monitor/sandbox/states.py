"""What can be the matter with a token of the sandbox, by name."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_TEXT = re.compile(r"([a-z0-9_]+)(?:\(([^()]*)\))?")

STATES: Mapping[str, str] = {
    "valid": "alive until its own date, then expired",
    "expired": "ended (463), at its own date or, if that is ahead, when this began",
    "password_changed": "ended by a new password or a security reset (460)",
    "revoked": "the person removed the app (458)",
    "invalidated": "ended by an API call (466); scopes are gone from the answer",
    "checkpointed": "the person must log in at facebook.com first (459; `(490)`: 490)",
    "logged_out": "the person logged out (467)",
    "unconfirmed_user": "the person is not confirmed (464)",
    "page_role_lost": "the person lost the role on the page (492)",
    "invalid": "`is_valid` is false and no reason is given",
    "invalid_no_subcode": "code 190 with a text that says nothing, no subcode",
    "unknown_subcode": "code 190 with subcode 2999, which no page lists",
    "malformed": "could not be decrypted (`(parse)`: cannot be parsed)",
    "data_access_expired": "alive, but data access has lapsed",
    "wrong_app": "refused as a token of another app, at top level",
    "scope_lost": "alive without one scope: the last one, or `(the_scope)`",
    "target_lost": "alive without the targets of its first granular scope, or of one",
    "short_lived": "alive for an hour or two, without `issued_at`",
    "never_expiring": "alive, `expires_at` 0",
    "transient": "the item answers 503, code 2",
    "null_item": "the item is null",
    "hostile": "ended (460), with hostile names, keys and texts in the answer",
    "flapping": "password_changed at every odd look, valid at every even one",
}
"""Every state with its meaning; docs/sandbox.md repeats this table."""


@dataclass(frozen=True, slots=True)
class State:
    """A state and, where it takes one, its argument: `scope_lost(ads_read)`."""

    name: str
    argument: str = ""

    @classmethod
    def parse(cls, text: str) -> "State":
        """Read `name` or `name(argument)`.

        >>> State.parse("checkpointed(490)")
        State(name='checkpointed', argument='490')

        Raises:
            ValueError: no such state.
        """
        name, argument = name_and_argument(text)
        if name not in STATES:
            raise ValueError(f"no state {text!r}")
        return cls(name, argument)


VALID = State("valid")


def name_and_argument(text: str) -> tuple[str, str]:
    """Split `slow(3s)` into its two parts; text of another form has no argument."""
    match = _TEXT.fullmatch(text.strip())
    return (match[1], match[2] or "") if match else (text, "")
