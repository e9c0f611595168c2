"""The oracle: whether an answer may be bad news at all, by the design's one sentence.

It shares no code with the product: it walks the text by itself, token by token.
"""

import json
import re
from typing import Any, Final


class No(Exception):  # noqa: N818 - an answer, not an error
    """The text is not JSON as the oracle takes it."""


TOKEN: Final = re.compile(
    r'[ \t\n\r]*(?:([{}\[\],:])|(true|false|null)|("(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]'
    r"|u[0-9a-fA-F]{4}))*\")|(-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?))"
)


class Parser:
    """A JSON parser that keeps every pair, so that nothing said twice is lost."""

    def __init__(self, text: str) -> None:
        self.tokens = []
        place = 0
        end = len(text.rstrip(" \t\n\r"))
        while place < end:
            match = TOKEN.match(text, place)
            if match is None:
                raise No
            self.tokens.append(match)
            place = match.end()
        self.at = 0

    def take(self) -> re.Match[str]:
        if self.at >= len(self.tokens):
            raise No
        self.at += 1
        return self.tokens[self.at - 1]

    def peek(self) -> str:
        return self.tokens[self.at][0].strip() if self.at < len(self.tokens) else ""

    def whole(self) -> Any:
        value = self.value()
        if self.at != len(self.tokens):
            raise No
        return value

    def value(self) -> Any:
        token = self.take()
        mark, word, text, number, fraction, exponent = token.groups()
        if text is not None:
            return json.loads(text)
        if number is not None:
            return "a float" * 9 if fraction or exponent else int(number[:4000])
        if word is not None:
            return {"true": True, "false": False, "null": None}[word]
        if mark == "{":
            return self.pairs()
        if mark == "[":
            return self.items()
        raise No

    def pairs(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self.peek() == "}":
            self.take()
            return found
        while True:
            key = self.value()
            if not isinstance(key, str) or key in found or self.take()[1] != ":":
                raise No
            found[key] = self.value()
            mark = self.take()[1]
            if mark == "}":
                return found
            if mark != ",":
                raise No

    def items(self) -> list[Any]:
        found: list[Any] = []
        if self.peek() == "]":
            self.take()
            return found
        while True:
            found.append(self.value())
            mark = self.take()[1]
            if mark == "]":
                return found
            if mark != ",":
                raise No


def may_be_bad(status: int, body: bytes) -> bool:
    """Whether bad news is allowed at all, by the design's sentence."""
    try:
        whole = Parser(body.decode("utf-8")).whole()
    except (No, UnicodeDecodeError, RecursionError):
        return False
    if not isinstance(whole, dict):
        return False
    data, error = whole.get("data"), whole.get("error")
    if data is None and isinstance(error, dict):
        return 400 <= status < 500 and is_about_another_app(error)
    return (
        status == 200
        and error is None
        and isinstance(data, dict)
        and data.get("is_valid") is False
        and is_of_a_session(data.get("error"))
    )


def is_about_another_app(error: dict[str, Any]) -> bool:
    words = " ".join(str(error.get("message", "")).lower().split())
    return error.get("code") == 100 and "did not match the viewing app" in words


def is_of_a_session(error: Any) -> bool:
    if error is None:
        return True
    code = error.get("code") if isinstance(error, dict) else "none"
    return (
        isinstance(code, int) and not isinstance(code, bool) and code in {0, 102, 190}
    )


def oracle_item(reply: bytes, place: int) -> bool:
    items = Parser(reply.decode()).whole()
    if isinstance(items, dict):
        items = [items[str(number)] for number in range(len(items))]
    body = items[place]["body"]
    text = body if isinstance(body, str) else json.dumps(body)
    return may_be_bad(items[place]["code"], text.encode("utf-8", "surrogatepass"))
