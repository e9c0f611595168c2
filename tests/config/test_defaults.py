"""What is not written has the documented value."""

from datetime import time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from monitor.config import (
    Appointment,
    Graph,
    Hold,
    Log,
    Mailbox,
    Report,
    Retention,
    Schedule,
    Web,
    load,
    new_key,
)
from monitor.core.policy import Match, Rule

REPOSITORY = Path(__file__).parents[2]
DAY = timedelta(days=1)


def test_the_least_configuration_has_every_default(loaded, folder):
    settings = loaded()
    assert settings.database.get_secret_value() == f"sqlite:///{folder}/monitor.db"
    assert settings.graph.base_url == "https://graph.facebook.com"
    assert settings.graph.version == "v25.0"
    assert settings.graph.timeout == timedelta(seconds=20)
    assert settings.graph.batch_size == 50
    assert settings.graph.workers == 8
    assert settings.apps[0].hourly_calls is None
    assert settings.apps[0].reauthorize_url is None
    assert settings.rules == (Rule(),)
    assert settings.mail.host == "127.0.0.1"
    assert settings.mail.tls == "starttls"
    assert settings.mail.port == 587
    assert settings.mail.allow_plaintext is False
    assert settings.mail.ca_file is None
    assert settings.mail.username is None
    assert settings.mail.password is None
    assert settings.mail.sender == Mailbox("", "tokens@acme.example")
    assert settings.mail.reply_to is None
    assert settings.mail.bounce_address is None
    assert settings.mail.group_wait == timedelta(minutes=2)
    assert settings.mail.hours is None
    assert settings.mail.letters_per_day == 24
    assert settings.mail.templates is None
    assert settings.operator.heartbeat_url is None
    assert settings.operator.report == Report()
    assert Report().at == Appointment(0, time(9))
    assert Report().timezone == ZoneInfo("UTC")
    assert settings.hold.sudden.share == 0.05
    assert settings.hold.sudden.at_least == 5
    assert settings.hold.sudden.within == timedelta(minutes=30)
    assert settings.hold.sudden.release_after == timedelta(hours=4)
    assert settings.hold.owner_letters_per_hour == 200
    assert settings.schedule.tick == timedelta(seconds=10)
    assert settings.schedule.lease == timedelta(minutes=5)
    assert settings.web == Web()
    assert settings.web.listen is None
    assert settings.retention.checks == 90 * DAY
    assert settings.retention.outbox == 400 * DAY
    assert settings.log.level == "info"
    assert settings.log.format == "auto"
    assert settings.source == folder / "monitor.yaml"


def test_the_built_in_policy_is_the_documented_one():
    assert Rule() == Rule(
        name="default",
        check_every=timedelta(hours=6),
        retry_every=timedelta(minutes=5),
        confirm_after=timedelta(minutes=10),
        warn_before=(14 * DAY, 7 * DAY, 3 * DAY, DAY),
        data_access_warn_before=(14 * DAY, 7 * DAY, DAY),
        required_scopes=(),
        allowed_scopes=None,
        required_targets={},
        expect_long_lived=True,
        remind_every=3 * DAY,
        escalate_after=7 * DAY,
        escalate_to=(),
        trust_for=DAY,
        extend=False,
    )


@pytest.fixture
def shipped(tmp_path):
    """The configuration of the repository, loaded as its comments say."""
    text = (REPOSITORY / "config" / "monitor.yaml").read_text()
    (tmp_path / "monitor.yaml").write_text(text)
    (tmp_path / "monitor.key").write_text(new_key() + "\n")
    return load(tmp_path / "monitor.yaml", {"ACME_APP_SECRET": "app-secret"})


def test_the_shipped_file_writes_out_the_defaults(shipped):
    assert shipped.graph == Graph()
    assert shipped.hold == Hold()
    assert shipped.schedule == Schedule()
    assert shipped.web == Web()
    assert shipped.retention == Retention()
    assert shipped.log == Log()
    assert shipped.operator.report == Report()
    assert shipped.rules[-1] == Rule()
    assert shipped.rules[0] == Rule(
        name="ads",
        match=Match(
            app=frozenset({"1234567890"}),
            kind=frozenset({"user", "system_user"}),
            label={"team": frozenset({"ads"})},
        ),
        required_scopes=("ads_read", "ads_management"),
    )


def test_the_shipped_file_holds_the_examples_of_the_contract(shipped):
    assert shipped.apps[0].id == "1234567890"
    assert shipped.apps[0].name == "Acme Publisher"
    assert shipped.apps[0].secret.get_secret_value() == "app-secret"
    assert shipped.apps[0].hourly_calls == 20_000
    assert shipped.apps[0].reauthorize_url == (
        "https://app.acme.example/connect/facebook?token={token_id}"
    )
    assert shipped.mail.sender == Mailbox("Acme Publisher", "tokens@acme.example")
    assert (shipped.mail.host, shipped.mail.port) == ("127.0.0.1", 25)
    assert shipped.mail.tls == "none"
    assert shipped.operator.email == ("ops@acme.example",)


def test_the_shipped_environment_names_every_variable():
    environment = (REPOSITORY / "config" / "monitor.env.example").read_text()
    assert "\nACME_APP_SECRET=" in environment
    assert "\nTOKEN_MONITOR_CONFIG=" in environment


@pytest.mark.parametrize("section", ["graph", "hold", "web", "log", "schedule"])
def test_a_section_with_all_its_keys_commented_out_has_its_defaults(loaded, section):
    assert loaded(f"{section}:\n  # nothing") == loaded()


@pytest.mark.parametrize(
    ("tls", "port"), [("starttls", 587), ("implicit", 465), ("none", 25)]
)
def test_the_port_follows_tls(loaded, tls, port):
    assert loaded(f"mail: {{from: a@b.example, tls: {tls}}}").mail.port == port


def test_unset_keys_of_a_policy_come_from_the_built_in_one_never_from_another(loaded):
    rules = loaded(
        "policies:\n"
        "  - {name: quick, match: {kind: page}, check_every: 1h, extend: true}\n"
        "  - {name: rest, trust_for: 2d}\n"
    ).rules
    assert rules == (
        Rule(
            name="quick",
            match=Match(kind=frozenset({"page"})),
            check_every=timedelta(hours=1),
            extend=True,
        ),
        Rule(name="rest", trust_for=2 * DAY),
    )


def test_lead_times_are_widest_first_and_each_once(loaded):
    text = "policies: [{warn_before: [1d, 14d, 24h, 1w, 7d]}]"
    assert loaded(text).rules[0].warn_before == (14 * DAY, 7 * DAY, DAY)
