"""The sandbox as a part of a test: states, replacements, faults, coming and going."""

import asyncio
import json
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import quote

import httpx
import pytest

from monitor.errors import ConfigurationError, UnavailableError, UnknownIdError
from monitor.sandbox.clock import VirtualClock
from monitor.sandbox.faults import CALL_FAULTS, FAULTS, Fault
from monitor.sandbox.scenario import AppPlan, Group, Scenario, TokenPlan
from monitor.sandbox.serve import Sandbox

APP = AppPlan("1", "Acme", secret="acme-secret")
OTHER = AppPlan("2", "Acme Ads", secret="ads-secret")
SCENARIO = Scenario(
    apps=(APP, OTHER),
    tokens=(
        TokenPlan("north", APP.id, expires_in=timedelta(hours=20)),
        TokenPlan("ads", OTHER.id),
    ),
    groups=(Group(TokenPlan("load-{n}", APP.id), 100),),
)


@pytest.fixture
async def sandbox(clock: VirtualClock) -> AsyncIterator[Sandbox]:
    async with Sandbox.serve(SCENARIO, clock=clock) as sandbox:
        yield sandbox


@pytest.fixture
async def http(sandbox: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=sandbox.url, timeout=5) as client:
        yield client


async def debug(
    http: httpx.AsyncClient, text: str, app: AppPlan = APP
) -> httpx.Response:
    params = {"input_token": text, "access_token": f"{app.id}|{app.secret}"}
    return await http.get("/v25.0/debug_token", params=params)


async def post(http: httpx.AsyncClient, texts: Iterable[str]) -> httpx.Response:
    items = [
        {"method": "GET", "relative_url": f"debug_token?input_token={quote(text)}"}
        for text in texts
    ]
    form = {"batch": json.dumps(items), "access_token": f"{APP.id}|{APP.secret}"}
    return await http.post("/v25.0/", data=form)


def told(reply: httpx.Response) -> object:
    error = reply.json()["data"].get("error", {})
    return error.get("subcode", 0)


async def test_a_state_can_be_set_and_taken_back(
    http: httpx.AsyncClient, sandbox: Sandbox
) -> None:
    text = sandbox.token("north")
    codes = [told(await debug(http, text))]
    for state in ("password_changed", "revoked", "valid"):
        sandbox.set_state("north", state)
        codes.append(told(await debug(http, text)))
    assert codes == [0, 460, 458, 0]


async def test_a_member_of_a_group_can_change_alone(
    http: httpx.AsyncClient, sandbox: Sandbox
) -> None:
    sandbox.set_state("load-7", "revoked")
    reply = await post(http, [sandbox.token("load-7"), sandbox.token("load-8")])
    lives = [json.loads(each["body"])["data"]["is_valid"] for each in reply.json()]
    assert lives == [False, True]


async def test_an_unknown_id_is_named(sandbox: Sandbox) -> None:
    with pytest.raises(UnknownIdError, match="no token 'nobody'"):
        sandbox.set_state("nobody", "revoked")
    with pytest.raises(UnknownIdError, match="no app '9'"):
        sandbox.set_app_secret("9", "x")


@pytest.mark.parametrize("token_id", ["north", "load-3"])
async def test_a_replaced_token_is_fresh_and_the_old_one_stays_dead(
    http: httpx.AsyncClient, sandbox: Sandbox, clock: VirtualClock, token_id: str
) -> None:
    old = sandbox.token(token_id)
    sandbox.set_state(token_id, "password_changed")
    clock.advance(timedelta(minutes=5))
    new = sandbox.replace_token(token_id)
    fresh = (await debug(http, new)).json()["data"]
    assert new != old
    assert sandbox.token(token_id) == new
    assert told(await debug(http, old)) == 460
    assert fresh["is_valid"] is True
    assert fresh["issued_at"] == clock.now.timestamp()
    ends = fresh["expires_at"]
    assert ends == 0 or ends == (clock.now + timedelta(days=60)).timestamp()
    assert sandbox.looks(token_id) == 2


async def test_a_changed_app_secret_refuses_the_old_one(
    http: httpx.AsyncClient, sandbox: Sandbox
) -> None:
    sandbox.set_app_secret(APP.id, "new")
    assert (await debug(http, "x")).json()["error"]["code"] == 190


async def test_flapping_counts_looks_even_in_a_batch(
    http: httpx.AsyncClient, sandbox: Sandbox
) -> None:
    sandbox.set_state("north", "flapping")
    text = sandbox.token("north")
    assert told(await debug(http, text)) == 460
    (item,) = (await post(http, [text])).json()
    assert json.loads(item["body"])["data"]["is_valid"] is True


