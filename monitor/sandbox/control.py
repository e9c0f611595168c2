"""The sandbox's own addresses: who asked what, and moving the event clock."""

from datetime import datetime
from urllib.parse import parse_qsl

import msgspec

from monitor.errors import OperatorError
from monitor.sandbox.duration import duration
from monitor.sandbox.wire import Reply, Scope
from monitor.sandbox.world import Call, World


def answer(world: World, scope: Scope, now: datetime) -> Reply:
    """Answer `/_sandbox/…`. No answer ever holds a secret."""
    query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
    where = f"{scope['method']} {scope['path'].removeprefix('/_sandbox/')}"
    try:
        found = _act(world, where, query, now)
    except KeyError as error:
        return _json(400, {"error": f"the parameter {error} is missing"})
    except (OperatorError, ValueError) as error:
        return _json(400, {"error": str(error)})
    if found is None:
        return _json(404, {"error": "the sandbox has no such address"})
    return _json(200, found)


def _act(world: World, where: str, query: dict[str, str], now: datetime) -> object:
    match where:
        case "GET healthz":
            return {"status": "ok", "calls": len(world.calls), "open": world.open}
        case "GET calls":
            return [_shown(call) for call in world.calls]
        case "POST advance":
            world.advance(duration(query["by"]))
            return {"elapsed_seconds": world.elapsed(now).total_seconds()}
        case "POST state":
            world.set_state(query["token"], query["state"])
            return {"token": query["token"], "state": query["state"]}
        case "GET elsewhere" | "POST elsewhere":
            world.calls.append(Call(now, "", "other", (), "redirected"))
            return {"data": {"is_valid": False}}
        case _:
            return None


def _shown(call: Call) -> dict[str, object]:
    return {
        "at": call.at.isoformat(),
        "app_id": call.app_id,
        "kind": call.kind,
        "count": len(call.items),
        "items": call.items,
        "outcome": call.outcome,
    }


def _json(status: int, value: object) -> Reply:
    return Reply(status, msgspec.json.encode(value))
