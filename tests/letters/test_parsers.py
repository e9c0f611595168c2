"""Three parsers that share no code read the same subject, reader and words."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest

from monitor.notify.compose import Composed
from tests.letters.tools import command, every_letter, perl, ran, written
from tests.notify.rewrite import composed_samples


@dataclass(frozen=True, slots=True)
class Reading:
    """What a parser makes of a letter."""

    subject: str
    to: tuple[str, ...]
    bodies: str
    """Both bodies, one after the other."""


def by_python(paths: Sequence[Path]) -> list[Reading]:
    """The standard library of Python, under its newer policy."""
    messages = [message_from_bytes(path.read_bytes(), policy=default) for path in paths]
    return [
        Reading(
            message["Subject"],
            tuple(address.addr_spec for address in message["To"].addresses),
            _lines("".join(part.get_content() for part in message.iter_parts())),
        )
        for message in messages
    ]


def by_perl(paths: Sequence[Path]) -> list[Reading]:
    """Email::MIME, as it comes from CPAN."""
    read = map(json.loads, perl("mime.pl", "Email::MIME", paths))
    return [
        Reading(each["subject"], tuple(each["to"]), _lines("".join(each["bodies"])))
        for each in read
    ]


def by_c(paths: Sequence[Path]) -> list[Reading]:
    """The mblaze tools, which are written in C and convert by iconv."""
    mhdr, mshow, none = command("mhdr"), command("mshow"), str(paths[0].parent)
    subjects = ran([mhdr, "-d", "-h", "subject", *paths], MBLAZE=none, LC_ALL="C.UTF-8")
    readers = ran([mhdr, "-d", "-A", "-h", "to", *paths], MBLAZE=none)
    each = 'for letter; do "$0" -O "$letter" 2 3; printf "\\0"; done'
    bodies = ran(["sh", "-c", each, mshow, *paths], MBLAZE=none).split("\0")
    return [
        Reading(subject, (reader,), _lines(body))
        for subject, reader, body in zip(
            subjects.split("\n")[:-1],
            readers.split("\n")[:-1],
            bodies[:-1],
            strict=True,
        )
    ]


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n")


PARSERS = (by_python, by_perl, by_c)
Parser = Callable[[Sequence[Path]], list[Reading]]


def meant(composed: Composed) -> Reading:
    """What a letter is meant to say."""
    body = composed.text + composed.html
    return Reading(composed.subject, composed.envelope_to[:1], body)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    raws = {name: composed.raw for name, composed in every_letter().items()}
    return written(raws, tmp_path_factory.mktemp("letters"))


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.__name__)
def test_a_parser_reads_what_is_meant(parser: Parser, paths: dict[str, Path]):
    """Each agrees with what is meant, and so with the other two."""
    letters = every_letter()
    read = dict(zip(paths, parser(list(paths.values())), strict=True))
    wrong = [name for name, seen in read.items() if seen != meant(letters[name])]
    assert [(name, read[name], meant(letters[name])) for name in wrong[:2]] == []
    assert len(read) >= 600


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.__name__)
def test_a_parser_sees_what_is_changed(parser: Parser, tmp_path: Path):
    """The control: of each thing that is compared, another letter's is noticed."""
    calm = composed_samples()["expiring.opened.page"]
    changes = {
        "subject": (b'"Bakery North" ', b'"Bakery South" '),
        "to": (b"\nTo: jane@", b"\nTo: john@"),
        "text": (b"Hello Jane", b"Hello John"),
        "html": (b"</body>", b"x</body>"),
    }
    raws = {name: calm.raw.replace(old, new, 1) for name, (old, new) in changes.items()}
    assert calm.raw not in raws.values()
    read = parser(list(written(raws, tmp_path).values()))
    assert [seen == meant(calm) for seen in read] == [False] * len(raws)
