"""What is in force can be read, and what may be written is known to editors."""

import json

import yaml

from monitor.config import schema, show

FULL = """
database: postgresql://u:hunter2@h:5432/n?sslpassword=hunter3
apps: [{id: 1, name: A, secret: s, reauthorize_url: "https://x/{token_id}?a=b"}]
policies:
  - {name: a, match: {app: 1, kind: page}, trust_for: 36h}
  - {name: b, required_targets: {ads_read: [7]}}
mail:
  from: "Acme, Inc. <a@b.example>"
  hours: {days: "mon-wed,sat", from: "09:00", to: "17:30"}
operator: {email: [a@b.example], heartbeat_url: "https://hc.example/1"}
web: {listen: "[::1]:80"}
"""


def test_the_values_in_force_are_shown_with_their_secrets_masked(loaded):
    told = yaml.safe_load(show(loaded(FULL)))
    assert told["database"] == "postgresql://u:********@h:5432/n?********"
    assert told["keys"] == [{"id": "k1", "secret": "********"}]
    assert told["apps"] == [
        {
            "id": "1",
            "name": "A",
            "secret": "********",
            "hourly_calls": None,
            "reauthorize_url": "https://x/{token_id}?a=b",
        }
    ]
    assert told["policies"][0]["match"] == {"app": ["1"], "kind": ["page"]}
    assert told["policies"][0]["trust_for"] == "1d12h"
    assert "match" not in told["policies"][1]
    assert told["policies"][1]["required_targets"] == {"ads_read": ["7"]}
    assert told["mail"]["from"] == "Acme, Inc. <a@b.example>"
    assert told["mail"]["hours"]["days"] == "mon-wed,sat"
    assert told["mail"]["hours"]["to"] == "17:30"
    assert told["operator"]["heartbeat_url"] == "********"
    assert told["operator"]["report"]["at"] == "mon 09:00"
    assert told["web"]["listen"] == "[::1]:80"


def test_what_is_shown_can_be_loaded_again(loaded):
    settings = loaded(FULL)
    told = yaml.safe_load(show(settings))
    told["database"] = settings.database.get_secret_value()
    told["keys"] = [{"id": "k1", "secret_file": "monitor.key"}]
    told["apps"][0]["secret"] = "s"
    told["operator"]["heartbeat_url"] = "https://hc.example/1"
    assert loaded(yaml.safe_dump(told)) == settings


def test_the_schema_knows_what_the_file_may_hold():
    made = schema()
    assert json.loads(json.dumps(made)) == made
    assert made["additionalProperties"] is False
    assert made["required"] == ["keys", "apps", "mail", "operator"]
    assert {"database", "database_file"} <= set(made["properties"])
    apps = made["$defs"]["App"]
    assert apps["oneOf"] == [{"required": ["secret"]}, {"required": ["secret_file"]}]
    assert apps["required"] == ["id", "name"]
    assert made["$defs"]["Mail"]["not"] == {"required": ["password", "password_file"]}
    assert made["$defs"]["Graph"]["properties"]["timeout"]["default"] == "20s"
    assert made["$defs"]["Graph"]["properties"]["timeout"]["pattern"]
    assert all(
        section["additionalProperties"] is False for section in made["$defs"].values()
    )


def test_the_schema_is_free_of_warnings_and_secrets():
    assert "**" not in json.dumps(schema())
