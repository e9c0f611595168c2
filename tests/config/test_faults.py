"""Every fault is one line: where, what was found, what is expected, the way out."""

import re

import pytest

SHAPE = re.compile(r"monitor\.yaml:\d+:\d+: \S.*")


FIVE = """\
1:18: graph.timeout: '20' lacks a unit, expected 20s or 20m or 20h or 20d
1:22: graph.wokers: the key 'wokers' is not known here — did you mean 'workers'?
3:10: log.level: 'warn' is not one of debug, info, warning or error — did you mean 'warning'?
5:28: policies[0].match.app: '12' is no app of 'apps' — did you mean '1'?
6:19: policies[1].warn_before[0]: 'soon' is not a duration such as 90s, 15m, 6h, 14d, 2w or 1d12h
""".splitlines()  # noqa: E501 - as the operator reads them


def test_five_faults_are_five_lines_in_the_order_of_the_file(refused):
    assert refused(
        "graph: {timeout: 20, wokers: 4}\n"
        "log:\n"
        "  level: warn\n"
        "policies:\n"
        "  - {name: a, match: {app: '12'}}\n"
        "  - warn_before: [soon]\n"
    ) == [f"monitor.yaml:{fault}" for fault in FIVE]


KEY = "{id: k1, secret_file: monitor.key}"
MAIL = "mail: {from: a@b.example, %s}"
OPERATOR = "operator: {email: [a@b.example], %s}"
POLICY = "policies: [{%s}]"
APP = 'apps: [{id: "1", name: A, secret: s, %s}]'


