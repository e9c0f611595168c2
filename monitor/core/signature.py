"""Signature: the id of a letter in a form that only we can make.

Whoever shows it back has seen the letter, or somebody who has.
"""

import hmac
import re
from base64 import b32encode
from hashlib import blake2b
from typing import Final

SIGNATURE_BYTES: Final = 10
"""80 bits: guessing one takes more tries than anybody has."""
SIGNED: Final = re.compile(r"([0-9a-f]{12})\.([a-z2-7]{16})")
SIGNED_LENGTH: Final = 12 + 1 + 16


def signed(letter_id: str, key: bytes, purpose: bytes) -> str:
    """The id of a letter with its signature; lower case throughout.

    Args:
        letter_id: The id.
        key: The key of this purpose, which nobody else has.
        purpose: At most 16 bytes; what is signed for one is nothing for another.
    """
    digest = blake2b(
        letter_id.encode(), key=key, digest_size=SIGNATURE_BYTES, person=purpose
    ).digest()
    return f"{letter_id}.{b32encode(digest).decode('ascii').lower()}"


def letter_of(text: str, key: bytes, purpose: bytes) -> str | None:
    """The letter whose signed id this is, told in constant time; `None`: of none."""
    match = SIGNED.fullmatch(text)
    if match is None or not hmac.compare_digest(signed(match[1], key, purpose), text):
        return None
    return match[1]
