"""Styles move into the tags of a layout when it is loaded, and nothing else changes."""

import re
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from monitor.core.tokens import Code
from monitor.notify.compose import Composer
from monitor.notify.inlining import inlined
from monitor.notify.rendering import TemplateFaultError
from monitor.notify.samples import sample_item, sample_letter, sample_now
from monitor.notify.templates import built_in

SENDER = "Acme Publisher <tokens@acme.example>"


def sheet(rules: str, body: str) -> str:
    return f"<html><head><style>{rules}</style></head><body>{body}</body></html>"


def body_of(rules: str, body: str) -> str:
    done = inlined(sheet(rules, body), "layout.html")
    return done.partition("<body>")[2].partition("</body>")[0]


def test_a_tag_gets_its_styles():
    assert body_of("p { color: red }", "<p>x</p>") == '<p style="color: red;">x</p>'


def test_the_template_markup_stays_as_it_is():
    """Also where an HTML parser would move it out of a table, or escape it."""
    body = (
        "{% for a in b if a > 3 %}<table>{{ a['x'] }}<tr><td>{# <p> #}</td></tr>"
        '</table><a href="{{ a["url"] }}">{{ a }}</a>{% endfor %}&nbsp;<p>open'
    )
    assert body_of("b { color: red }", body) == body
    styled = body_of("td, a { color: red }", body)
    assert styled.count(' style="color: red;"') == 2
    assert styled.replace(' style="color: red;"', "") == body


def test_a_style_of_its_own_comes_last_and_may_be_a_template():
    body = '<ol class="a" style="padding-{{ start }}: 2px">'
    want = '<ol class="a" style="padding: 0;padding-{{ start }}: 2px">'
    assert body_of("ol { padding: 0 }", body) == want


def test_what_no_tag_can_carry_stays_in_the_sheet():
    rules = "a:hover { color: red }\n@media print { p { color: red } }\np { top: 0 }"
    done = inlined(sheet(rules, "<p>x</p>"), "layout.html")
    left = re.findall(r"<style>(.*?)</style>", done, re.DOTALL)[0]
    assert "a:hover" in left
    assert "@media print" in left
    assert "top" not in left


def test_a_sheet_that_does_not_always_apply_stays():
    sheets = '<style media="print">p { top: 0 }</style><style>p { left: 0 }</style>'
    done = inlined(f"<html><head>{sheets}</head><body><p>x</p></body></html>", "x")
    assert '<style media="print">p { top: 0 }</style>' in done
    assert '<p style="left: 0;">' in done


def test_quotes_in_a_style_do_not_end_the_attribute():
    assert body_of('p { font-family: "A B" }', "<p>x</p>") == (
        '<p style="font-family: &#x27;A B&#x27;;">x</p>'
    )


def test_comments_for_outlook_are_left_alone():
    body = "<!--[if mso]><p>x</p><![endif]--><p>y</p>"
    assert body_of("p { top: 0 }", body).startswith("<!--[if mso]><p>x</p><![endif]-->")


FAULTS = {
    "a condition among attributes": (
        "<html>\n<p {% if x %}class='a'{% endif %}>",
        "2: template markup among the attributes of <p>",
    ),
    "a value without quotes": (
        "<a href={{ x }}>",
        "1: template markup among the attributes of <a>",
    ),
    "a value in a sheet": (
        "<html>\n<style>\np { top: 0 }\nb { color: {{ x }} }</style>",
        "4: template markup in a style sheet",
    ),
    "no page": ("<![nothing[", "1: is no page: "),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_inlined_is_refused_with_its_line(tmp_path: Path, fault: str):
    source, what = FAULTS[fault]
    path = tmp_path / "layout.html"
    path.write_text(source, encoding="utf-8")
    with pytest.raises(TemplateFaultError, match=re.escape(f"{path}:{what}")):
        inlined(source, str(path))
    composer = Composer(SENDER, templates=tmp_path)
    composed = composer.compose(sample_letter(sample_item(Code.EXPIRED)), sample_now())
    assert (composed.fell_back or "").startswith(f"{path}:{what}")


def test_later_faults_name_the_line_that_the_operator_wrote(tmp_path: Path):
    source = sheet("\n\np { top: 0 }\n\n", "\n<p>{{ nobody }}</p>")
    path = tmp_path / "layout.html"
    path.write_text(source, encoding="utf-8")
    composer = Composer(SENDER, templates=tmp_path)
    composed = composer.compose(sample_letter(sample_item(Code.EXPIRED)), sample_now())
    assert composed.fell_back == f"{path}:6: 'nobody' is undefined"


def test_nothing_is_fetched_and_no_file_is_read(tmp_path: Path):
    asked: list[str] = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    (tmp_path / "x.css").write_text("p { color: red }", encoding="utf-8")
    server = HTTPServer(("127.0.0.1", 0), Server)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        where = f"http://127.0.0.1:{server.server_port}/x.css"
        links = "".join(
            f'<link rel="stylesheet" href="{url}">'
            for url in (where, str(tmp_path / "x.css"), f"file://{tmp_path}/x.css")
        )
        source = sheet(f'@import "{where}";', f"{links}<p>x</p>")
        done = inlined(source, "layout.html")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert asked == []
    assert "<p>x</p>" in done
    assert links in done


def test_every_tag_of_our_layout_has_its_styles():
    """What is left in its sheet is the dark scheme."""
    path = built_in() / "layout.html"
    done = inlined(path.read_text(encoding="utf-8"), str(path))
    left = re.findall(r"<style>(.*?)\{#", done, re.DOTALL)[0]
    assert left.startswith("@media (prefers-color-scheme: dark) {")
    for tag in re.findall(r"<(?:p|h2|h3|ol|ul|li|a|hr)\b[^>]*>", done):
        assert " style=" in tag


@pytest.mark.parametrize(
    ("locale", "direction", "start"), [("en", "ltr", "left"), ("ar", "rtl", "right")]
)
def test_a_letter_has_the_direction_of_its_language(
    tmp_path: Path, locale: str, direction: str, start: str
):
    """Also its lists; and its URLs are left to right in any."""
    (tmp_path / locale).mkdir()
    frame = (built_in() / "en" / "attention.txt").read_text(encoding="utf-8")
    (tmp_path / locale / "attention.txt").write_text(frame, encoding="utf-8")
    letter = replace(sample_letter(sample_item(Code.EXPIRED)), locale=locale)
    html = Composer(SENDER, templates=tmp_path).compose(letter, sample_now()).html
    assert f'<html lang="{locale}" dir="{direction}">' in html
    assert re.search(rf'<div class="letter" lang="{locale}" dir="{direction}"', html)
    assert re.search(rf'<ol style="[^"]*padding-{start}: 26px"', html)
    assert re.search(r'<p [^>]*class="url"><span dir="ltr">https://', html)
