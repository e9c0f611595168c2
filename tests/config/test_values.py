"""Values mean what the contract says, whatever YAML thinks of them."""

from datetime import time, timedelta
from pathlib import Path

import pytest

from monitor.config import Appointment, Graph, Listen, Mailbox


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("6h", timedelta(hours=6)),
        ("14d", timedelta(days=14)),
        ("2w", timedelta(days=14)),
        ("1d12h", timedelta(hours=36)),
        ("1w1d1h1m1s", timedelta(days=8, hours=1, minutes=1, seconds=1)),
        ("0s", timedelta(0)),
        ('"90s"', timedelta(seconds=90)),
    ],
)
def test_durations(loaded, written, meant):
    text = f"mail: {{from: a@b.example, group_wait: {written}}}"
    assert loaded(text).mail.group_wait == meant


def test_yaml_plays_no_tricks(loaded):
    """`no` is a word, a zero in front is kept, 12:30 is no number."""
    settings = loaded(
        "apps: [{id: 0123, name: no, secret: 12:30:45}]\n"
        "policies:\n"
        "  - {name: 1e3, match: {label: {team: on, floor: 010}}}\n"
        "  - {name: off}\n"
        "mail:\n"
        "  from: a@b.example\n"
        "  hours: {from: 09:00, to: 17:30}\n"
    )
    assert settings.apps[0].id == "0123"
    assert settings.apps[0].name == "no"
    assert settings.apps[0].secret.get_secret_value() == "12:30:45"
    assert settings.rules[0].name == "1e3"
    assert settings.rules[0].match.label == {
        "team": frozenset({"on"}),
        "floor": frozenset({"010"}),
    }
    assert settings.mail.hours is not None
    assert (settings.mail.hours.start, settings.mail.hours.end) == (
        time(9),
        time(17, 30),
    )


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("mon-fri", {0, 1, 2, 3, 4}),
        ("mon,wed, sat", {0, 2, 5}),
        ("sat-mon", {5, 6, 0}),
        ("mon-thu,sun", {0, 1, 2, 3, 6}),
        ("[tue, fri-sat]", {1, 4, 5}),
    ],
)
def test_days(loaded, written, meant):
    quoted = written if written.startswith("[") else f'"{written}"'
    hours = f'{{days: {quoted}, from: "09:00", to: "17:00"}}'
    settings = loaded(f"mail: {{from: a@b.example, hours: {hours}}}")
    assert settings.mail.hours.days == meant


@pytest.mark.parametrize(
    ("report", "meant"),
    [
        ('{every: week, at: "fri 16:30"}', Appointment(4, time(16, 30))),
        ('{every: day, at: "08:00"}', Appointment(None, time(8))),
        ("{every: day}", Appointment(None, time(9))),
        ("{}", Appointment(0, time(9))),
    ],
)
def test_reports(loaded, report, meant):
    settings = loaded(f"operator: {{email: [a@b.example], report: {report}}}")
    assert settings.operator.report.at == meant


def test_no_report_is_no_report(loaded):
    settings = loaded("operator: {email: [a@b.example], report: null}")
    assert settings.operator.report is None


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("tokens@acme.example", Mailbox("", "tokens@acme.example")),
        ("Acme <a@b.example>", Mailbox("Acme", "a@b.example")),
        ('"Acme, Inc." <a@b.example>', Mailbox("Acme, Inc.", "a@b.example")),
        ("Bäckerei Nord <a@b.example>", Mailbox("Bäckerei Nord", "a@b.example")),
        ("ops@localhost", Mailbox("", "ops@localhost")),
    ],
)
def test_senders(loaded, written, meant):
    assert loaded(f"mail: {{from: '{written}'}}").mail.sender == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('"127.0.0.1:8080"', Listen("127.0.0.1", 8080)),
        ('"[::1]:8080"', Listen("::1", 8080)),
        ('"localhost:0"', Listen("localhost", 0)),
    ],
)
def test_listening(loaded, written, meant):
    assert loaded(f"web: {{listen: {written}}}").web.listen == meant
    assert str(meant) == written.strip('"')


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9000", "http://localhost:9", "http://[::1]:9/graph/"]
)
def test_graph_may_be_plain_on_this_machine(loaded, url):
    assert loaded(f"graph: {{base_url: '{url}'}}").graph.base_url == url.rstrip("/")


@pytest.mark.parametrize(
    "mail",
    [
        "host: 127.0.0.1, tls: none",
        "host: localhost, tls: none",
        'host: "::1", tls: none',
        "tls: none",
        "host: smtp.acme.example, tls: none, allow_plaintext: true",
    ],
)
def test_plain_mail_stays_here_or_is_allowed(loaded, mail):
    assert loaded(f"mail: {{from: a@b.example, {mail}}}").mail.tls == "none"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("sqlite:///data/my.db", "sqlite:///{folder}/data/my.db"),
        ("sqlite:////srv/my.db", "sqlite:////srv/my.db"),
        ("postgresql://u:p%40ss@h:5432/n", "postgresql://u:p%40ss@h:5432/n"),
        ("postgresql:///n?host=/run/pg", "postgresql:///n?host=/run/pg"),
        (
            "postgres://u@h/n?sslmode=verify-full",
            "postgres://u@h/n?sslmode=verify-full",
        ),
    ],
)
def test_databases(loaded, folder, written, meant):
    database = loaded(f"database: {written}").database.get_secret_value()
    assert database == meant.format(folder=folder)


def test_paths_are_relative_to_the_file_not_to_the_process(
    loaded, folder, tmp_path_factory, monkeypatch
):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    (folder / "words").mkdir()
    (folder / "ca.pem").touch()
    mail = loaded("mail: {from: a@b.example, templates: words, ca_file: ca.pem}").mail
    assert (mail.templates, mail.ca_file) == (folder / "words", folder / "ca.pem")


def test_a_relative_configuration_gives_absolute_paths(loaded, folder, monkeypatch):
    from monitor.config import load  # noqa: PLC0415 - beside what it contrasts

    loaded()
    monkeypatch.chdir(folder)
    settings = load(Path("monitor.yaml"), {})
    assert settings.source == folder / "monitor.yaml"
    assert settings.database.get_secret_value() == f"sqlite:///{folder}/monitor.db"


def test_sections_can_be_made_in_code():
    """Tests and the demo need no file for a section."""
    graph = Graph.model_validate({"workers": 3, "timeout": timedelta(seconds=1)})
    assert (graph.workers, graph.timeout) == (3, timedelta(seconds=1))


def test_settings_cannot_be_changed(loaded):
    with pytest.raises(ValueError, match="frozen"):
        loaded().graph.workers = 9
