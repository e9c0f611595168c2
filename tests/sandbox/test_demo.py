"""The demo's scenario as Graph answers it, and what docs/sandbox.md promises."""

from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from monitor.sandbox import reading
from monitor.sandbox.clock import VirtualClock
from monitor.sandbox.faults import FAULTS
from monitor.sandbox.serve import Sandbox
from monitor.sandbox.states import STATES

DOCS = Path(__file__).parents[2] / "docs" / "sandbox.md"

EXPECTED = {
    "bakery-catering": 460,
    "bakery-potsdam": 458,
    "harbour-events": 459,
    "garden-centre": 463,
    "cycles-shop": 467,
    "cycles-club": 492,
    "cycles-ads": 464,
    "cycles-rental": 460,
    "books-corner": "bad",
    "books-hostile": 460,
    "acme-newsroom": "unreadable",
    "acme-careers": "wrong app",
}


def verdict(reply: httpx.Response) -> object:
    if reply.status_code == 400:
        return "wrong app"
    data = reply.json()["data"]
    if data["is_valid"]:
        return "alive"
    if "error" not in data:
        return "bad"
    return data["error"].get("subcode", "unreadable")


async def test_the_demos_tokens_answer_as_their_comments_say(
    clock: VirtualClock,
) -> None:
    scenario = reading.demo()
    secrets = {app.id: app.secret for app in scenario.apps}
    looks = []
    async with (
        Sandbox.serve(scenario, clock=clock) as sandbox,
        httpx.AsyncClient(base_url=sandbox.url) as http,
    ):
        for _ in range(2):
            found = {}
            for row in scenario.inventory():
                app = row["app_id"]
                caller = f"{app}|{secrets[app]}"
                params = {"input_token": row["token"], "access_token": caller}
                reply = await http.get("/v25.0/debug_token", params=params)
                found[row["id"]] = verdict(reply)
            looks.append(found)
    first, second = looks
    dead = {key: value for key, value in first.items() if value != "alive"}
    assert dead == EXPECTED
    assert second == first | {"cycles-rental": "alive"}


@pytest.mark.parametrize("names", [STATES, FAULTS])
def test_every_state_and_fault_is_documented_as_it_is_meant(
    names: Mapping[str, str],
) -> None:
    text = DOCS.read_text(encoding="utf-8")
    for name, meaning in names.items():
        assert f"| `{name}` | {meaning} |" in text


def test_the_example_in_the_docs_is_a_scenario() -> None:
    text = DOCS.read_text(encoding="utf-8")
    block = text.split("```yaml\n")[1].split("```")[0]
    assert reading.parse(block).tokens[0].id == "bakery-north"
