"""Values that are never shown: secrets, and the keys that seal them."""

import base64
import binascii
from typing import Annotated

from pydantic import SecretBytes, SecretStr

from monitor.config.scalars import Read, text_of, wrong


def _secret(value: object) -> SecretStr:
    if isinstance(value, SecretStr):
        return value
    if value is None or value == "":
        raise wrong("is empty, expected a secret")
    text = text_of(value, "a secret")
    if any(ord(sign) < 0x20 or ord(sign) == 0x7F for sign in text):  # noqa: PLR2004 - C0
        raise wrong("holds a line break or a control character, expected one line")
    return SecretStr(str(text))


def _key(value: object) -> SecretBytes:
    if isinstance(value, SecretBytes):
        return value
    expected = (
        "expected 32 random bytes in url-safe base64 (44 characters):"
        " `token-monitor keys new` prints a fresh key"
    )
    if value is None or value == "":
        raise wrong(f"is empty, {expected}")
    text = text_of(value, "a key")
    try:
        key = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise wrong(f"is not a key, {expected}") from None
    if len(key) != 32 or "+" in text or "/" in text:  # noqa: PLR2004 - AES-256
        raise wrong(f"is not a key, {expected}")
    return SecretBytes(key)


Secret = Annotated[SecretStr, Read(_secret, {"type": "string"})]
KeyMaterial = Annotated[SecretBytes, Read(_key, {"type": "string"})]
