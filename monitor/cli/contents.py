"""The index of a preview: one page, nothing fetched, every letter a click away."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Final

_STYLE: Final = """
:root { color-scheme: light dark; }
* { box-sizing: border-box; }
body { margin: 0; font: 15px/1.45 system-ui, sans-serif;
  color: light-dark(#1f2328, #e6e8eb); background: light-dark(#f4f4f2, #15181c); }
main { padding: 16px 20px; }
h1 { font-size: 19px; margin: 0 0 4px; }
h2 { font-size: 15px; margin: 20px 0 4px; font-family: ui-monospace, monospace; }
p { margin: 0 0 8px; }
ul { list-style: none; margin: 0; padding: 0; }
li { padding: 6px 0; border-top: 1px solid light-dark(#d8dbdf, #343a41); }
bdi { overflow-wrap: anywhere; }
small { color: light-dark(#57606a, #a3abb4); }
a { color: light-dark(#0b57a4, #8ab8ee); }
a:focus-visible { outline: 2px solid; outline-offset: 2px; }
nav a { margin-right: 10px; }
iframe { position: sticky; bottom: 0; display: block; width: 100%; height: 50vh;
  border: 0; border-top: 1px solid light-dark(#d0d4d9, #343a41); background: #ffffff; }
@media (min-width: 900px) {
  body { display: grid; grid-template-columns: minmax(340px, 2fr) 3fr; height: 100vh; }
  main { overflow-y: auto; }
  iframe { height: 100vh; border-top: 0;
    border-left: 1px solid light-dark(#d0d4d9, #343a41); }
}
"""


def index_page(rows: Sequence[Mapping[str, str]], about: str) -> str:
    """The page that leads to every letter.

    Args:
        rows: The letters in their order, those of one code together; `txt`, `html`
            and `eml` are where their forms lie, seen from the page.
        about: A sentence on whose words and product they are.
    """
    digest = hashlib.sha256(_STYLE.encode()).digest()
    style = f"'sha256-{base64.b64encode(digest).decode()}'"
    policy = f"default-src 'none'; style-src {style}; frame-src 'self' file:"
    groups = "".join(
        f"<section>\n<h2>{escape(code)}</h2>\n<ul>\n"
        f"{''.join(_line(row) for row in letters)}</ul>\n</section>\n"
        for code, letters in groupby(rows, key=lambda row: row["code"])
    )
    first = escape(rows[0]["html"]) if rows else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>Letters of token-monitor</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n<h1>Letters</h1>\n<p>{escape(about)}</p>\n{groups}</main>\n"
        f'<iframe name="letter" title="The letter" sandbox src="{first}"></iframe>\n'
        "</body>\n</html>\n"
    )


def _line(row: Mapping[str, str]) -> str:
    """One letter: its subject in its own direction, what it is, and its three forms."""
    what = " · ".join(
        escape(row[key]) for key in ("reason", "variant", "locale") if row[key]
    )
    links = "".join(
        f'<a href="{escape(row[form])}" {how}>{form.upper()}</a>'
        for form, how in (
            ("html", 'target="letter"'),
            ("txt", 'target="letter"'),
            ("eml", "download"),
        )
    )
    subject = f'<bdi lang="{escape(row["locale"])}">{escape(row["subject"])}</bdi>'
    return (
        f"<li>{subject}<br><small>{what}</small>\n"
        f'<nav aria-label="{escape(row["name"])}">{links}</nav></li>\n'
    )
