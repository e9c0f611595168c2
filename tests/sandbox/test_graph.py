"""The simulated Graph over real HTTP: callers, batches, quotas, headers."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from monitor.sandbox.clock import VirtualClock
from monitor.sandbox.scenario import AppPlan, Event, Group, Scenario, TokenPlan
from monitor.sandbox.serve import Sandbox
from monitor.sandbox.states import State

ACME = AppPlan("1234567890", "Acme Publisher", secret="acme-secret")
CAREFUL = AppPlan("222", "Careful", secret="careful-secret", require_proof=True)
SMALL = AppPlan("333", "Small", secret="small-secret", hourly_calls=10)
BUSY = AppPlan(
    "444",
    "Busy",
    secret="busy-secret",
    usage={"call_count": 91},
    regain=timedelta(minutes=19),
)
SCENARIO = Scenario(
    apps=(ACME, CAREFUL, SMALL, BUSY),
    tokens=(
        TokenPlan("bakery-north", ACME.id, expires_in=timedelta(days=20)),
        TokenPlan(
            "bakery-south",
            ACME.id,
            events=(
                Event(timedelta(minutes=10), State("revoked")),
                Event(timedelta(minutes=30), State("valid")),
            ),
        ),
        TokenPlan("lost", ACME.id, events=(Event(timedelta(0), State("null_item")),)),
        TokenPlan("careful", CAREFUL.id),
        TokenPlan("small", SMALL.id),
        TokenPlan("busy", BUSY.id),
    ),
    groups=(Group(TokenPlan("load-{n}", ACME.id), 200),),
)
NORTH, SOUTH, LOST, OTHER = (
    SCENARIO.named(name).text
    for name in ("bakery-north", "bakery-south", "lost", "careful")
)


@pytest.fixture
async def sandbox(clock: VirtualClock) -> AsyncIterator[Sandbox]:
    async with Sandbox.serve(SCENARIO, clock=clock) as sandbox:
        yield sandbox


@pytest.fixture
async def http(sandbox: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=sandbox.url, timeout=5) as client:
        yield client


def caller(app: AppPlan) -> str:
    return f"{app.id}|{app.secret}"


async def debug(
    http: httpx.AsyncClient,
    text: str,
    app: AppPlan = ACME,
    path: str = "/v25.0/debug_token",
    **params: str,
) -> httpx.Response:
    params = {"input_token": text, "access_token": caller(app)} | params
    return await http.get(path, params=params)


async def post(
    http: httpx.AsyncClient,
    items: list[Any],
    app: AppPlan = ACME,
    path: str = "/v25.0/",
    **form: str,
) -> httpx.Response:
    form = {"batch": json.dumps(items), "access_token": caller(app)} | form
    return await http.post(path, data=form)


def item(text: str, more: str = "") -> dict[str, str]:
    url = f"debug_token?input_token={quote(text, safe='')}{more}"
    return {"method": "GET", "relative_url": url}


def error(reply: httpx.Response) -> tuple[int, int]:
    return reply.status_code, reply.json()["error"]["code"]


async def test_a_single_call_is_answered(http: httpx.AsyncClient) -> None:
    reply = await debug(http, NORTH)
    assert reply.status_code == 200
    assert reply.json()["data"]["is_valid"] is True
    assert reply.json()["data"]["app_id"] == "1234567890"


@pytest.mark.parametrize("path", ["/debug_token", "/v25.0/debug_token/"])
async def test_the_caller_may_come_in_a_header(
    http: httpx.AsyncClient, path: str
) -> None:
    headers = {"Authorization": f"Bearer {caller(ACME)}"}
    reply = await http.get(path, params={"input_token": NORTH}, headers=headers)
    assert reply.json()["data"]["is_valid"] is True


@pytest.mark.parametrize("path", ["/", "/v25.0", "/v25.0/"])
async def test_a_batch_is_answered_in_order(http: httpx.AsyncClient, path: str) -> None:
    items = [item(NORTH), item("garbage"), item(LOST), item(caller(ACME))]
    reply = await post(http, items, path=path, include_headers="false")
    north, garbage, lost, app = reply.json()
    assert reply.status_code == 200
    assert set(north) == {"code", "body"}
    assert json.loads(north["body"])["data"]["is_valid"] is True
    assert "Cannot parse" in json.loads(garbage["body"])["data"]["error"]["message"]
    assert lost is None
    assert json.loads(app["body"])["data"] == {
        "app_id": "1234567890",
        "type": "APP",
        "application": "Acme Publisher",
        "is_valid": True,
        "scopes": [],
    }


async def test_the_body_of_an_item_is_what_a_single_call_answers(
    http: httpx.AsyncClient,
) -> None:
    single = await debug(http, NORTH)
    (batched,) = (await post(http, [item(NORTH)])).json()
    assert batched["body"] == single.text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("xxxx", "Invalid OAuth access token - Cannot parse access token"),
        ("EAAB" + "x" * 90, "The access token could not be decrypted"),
        (f"{ACME.id}|abc", "Invalid OAuth access token signature."),
        ("123|abc", "Error validating application. Cannot get application info"),
    ],
)
async def test_an_input_that_is_no_token_is_a_statement_about_it(
    http: httpx.AsyncClient, text: str, words: str
) -> None:
    reply = await debug(http, text)
    data = reply.json()["data"]
    assert reply.status_code == 200
    assert words in data["error"]["message"]
    assert data["error"]["code"] == 190
    assert set(data) == {"error", "is_valid", "scopes"}


async def test_a_token_of_another_app_is_refused_at_top_level(
    http: httpx.AsyncClient,
) -> None:
    single = await debug(http, OTHER)
    (one, two) = (await post(http, [item(OTHER), item(caller(SMALL))])).json()
    assert error(single) == (400, 100)
    assert "did not match the Viewing App" in single.json()["error"]["message"]
    assert (one["code"], two["code"]) == (400, 400)
    assert one["body"] == single.text == two["body"]


@pytest.mark.parametrize(
    ("token", "code", "words"),
    [
        ("", 100, "(#100) You must provide an app access token, or a user"),
        (NORTH, 100, "(#100) You must provide an app access token, or a user"),
        ("xxxx", 190, "Cannot parse access token"),
        (f"{ACME.id}|wrong", 190, "Invalid OAuth access token signature."),
        ("999|abc", 190, "Cannot get application info due to a system error."),
    ],
)
async def test_a_bad_caller_is_refused_as_a_whole(
    http: httpx.AsyncClient, sandbox: Sandbox, token: str, code: int, words: str
) -> None:
    single = await debug(http, NORTH, access_token=token)
    batch = await post(http, [item(NORTH)], access_token=token)
    for reply in (single, batch):
        assert error(reply) == (400, code)
        assert words in reply.json()["error"]["message"]
    assert {call.outcome for call in sandbox.calls} == {"rejected"}


def proof(app: AppPlan, message: str | None = None) -> str:
    text = message or caller(app)
    return hmac.new(app.secret.encode(), text.encode(), hashlib.sha256).hexdigest()


async def test_a_proof_is_asked_for_where_the_app_requires_it(
    http: httpx.AsyncClient, clock: VirtualClock
) -> None:
    stamp = str(int(clock.now.timestamp()))
    timed = proof(CAREFUL, f"{caller(CAREFUL)}|{stamp}")
    good = [
        {"appsecret_proof": proof(CAREFUL)},
        {"appsecret_proof": timed, "appsecret_time": stamp},
    ]
    old = str(int(stamp) - 301)
    bad = [
        {"appsecret_proof": "0" * 64},
        {"appsecret_proof": timed, "appsecret_time": old},
        {"appsecret_proof": timed, "appsecret_time": "now"},
    ]
    for params in good:
        assert (await debug(http, OTHER, CAREFUL, **params)).status_code == 200
        reply = await post(http, [item(OTHER)], CAREFUL, **params)
        assert json.loads(reply.json()[0]["body"])["data"]["is_valid"] is True
    for params in bad:
        reply = await debug(http, OTHER, CAREFUL, **params)
        assert "Invalid appsecret_proof" in reply.json()["error"]["message"]
    missing = await post(http, [item(OTHER)], CAREFUL)
    assert error(missing) == (400, 100)
    assert "require an appsecret_proof" in missing.json()["error"]["message"]


async def test_a_wrong_proof_is_refused_even_where_none_is_required(
    http: httpx.AsyncClient,
) -> None:
    assert error(await debug(http, NORTH, appsecret_proof="0")) == (400, 100)


async def test_items_may_bring_their_own_proof_and_caller(
    http: httpx.AsyncClient,
) -> None:
    more = f"&appsecret_proof={proof(CAREFUL)}"
    own = f"&access_token={quote(caller(ACME))}"
    items = [item(OTHER, more), item(OTHER), item(NORTH, own)]
    codes = [each["code"] for each in (await post(http, items, CAREFUL)).json()]
    assert codes == [200, 400, 200]


async def test_more_than_fifty_items_are_too_many(http: httpx.AsyncClient) -> None:
    reply = await post(http, [item(NORTH)] * 51)
    assert reply.status_code == 400
    assert reply.json()["error"]["type"] == "GraphBatchException"
    assert "code" not in reply.json()["error"]
    assert len((await post(http, [item(NORTH)] * 50)).json()) == 50


@pytest.mark.parametrize("broken", ["", "7", "{", '"x"', "[7]", '{"0":{}}', "\ud83d["])
async def test_a_broken_batch_is_refused_as_a_whole(
    http: httpx.AsyncClient, broken: str
) -> None:
    form = {"batch": broken.encode("utf-8", "replace").decode()}
    reply = await http.post("/", data=form | {"access_token": caller(ACME)})
    assert error(reply) == (400, 100)


async def test_what_is_not_debug_token_is_refused_item_by_item(
    http: httpx.AsyncClient,
) -> None:
    items = [
        {"method": "POST", "relative_url": "debug_token?input_token=x"},
        {"method": "GET", "relative_url": "me"},
        {"method": "GET", "relative_url": "v25.0/4/accounts"},
        {"method": "GET", "relative_url": "debug_token"},
        {"method": "GET"},
        {"relative_url": 7},
        None,
    ]
    replies = (await post(http, items)).json()
    found = [
        (each["code"], json.loads(each["body"])["error"]["code"]) for each in replies
    ]
    assert found == [(400, 100), (400, 2500), *[(400, 100)] * 5]


async def test_other_paths_and_methods_are_refused(http: httpx.AsyncClient) -> None:
    token = {"access_token": caller(ACME)}
    replies = [
        await http.get("/v25.0/4", params=token),
        await http.get("/debug_token", params=token),
        await http.post("/debug_token", data=token),
        await http.post("/", data=token),
        await http.request("DELETE", "/me/permissions", params=token),
    ]
    assert [error(reply) for reply in replies] == [(400, 100)] * 5


async def test_a_reply_names_date_version_and_trace(
    http: httpx.AsyncClient, clock: VirtualClock
) -> None:
    clock.advance(timedelta(days=400))
    reply = await debug(http, NORTH)
    assert parsedate_to_datetime(reply.headers["Date"]) == clock.now
    assert reply.headers["facebook-api-version"] == "v25.0"
    assert reply.headers["x-fb-trace-id"]
    assert "X-App-Usage" not in reply.headers


@pytest.mark.parametrize(
    ("path", "version"),
    [("/debug_token", "v25.0"), ("/v24.0/debug_token", "v24.0"), ("/v9.0/x", "v21.0")],
)
async def test_an_ended_version_is_served_by_the_oldest_one(
    http: httpx.AsyncClient, path: str, version: str
) -> None:
    reply = await debug(http, NORTH, path=path)
    assert reply.headers["facebook-api-version"] == version


async def test_items_carry_headers_unless_they_are_not_wanted(
    http: httpx.AsyncClient,
) -> None:
    (good, bad) = (await post(http, [item(NORTH), item(OTHER)])).json()
    names = {header["name"]: header["value"] for header in good["headers"]}
    assert names["Facebook-API-Version"] == "v25.0"
    assert "WWW-Authenticate" in {header["name"] for header in bad["headers"]}


async def test_usage_comes_in_the_items_of_a_batch(http: httpx.AsyncClient) -> None:
    text = SCENARIO.named("busy").text
    single = await debug(http, text, BUSY)
    (batched,) = (await post(http, [item(text)], BUSY)).json()
    names = {header["name"]: header["value"] for header in batched["headers"]}
    for headers in (single.headers, names):
        assert json.loads(headers["X-App-Usage"]) == {"call_count": 91}
        (use,) = json.loads(headers["X-Business-Use-Case-Usage"])["444"]
        assert use["estimated_time_to_regain_access"] == 19


async def test_an_app_over_its_hourly_calls_is_throttled_until_they_are_old(
    http: httpx.AsyncClient, sandbox: Sandbox, clock: VirtualClock
) -> None:
    text = SCENARIO.named("small").text
    four = await post(http, [item(text)] * 4, SMALL)
    clock.advance(timedelta(minutes=30))
    eight = await post(http, [item(text)] * 8, SMALL)
    over = await post(http, [item(text)], SMALL)
    assert [each["code"] for each in four.json()] == [200] * 4
    assert [each["code"] for each in eight.json()] == [200] * 6 + [400] * 2
    assert error(over) == (403, 4)
    assert over.json()["error"]["error_subcode"] == 1504022
    assert over.json()["error"]["is_transient"] is True
    assert json.loads(over.headers["X-App-Usage"])["call_count"] >= 100
    clock.advance(timedelta(minutes=30))
    again = await debug(http, text, SMALL)
    assert again.status_code == 200
    assert json.loads(again.headers["X-App-Usage"])["call_count"] == 80
    assert [call.outcome for call in sandbox.calls] == [
        "answered",
        "answered",
        "throttled",
        "answered",
    ]


async def test_the_event_clock_runs_through_a_tokens_events(
    http: httpx.AsyncClient, clock: VirtualClock
) -> None:
    async def alive() -> bool:
        return bool((await debug(http, SOUTH)).json()["data"]["is_valid"])

    lives = [await alive()]
    for _ in range(3):
        clock.advance(timedelta(minutes=10))
        lives.append(await alive())
    assert lives == [True, False, False, True]


async def test_speed_scales_events_but_not_expiries(clock: VirtualClock) -> None:
    async with (
        Sandbox.serve(SCENARIO, clock=clock, speed=600) as sandbox,
        httpx.AsyncClient(base_url=sandbox.url) as http,
    ):
        before = (await debug(http, NORTH)).json()["data"]["expires_at"]
        clock.advance(timedelta(seconds=1))
        assert (await debug(http, SOUTH)).json()["data"]["is_valid"] is False
        clock.advance(timedelta(seconds=2))
        assert (await debug(http, SOUTH)).json()["data"]["is_valid"] is True
        assert (await debug(http, NORTH)).json()["data"]["expires_at"] == before


async def test_the_event_clock_can_be_moved_by_hand(
    http: httpx.AsyncClient, sandbox: Sandbox
) -> None:
    reply = await http.post("/_sandbox/advance", params={"by": "10m"})
    assert reply.json() == {"elapsed_seconds": 600.0}
    assert (await debug(http, SOUTH)).json()["data"]["is_valid"] is False
    sandbox.advance(timedelta(minutes=20))
    assert (await debug(http, SOUTH)).json()["data"]["is_valid"] is True


async def test_a_token_ends_while_the_sandbox_is_up(
    http: httpx.AsyncClient, clock: VirtualClock
) -> None:
    assert (await debug(http, NORTH)).json()["data"]["is_valid"] is True
    clock.advance(timedelta(days=20))
    first = (await debug(http, NORTH)).json()["data"]
    clock.advance(timedelta(seconds=1))
    second = (await debug(http, NORTH)).json()["data"]
    assert first["error"]["subcode"] == 463
    assert first["error"]["message"] != second["error"]["message"]


async def test_the_call_log_knows_tokens_by_id_only(
    http: httpx.AsyncClient, sandbox: Sandbox, clock: VirtualClock
) -> None:
    await post(http, [item(NORTH), item("load?"), item(group_token(7))])
    await debug(http, caller(ACME))
    reply = await http.get("/_sandbox/calls")
    first, second = sandbox.calls
    assert first.items == ("bakery-north", "?", "load-7")
    assert (first.kind, first.app_id, first.at) == ("batch", ACME.id, clock.now)
    assert (second.kind, second.items) == ("self_inspection", ("app:1234567890",))
    assert [call["items"] for call in reply.json()] == [
        ["bakery-north", "?", "load-7"],
        ["app:1234567890"],
    ]
    assert sandbox.looks("bakery-north") == 1
    for secret in (NORTH, ACME.secret, "EAA"):
        assert secret not in reply.text


def group_token(number: int) -> str:
    return SCENARIO.groups[0].member(number, 0).text


async def test_the_sandboxs_own_addresses(
    http: httpx.AsyncClient, sandbox: Sandbox
) -> None:
    health = await http.get("/_sandbox/healthz")
    state = {"token": "bakery-north", "state": "revoked"}
    changed = await http.post("/_sandbox/state", params=state)
    wrong = [
        await http.post("/_sandbox/advance"),
        await http.post("/_sandbox/advance", params={"by": "soon"}),
        await http.post("/_sandbox/state", params=state | {"token": "nobody"}),
        await http.post("/_sandbox/state", params=state | {"state": "dead"}),
    ]
    missing = await http.get("/_sandbox/nothing")
    assert health.json()["status"] == "ok"
    assert changed.status_code == 200
    assert (await debug(http, NORTH)).json()["data"]["error"]["subcode"] == 458
    assert [reply.status_code for reply in wrong] == [400] * 4
    assert missing.status_code == 404
