"""Every recorded payload, and what it must mean."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from monitor.core.tokens import Answer, Cause, Code, Inconclusive, Introspection
from monitor.probe.batch import interpret_batch
from monitor.probe.interpret import interpret

PAYLOADS = Path(__file__).parent / "payloads"


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


INSTAGRAM = (
    "instagram_basic",
    "instagram_manage_comments",
    "instagram_manage_insights",
)
LOGIN = ("email", "public_profile")
PAGES = ("pages_show_list", *INSTAGRAM[::2], "public_profile")

UNREADABLE, CALLER = Cause.UNREADABLE, Cause.CALLER
UNKNOWN, THROTTLED = Cause.UNKNOWN, Cause.THROTTLED

ROWS: dict[str, Introspection | Cause] = {
    "001-dt-input-garbage": Introspection(Code.MALFORMED, scopes=()),
    "003-dt-input-app-token-bad-secret": Introspection(Code.MALFORMED, scopes=()),
    "005-dt-session-invalidated-api-call-466": Introspection(
        Code.REVOKED,
        app_id="170660414153533",
        kind="user",
        user_id="1101393033288900",
        expires_at=at(1622793600),
        data_access_expires_at=at(1630564369),
        scopes=(),
    ),
    "006-dt-user-expired-463": Introspection(
        Code.EXPIRED,
        app_id="373482871624900",
        kind="user",
        user_id="123",
        issued_at=at(1663429551),
        expires_at=at(1668613551),
        data_access_expires_at=at(1671205551),
        scopes=LOGIN,
    ),
    "007-dt-user-password-changed-460": Introspection(
        Code.PASSWORD_CHANGED,
        app_id="373482871624900",
        kind="user",
        user_id="123",
        expires_at=None,
        data_access_expires_at=at(1671412462),
        scopes=("email", *INSTAGRAM, "instagram_content_publish", "public_profile"),
    ),
    "008-dt-caller-missing": CALLER,
    "010-dt-app-token-valid": Introspection(
        app_id="373482871624900", kind="app", scopes=()
    ),
    "011-dt-page-token-short": Introspection(
        app_id="373482871624900",
        kind="page",
        user_id="123",
        profile_id="222437176601249",
        expires_at=at(1669086000),
        data_access_expires_at=at(1676858291),
        scopes=("pages_show_list", "public_profile"),
        targets={"pages_show_list": ("222437176601249",)},
    ),
    "013-dt-user-long-lived": Introspection(
        app_id="373482871624900",
        kind="user",
        user_id="123",
        issued_at=at(1668750788),
        expires_at=at(1673934788),
        data_access_expires_at=at(1676526788),
        scopes=("public_profile",),
    ),
    "014-dt-user-never-expires-granular": Introspection(
        app_id="170660414153533",
        kind="user",
        user_id="598382551230155",
        issued_at=at(1625941044),
        data_access_expires_at=at(1633717120),
        scopes=PAGES,
        targets={"pages_show_list": ("386589460647571",)},
    ),
    "016-dt-user-never-expires-3-pages": Introspection(
        app_id="170660414153533",
        kind="user",
        user_id="442224276421461",
        issued_at=at(1622448563),
        data_access_expires_at=at(1622620958),
        scopes=PAGES,
        targets={
            "pages_show_list": (
                "121042082845069",
                "394245440509958",
                "410484502517288",
            )
        },
    ),
    "017-err-190-invalidated-no-subcode": CALLER,
    "018-err-190-expired-no-subcode": CALLER,
    "019-err-190-session-key-malformed": CALLER,
    "021-err-190-could-not-decrypt": CALLER,
    "022-dt-doc-user-granular": Introspection(
        app_id="{app-id}",
        kind="user",
        user_id="32405452535533105",
        expires_at=at(1570820400),
        data_access_expires_at=at(1576687825),
        scopes=("pages_show_list", "public_profile"),
        targets={
            "pages_show_list": (
                "{page-1-app-can-access-id}",
                "{page-2-app-can-access-id}",
            )
        },
    ),
    "023-dt-doc-manual-flow-int-app-id": Introspection(
        app_id="137104360050853",
        kind="user",
        user_id="7410617",
        issued_at=at(1347235328),
        expires_at=at(1352419328),
        scopes=("email", "publish_actions"),
    ),
    "026-dt-fixture-user-no-granular": Introspection(
        app_id="9508344594",
        kind="user",
        user_id="7125405272793",
        expires_at=at(1561330800),
        data_access_expires_at=at(1563217616),
        scopes=(
            "user_location",
            "user_photos",
            "email",
            "manage_pages",
            "pages_show_list",
            "publish_pages",
            "business_management",
            "public_profile",
        ),
    ),
    "028-dt-fixture-python-facebook": Introspection(
        app_id="appId",
        kind="user",
        user_id="userId",
        expires_at=at(1577347200),
        data_access_expires_at=at(1585040349),
        scopes=(
            "email",
            "read_insights",
            "manage_pages",
            "pages_show_list",
            "public_profile",
        ),
    ),
    "029-dt-doc-system-user-whatsapp": Introspection(
        app_id="850969102855422",
        kind="system_user",
        user_id="992360546559635",
        issued_at=at(1712099387),
        scopes=("whatsapp_business_management", "whatsapp_business_messaging"),
    ),
    "032-dt-doc-threads": Introspection(
        kind="user",
        user_id="{threads-user-id}",
        issued_at=at(1747070132),
        expires_at=at(1752254132),
        data_access_expires_at=at(1754846089),
        scopes=(
            "threads_basic",
            "threads_content_publish",
            "threads_manage_replies",
            "threads_manage_insights",
            "threads_read_replies",
        ),
    ),
    "034-dt-recorded-user-2017": Introspection(
        app_id="150232886590755",
        user_id="935291443511341",
        issued_at=at(1487456267),
        expires_at=at(1492640267),
        scopes=LOGIN,
    ),
    "036-dt-recorded-user-short-2016": Introspection(
        app_id="1047005401249453",
        user_id="25302148751992743",
        expires_at=at(1474326000),
        scopes=LOGIN,
    ),
    "037-dt-recorded-user-2020-many-scopes": Introspection(
        app_id="115420005051160",
        kind="user",
        user_id="236613507035480",
        issued_at=at(1589537998),
        expires_at=at(1594721998),
        data_access_expires_at=at(1597316802),
        scopes=(
            "user_birthday",
            "user_hometown",
            "user_location",
            "user_likes",
            "user_photos",
            "user_videos",
            "user_friends",
            "user_status",
            "user_tagged_places",
            "user_posts",
            "user_gender",
            "user_link",
            "user_age_range",
            "email",
            "read_insights",
            "publish_video",
            "catalog_management",
            *INSTAGRAM,
            "leads_retrieval",
            "whatsapp_business_management",
            "public_profile",
        ),
    ),
    "039-dt-fixture-invalid-no-error": Introspection(
        Code.INVALID,
        app_id="552630201124254",
        kind="user",
        user_id="64572041360823922",
        issued_at=at(1678117862),
        expires_at=at(1683301862),
        data_access_expires_at=at(1685893862),
        scopes=("email", "openid", "public_profile"),
    ),
    "040-dt-recorded-user-2017-sso": Introspection(
        app_id="4716912453172845",
        user_id="144550250174998",
        issued_at=at(1501446323),
        expires_at=at(1506630323),
        scopes=LOGIN,
    ),
    "041-dt-recorded-expired-463-2016": Introspection(
        Code.EXPIRED,
        app_id="22795602064353",
        user_id="496524990639257",
        expires_at=at(1459922400),
        scopes=("user_friends", *LOGIN),
    ),
    "043-dt-recorded-valid-before-expiry-2021": Introspection(
        app_id="441405380523554",
        kind="user",
        user_id="53523936452351375",
        expires_at=at(1639227600),
        data_access_expires_at=at(1646998920),
        scopes=LOGIN,
    ),
    "044-dt-recorded-short-user-1": Introspection(
        app_id="242844582512021",
        kind="user",
        user_id="1749819504826013",
        expires_at=at(1692460800),
        data_access_expires_at=at(1700230871),
        scopes=LOGIN,
    ),
    "048-dt-fixture-waba-granular-only": UNREADABLE,
    "050-dt-fixture-wrong-app-id-200": Introspection(
        app_id="559564271202383", user_id="72947423445911804", scopes=()
    ),
    "052-dt-wrong-app-100": Introspection(Code.WRONG_APP),
    "053-dt-caller-bad-secret-190": CALLER,
    "055-dt-caller-not-developer-100-2018": CALLER,
    "057-oauth-client-credentials-101": CALLER,
    "060-appsecret-proof-required-100": CALLER,
    "062-oauth-client-secret-bad-1": CALLER,
    "063-oauth-missing-client-id-101": CALLER,
    "064-oauth-code-used-100": UNKNOWN,
    "065-oauth-code-used-100-36009": UNKNOWN,
    "066-oauth-verification-code-old": UNREADABLE,
    "067-oauth-threads-error": UNKNOWN,
    "068-oauth-exchange-long-lived": UNREADABLE,
    "069-oauth-code-exchange-recorded": UNREADABLE,
    "070-oauth-code-exchange-no-expires-in": UNREADABLE,
    "071-oauth-exchange-fixture": UNREADABLE,
    "072-oauth-threads-long-lived": UNREADABLE,
    "073-oauth-old-urlencoded": UNREADABLE,
    "074-oauth-ig-refresh": UNREADABLE,
    "075-err-190-463-doc": CALLER,
    "077-err-190-458-doc": CALLER,
    "079-err-190-459-checkpoint": CALLER,
    "081-err-190-490-checkpoint": CALLER,
    "083-err-190-464-unconfirmed": CALLER,
    "084-err-190-467-loggedout": CALLER,
    "085-err-190-492-page-role": CALLER,
    "088-err-100-missing-permissions": UNKNOWN,
    "089-err-200-requires-permission": UNKNOWN,
    "090-err-10-permission": UNKNOWN,
    "091-err-368-security-check": UNKNOWN,
    "094-rate-4-app": THROTTLED,
    "095-rate-4-1504022": THROTTLED,
    "097-rate-17-2446079": THROTTLED,
    "098-rate-32-page-doc": THROTTLED,
    "100-rate-80000-buc": THROTTLED,
    "101-transient-2-503": Cause.TRANSIENT,
    "103-permanent-1-2853001": UNKNOWN,
    "105-version-2635": UNKNOWN,
    "108-html-error-page": Cause.TRANSIENT,
    "109-batch-two-ok-with-headers": UNREADABLE,
    "111-batch-second-error": UNREADABLE,
    "112-batch-null-entry": UNREADABLE,
    "114-batch-too-many": UNKNOWN,
    "116-batch-doc-sample": UNREADABLE,
    "117-batch-debug-token-request": UNREADABLE,
    "118-hdr-x-app-usage": UNREADABLE,
    "120-hdr-x-ad-account-usage": UNREADABLE,
    "121-hdr-plain-graph-response": UNREADABLE,
    "122-webhook-permissions-granted": UNREADABLE,
    "123-webhook-business-uninstall": UNREADABLE,
    "124-deauth-signed-request": UNREADABLE,
    "125-data-deletion-payload": UNREADABLE,
    "126-dt-fixture-deauthorised-458": Introspection(Code.REVOKED),
}

BATCHES: dict[str, list[Introspection | Cause]] = {
    "109-batch-two-ok-with-headers": [UNREADABLE, UNREADABLE],
    "111-batch-second-error": [UNREADABLE, UNKNOWN],
    "112-batch-null-entry": [Cause.TRANSIENT, UNREADABLE],
    "116-batch-doc-sample": [UNREADABLE, UNREADABLE],
    "117-batch-debug-token-request": [
        Introspection(app_id="{app-id}", kind="user", scopes=())
    ],
}


def payload(name: str) -> dict[str, Any]:
    text = (PAYLOADS / f"{name}.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


def body_of(content: dict[str, Any]) -> str:
    response = content["response"]
    return response if isinstance(response, str) else json.dumps(response)


def status_of(content: dict[str, Any]) -> int:
    return int(content["http_status"] or 200)


def gist(answer: Answer) -> Introspection | Cause:
    return answer if isinstance(answer, Introspection) else answer.cause


def test_every_payload_has_a_row() -> None:
    assert {path.stem for path in PAYLOADS.iterdir()} == set(ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_a_payload_means_what_the_facts_say(name: str) -> None:
    content = payload(name)
    answer = interpret(status_of(content), body_of(content).encode())
    assert gist(answer) == ROWS[name]


@pytest.mark.parametrize("as_text", [True, False], ids=["text", "object"])
@pytest.mark.parametrize("name", ROWS)
def test_a_payload_means_the_same_as_an_item_of_a_batch(
    name: str, *, as_text: bool
) -> None:
    content = payload(name)
    body = body_of(content) if as_text else content["response"]
    item = {"code": status_of(content), "body": body}
    reply = json.dumps([item, item]).encode()
    single = interpret(status_of(content), body_of(content))
    assert interpret_batch(200, reply, 2).answers == (single, single)


@pytest.mark.parametrize("name", BATCHES)
def test_a_recorded_batch_is_taken_apart(name: str) -> None:
    reply = body_of(payload(name)).encode()
    reading = interpret_batch(200, reply, len(BATCHES[name]))
    assert [gist(answer) for answer in reading.answers] == BATCHES[name]


def test_a_batch_that_is_too_large_fails_as_a_whole() -> None:
    content = payload("114-batch-too-many")
    reading = interpret_batch(400, body_of(content).encode(), 3)
    trouble = Inconclusive(UNKNOWN, "call 400, error none")
    assert reading.trouble == trouble
    assert reading.answers == (trouble,) * 3