@pytest.mark.parametrize(
    ("text", "place", "told"),
    [
        # keys that are not known
        ("databse: x", "1:1: databse:", "did you mean 'database'?"),
        ("web2: x", "1:1: web2:", "did you mean 'web'?"),
        ("zzz: x", "1:1: zzz:", "known are database"),
        (APP % "secret_fil: x", "1:38: apps[0].secret_fil:", "'secret_file'?"),
        (
            "policies: [{match: {kinds: page}}, {name: b}]",
            "1:21:",
            "did you mean 'kind'?",
        ),
        ("source: x", "1:1: source:", "not known"),
        # keys given twice
        ("log: {}\nlog: {}", "2:1: log:", "given twice, first in line 1"),
        ("log: {level: info, level: info}", "1:20: log.level:", "given twice"),
        # words
        (MAIL % "tls: starttsl", "1:32: mail.tls:", "did you mean 'starttls'?"),
        (MAIL % "tls: null", "mail.tls:", "found nothing"),
        ("log: {format: jsn}", "1:15: log.format:", "did you mean 'json'?"),
        ("log: {level: [info]}", "log.level:", "found a list"),
        (
            "policies: [{match: {kind: usr}}, {name: b}]",
            "match.kind:",
            "did you mean 'user'?",
        ),
        ("graph: {version: 25.0}", "graph.version:", "such as v25.0"),
        # truth and numbers
        (POLICY % "extend: no", "policies[0].extend:", "did you mean false?"),
        (POLICY % "extend: 'true'", "extend:", "neither true nor false"),
        ("graph: {batch_size: 0}", "graph.batch_size:", "from 1 to 50"),
        ("graph: {batch_size: 51}", "graph.batch_size:", "from 1 to 50"),
        ("graph: {batch_size: '50'}", "graph.batch_size:", "without quotes"),
        ("graph: {batch_size: 5.0}", "graph.batch_size:", "whole number"),
        ("graph: {workers: 0}", "graph.workers:", "out of bounds"),
        ("graph: {workers: -1}", "graph.workers:", "out of bounds"),
        (MAIL % "port: 65536", "mail.port:", "from 1 to 65535"),
        (APP % "hourly_calls: 19", "apps[0].hourly_calls:", "out of bounds"),
        ("hold: {sudden: {share: 1.1}}", "hold.sudden.share:", "from 0 to 1"),
        ("hold: {sudden: {share: -0.1}}", "hold.sudden.share:", "from 0 to 1"),
        ("hold: {sudden: {share: 5%}}", "share:", "did you mean 0.05?"),
        ("hold: {owner_letters_per_hour: 0}", "per_hour:", "out of bounds"),
        # durations
        ("graph: {timeout: 0s}", "graph.timeout:", "more than zero"),
        ("graph: {timeout: -3s}", "graph.timeout:", "is negative"),
        ("graph: {timeout: 6 h}", "graph.timeout:", "did you mean '6h'?"),
        ("graph: {timeout: 1.5h}", "graph.timeout:", "not a duration"),
        ("graph: {timeout: 1h1d}", "graph.timeout:", "not a duration"),
        ("graph: {timeout: ''}", "graph.timeout:", "not a duration"),
        ("retention: {checks: 0d}", "retention.checks:", "more than zero"),
        ("retention: {outbox: 999999w}", "retention.outbox:", "ten years"),
        (MAIL % "group_wait: 0", "mail.group_wait:", "lacks a unit"),
        (POLICY % "warn_before: []", "1:26:", "at least one entry"),
        (POLICY % "warn_before: [0s]", "warn_before[0]:", "more than zero"),
        (POLICY % "warn_before: 14d", "warn_before:", "a list such as [14d, 7d, 1d]"),
        # addresses
        (MAIL % "reply_to: 'a@b.example, c@d.example'", "mail.reply_to:", "one mail"),
        (MAIL % 'reply_to: "a@b.example\\r\\nBcc: x@y.z"', "reply_to:", "line break"),
        (MAIL % "reply_to: nobody", "mail.reply_to:", "is not one mail address"),
        (MAIL % "reply_to: a@bücher.example", "mail.reply_to:", "xn--"),
        (
            MAIL % f"bounce_address: {'b' * 35}@a.example",
            "mail.bounce_address:",
            "at most 34",
        ),
        ('mail: {from: "A\\nB <a@b.example>"}', "1:14: mail.from:", "one sender"),
        ("mail: {from: 'a@b.c, A <d@e.f>'}", "1:14: mail.from:", "one sender"),
        ("operator: {email: []}", "1:19: operator.email:", "at least one entry"),
        ("operator: {email: [x]}", "1:20: operator.email[0]:", "one mail address"),
        ("operator: {email: a@b.c}", "operator.email:", "[ops@acme.example]"),
        (POLICY % "escalate_to: [a]", "escalate_to[0]:", "one mail address"),
        (MAIL % "host: a b", "mail.host:", "host name"),
        ("web: {listen: 8080}", "web.listen:", "such as 127.0.0.1:8080"),
        ("web: {listen: 'x:99999'}", "web.listen:", "such as 127.0.0.1:8080"),
        # URLs
        ("graph: {base_url: 'http://x.example'}", "1:19: graph.base_url:", "https"),
        ("graph: {base_url: 'https://x/?y'}", "graph.base_url:", "'?'"),
        ("graph: {base_url: 'https://[x'}", "graph.base_url:", "not a URL"),
        ("web: {public_url: 'https://u:p@x'}", "public_url:", "user name"),
        ("web: {public_url: 'https://x/#y'}", "public_url:", "'#'"),
        ("web: {public_url: 'https://x/ y'}", "public_url:", "a space"),
        ("web: {listen: 'a b:80'}", "web.listen:", "127.0.0.1:8080"),
        (APP % "reauthorize_url: 'https://x/{token_id'", "_url:", "single brace"),
        ("web: {public_url: 'http://x.example'}", "public_url:", "https"),
        ("web: {public_url: 'https://x.example/a,b'}", "public_url:", "plain letters"),
        ("web: {public_url: 'https://x/%s'}" % ("a" * 200), "public_url:", "too long"),
        ("web: {public_url: x}", "web.public_url:", "not a URL of the web"),
        (APP % "reauthorize_url: 'https://x/{token}'", "_url:", "'token_id'?"),
        (OPERATOR % "heartbeat_url: ftp://x", "operator.heartbeat_url:", "URL"),
        # databases
        ("database: mysql://x/y", "1:11: database:", "not a database we know"),
        ("database: postgresq://x/y", "database:", "did you mean 'postgresql'?"),
        ("database: postgresql://x", "database:", "names no database"),
        ("database: postgresql://u:p@s@h/n", "database:", "%40"),
        ("database: postgresql://u:p/w@h/n", "database:", "not a URL"),
        ("database: postgresql://u:1/w@h/n", "database:", "%2F"),
        ("database: sqlite:///d/", "database:", "names no file"),
        ("database: 'sqlite:///a?b'", "database:", "'?' or '#'"),
        ("database: sqlite://x.db", "database:", "three slashes"),
        ("database: 'sqlite:///:memory:'", "database:", "memory forgets"),
        # times
        (MAIL % "hours: {days: [], from: 09:00, to: 10:00}", "days:", "found nothing"),
        (MAIL % "hours: {from: 9:00, to: 17:00}", "from:", 'did you mean "09:00"?'),
        (MAIL % "hours: {from: 09:00, to: 09:00}", "mail.hours.to:", "not later"),
        (MAIL % "hours: {from: 09:00, to: 24:00}", "mail.hours.to:", "time of day"),
        (MAIL % "hours: {to: 09:00}", "mail.hours.from:", "is missing"),
        (
            MAIL % "hours: {days: mon-fry, from: 09:00, to: 10:00}",
            "mail.hours.days:",
            "did you mean 'fri'?",
        ),
        (OPERATOR % "report: {every: month}", "report.every:", "day or week"),
        (OPERATOR % "report: {at: '09:00'}", "report.at:", "with 'every: week'"),
        (OPERATOR % "report: {every: day, at: mon 09:00}", "at:", "'every: day'"),
        (OPERATOR % "report: {timezone: europe/belrin}", "zone:", "'Europe/Berlin'?"),
        (OPERATOR % "report: {timezone: ../UTC}", "timezone:", "not a time zone"),
        # files and folders
        (MAIL % "templates: nowhere", "mail.templates:", "'nowhere' is not a folder"),
        (MAIL % "ca_file: no.pem", "mail.ca_file:", "'no.pem' is not a file"),
        # keys and apps
        ("keys: []", "1:7: keys:", "at least one entry"),
        ("keys: {id: k1}", "1:7: keys:", "expected a list"),
        ("keys: [{id: key-one, secret_file: monitor.key}]", "keys[0].id:", "1 to 4"),
        ("keys: [{id: k1}]", "1:8: keys[0].secret:", "or 'secret_file'"),
        ("keys: [{id: k1, secret: short}]", "keys[0].secret:", "keys new"),
        ("apps: []", "1:7: apps:", "at least one entry"),
        ("apps: [x]", "1:8: apps[0]:", "expected keys and values, found a text"),
        ("apps: [{id: x1, name: A, secret: s}]", "apps[0].id:", "an app id"),
        ("apps: [{id: 1, secret: s}]", "1:8: apps[0].name:", "is missing"),
        ("apps: [{id: 1, name: '', secret: s}]", "apps[0].name:", "is empty"),
        ("mail: {}", "1:1: mail.from:", "is missing"),
        ("log: yes", "1:6: log:", "expected keys and values, found a text"),
        # what only two keys together can tell
        (
            f"keys:\n- {KEY}\n- {KEY}\n",
            "3:8: keys[1].id:",
            "taken already in line 2",
        ),
        (
            "apps: [{id: 1, name: A, secret: s}, {id: '1', name: B, secret: t}]",
            "1:42: apps[1].id:",
            "taken already",
        ),
        (
            "policies: [{name: a, match: {kind: page}}, {name: a}]",
            "1:51: policies[1].name:",
            "'a' is taken already",
        ),
        (
            "policies: [{match: {kind: page}}, {name: default}]",
            "policies[1].name:",
            "'default' is taken already",
        ),
        (
            "policies: [{name: a}, {name: b}]",
            "1:12: policies[0]:",
            "takes every token",
        ),
        (
            "policies: [{match: {kind: page}}]",
            "1:13: policies[0].match:",
            "the last policy must take every token",
        ),
        (
            "policies: [{name: a, match: {app: [1, 12]}}, {}]",
            "1:39: policies[0].match.app[1]:",
            "did you mean '1'?",
        ),
        (
            "policies: [{name: a, match: {app: []}}, {}]",
            "policies[0].match.app:",
            "at least one entry",
        ),
        (MAIL % "host: x.example, tls: none", "mail.tls:", "allow_plaintext: true"),
        (MAIL % "username: bob", "mail.username:", "without 'password'"),
        (MAIL % "password: x", "mail.password:", "without 'username'"),
    ],
)
def test_a_fault(refused, text, place, told):
    faults = refused(text)
    assert len(faults) == 1
    assert SHAPE.fullmatch(faults[0])
    assert place in faults[0]
    assert told in faults[0]


@pytest.mark.parametrize(
    "text",
    [
        "graph: {batch_size: 1}",
        "graph: {batch_size: 50}",
        "hold: {sudden: {share: 0}}",
        "hold: {sudden: {share: 1}}",
        "hold: {owner_letters_per_hour: null}",
        POLICY % "confirm_after: 0s",
        POLICY % "allowed_scopes: []",
        POLICY % "match: {}",
        "policies: [{name: a, match: {app: 1}}, {}]",
    ],
)
def test_the_other_side_of_the_boundary_is_fine(loaded, text):
    assert loaded(text)


def test_what_is_missing_altogether_is_told_at_once(refused):
    assert [fault.partition(": ")[2] for fault in refused("{}", complete=False)] == [
        "apps: is missing: at least one app with 'id', 'name' and 'secret'",
        "keys: is missing: at least one key, as `token-monitor keys new` prints one",
        "mail: is missing: the section with at least 'from', the sender of the letters",
        "operator: is missing: the section with at least 'email', who hears of trouble",
    ]