@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        ("http_500", 500, b'"code":1'),
        ("code_1", 500, b'"is_transient":true'),
        ("code_2", 503, b'"code":2'),
        ("html_200", 200, b"<!DOCTYPE html"),
        ("html_500", 500, b"<!DOCTYPE html"),
        ("empty", 200, b""),
        ("redirect", 302, b""),
        ("throttle", 403, b'"code":4'),
        ("blocked", 403, b"API access blocked."),
        ("deep_json", 200, b"[[[["),
        ("wrong_type", 200, b'"is_valid":"false"'),
    ],
)
async def test_a_fault_takes_the_place_of_the_answer(
    http: httpx.AsyncClient, sandbox: Sandbox, fault: str, status: int, body: bytes
) -> None:
    sandbox.fail_with(fault)
    reply = await debug(http, sandbox.token("north"))
    assert reply.status_code == status
    assert body in reply.content
    assert sandbox.calls[-1].outcome == fault
    assert sandbox.calls[-1].items == ("north",)
    sandbox.fail_with(None)
    assert (await debug(http, sandbox.token("north"))).json()["data"]["is_valid"]


async def test_cut_json_breaks_off_in_the_middle(
    http: httpx.AsyncClient, sandbox: Sandbox
) -> None:
    whole = (await debug(http, sandbox.token("north"))).content
    sandbox.fail_with("cut_json")
    cut = (await debug(http, sandbox.token("north"))).content
    assert cut == whole[: len(whole) // 2]


async def test_wrong_types_come_for_every_item(
    http: httpx.AsyncClient, sandbox: Sandbox
) -> None:
    sandbox.fail_with("wrong_type")
    reply = (await post(http, ["x"] * 50)).json()
    assert len(reply) == 50
    assert reply[:2] == [7, "sorry"]


async def test_a_huge_reply_can_be_left_half_read(
    http: httpx.AsyncClient, sandbox: Sandbox
) -> None:
    sandbox.fail_with("huge")
    async with http.stream("GET", "/debug_token") as reply:
        assert int(reply.headers["Content-Length"]) == 64 * 1024 * 1024
        async for chunk in reply.aiter_bytes():
            assert chunk.startswith(b"[[[")
            break
    sandbox.fail_with(None)
    assert (await debug(http, "x")).status_code == 200


async def test_a_slow_answer_is_the_right_one(
    http: httpx.AsyncClient, sandbox: Sandbox
) -> None:
    sandbox.fail_with("slow(0.05s)")
    began = time.monotonic()
    assert told(await debug(http, sandbox.token("north"))) == 0
    assert time.monotonic() - began >= 0.05


async def test_a_slow_call_is_noted_when_it_came(
    http: httpx.AsyncClient, sandbox: Sandbox, clock: VirtualClock
) -> None:
    came_at = clock()
    sandbox.fail_with("slow(0.5s)")
    asking = asyncio.create_task(debug(http, sandbox.token("north")))
    while (await http.get("/_sandbox/healthz")).json()["open"] < 2:
        pass
    clock.advance(timedelta(minutes=1))
    await asking
    assert [call.at for call in sandbox.calls] == [came_at]


async def test_a_hanging_call_never_ends_by_itself(
    http: httpx.AsyncClient, sandbox: Sandbox
) -> None:
    sandbox.fail_with("hang")
    with pytest.raises(httpx.ReadTimeout):
        await http.get("/debug_token", timeout=0.1)


async def test_a_reset_connection_is_an_error_of_the_network(
    http: httpx.AsyncClient, sandbox: Sandbox
) -> None:
    sandbox.fail_with("reset")
    with pytest.raises(httpx.NetworkError):
        await debug(http, sandbox.token("north"))
    sandbox.fail_with(None)
    assert (await debug(http, "x")).status_code == 200
    assert [call.outcome for call in sandbox.calls] == ["reset", "answered"]


async def test_a_skewed_date_is_off_by_as_much(
    http: httpx.AsyncClient, sandbox: Sandbox, clock: VirtualClock
) -> None:
    sandbox.fail_with("skewed_date(20m)")
    reply = await debug(http, "x")
    shown = parsedate_to_datetime(reply.headers["Date"])
    assert shown == clock.now + timedelta(minutes=20)


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ("null_items", None),
        ("item_500", (500, 1, None)),
        ("item_960", (500, 960, None)),
        ("all_460", (200, 190, 460)),
    ],
)
async def test_a_fault_of_items_strikes_its_share_of_them(
    http: httpx.AsyncClient,
    sandbox: Sandbox,
    fault: str,
    found: tuple[int, int, int | None] | None,
) -> None:
    sandbox.fail_with(Fault(fault, share=0.25))
    items = (await post(http, [sandbox.token("north")] * 8)).json()
    struck = [
        item for item in items if item is None or b"error" in item["body"].encode()
    ]
    assert len(struck) == 2
    if found is not None:
        body = json.loads(struck[0]["body"])
        error = body.get("error") or body["data"]["error"]
        assert (struck[0]["code"], error["code"], error.get("subcode")) == found
    sandbox.fail_with(None)
    assert told(await debug(http, sandbox.token("north"))) == 0


async def test_a_fault_can_strike_one_app_only(
    http: httpx.AsyncClient, sandbox: Sandbox
) -> None:
    sandbox.fail_with("code_2", app=OTHER.id)
    assert (await debug(http, sandbox.token("ads"), OTHER)).status_code == 503
    assert (await debug(http, sandbox.token("north"))).status_code == 200
    sandbox.fail_with(None, app=APP.id)
    assert (await debug(http, sandbox.token("ads"), OTHER)).status_code == 503
    sandbox.fail_with(None, app=OTHER.id)
    assert (await debug(http, sandbox.token("ads"), OTHER)).status_code == 200


async def test_a_planned_fault_begins_and_ends_on_the_event_clock(
    clock: VirtualClock,
) -> None:
    fault = Fault("code_2", after=timedelta(minutes=5), lasting=timedelta(minutes=2))
    scenario = Scenario((APP,), faults=(fault,))
    async with (
        Sandbox.serve(scenario, clock=clock) as sandbox,
        httpx.AsyncClient(base_url=sandbox.url) as http,
    ):
        found = []
        for _ in range(9):
            found.append((await debug(http, "x")).status_code)
            clock.advance(timedelta(minutes=1))
    assert found == [200] * 5 + [503] * 2 + [200] * 2


@pytest.mark.parametrize("kind", FAULTS)
async def test_every_fault_leaves_the_server_alive(
    http: httpx.AsyncClient, sandbox: Sandbox, kind: str
) -> None:
    sandbox.fail_with(Fault(kind, span=timedelta(milliseconds=10)))
    try:
        async with http.stream("GET", "/debug_token", timeout=0.1) as reply:
            assert reply.status_code in {200, 302, 400, 403, 500, 503}
    except httpx.TransportError:
        assert kind in {"hang", "reset"}
    sandbox.fail_with(None)
    assert (await debug(http, "x")).status_code == 200
    assert Fault(kind).of_items is (kind not in CALL_FAULTS)


async def test_a_taken_port_is_unavailable(
    sandbox: Sandbox, clock: VirtualClock
) -> None:
    with pytest.raises(UnavailableError, match=f"127.0.0.1:{sandbox.port}") as caught:
        async with Sandbox.serve(SCENARIO, clock=clock, port=sandbox.port):
            pass
    assert caught.value.exit_code == 69


async def test_a_port_that_is_none_is_unavailable(clock: VirtualClock) -> None:
    with pytest.raises(UnavailableError, match="70000 is no port"):
        async with Sandbox.serve(SCENARIO, clock=clock, port=70_000):
            pass


async def test_time_must_move_forward(clock: VirtualClock) -> None:
    with pytest.raises(ConfigurationError, match="speed: 0 is not above 0"):
        async with Sandbox.serve(SCENARIO, clock=clock, speed=0):
            pass


async def test_it_listens_on_loopback_and_leaves_signals_alone(
    clock: VirtualClock,
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    async with Sandbox.serve(SCENARIO, clock=clock) as sandbox:
        assert signal.getsignal(signal.SIGTERM) is before
        assert sandbox.url.startswith("http://127.0.0.1:")
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.2", sandbox.port), timeout=1)


async def test_it_goes_down_at_once_with_connections_open_and_calls_hanging(
    clock: VirtualClock,
) -> None:
    async with httpx.AsyncClient(timeout=10) as http:
        async with Sandbox.serve(SCENARIO, clock=clock) as sandbox:
            await http.get(f"{sandbox.url}/_sandbox/healthz")
            sandbox.fail_with("hang")
            hanging = [
                asyncio.create_task(http.get(f"{sandbox.url}/debug_token"))
                for _ in range(3)
            ]
            async with asyncio.timeout(5):
                while True:
                    async with httpx.AsyncClient() as other:
                        reply = await other.get(f"{sandbox.url}/_sandbox/healthz")
                    if reply.json()["open"] >= 4:
                        break
            began = time.monotonic()
        assert time.monotonic() - began < 1
        ends = await asyncio.gather(*hanging, return_exceptions=True)
        assert all(isinstance(end, httpx.TransportError) for end in ends)
