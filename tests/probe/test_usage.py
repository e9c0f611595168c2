"""Usage headers: percentages, waits, versions and clocks."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from monitor.probe.usage import Usage, _kept_usage, read_usage

NOW = "Mon, 23 Nov 2026 12:00:00 GMT"


def read(**headers: str) -> Usage:
    pairs = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return read_usage(pairs, throttled=False)


def business(**fields: object) -> str:
    return json.dumps({"1": [{"type": "pages", "call_count": 5, **fields}]})


def test_no_header_means_little_used() -> None:
    assert read_usage((), throttled=False) == Usage()


@pytest.mark.parametrize(
    ("value", "percent"),
    [
        ('{"call_count":28,"total_time":25,"total_cputime":25}', 28),
        ('{"call_count":2,"total_time":2,"total_cputime":101}', 101),
        ('{"call_volume":7,"cpu_time":9}', 9),
        ('{"acc_id_util_pct":9.67,"reset_time_duration":100}', 9.67),
        ('{"app_id_util_pct":50,"acc_id_util_pct":0}', 50),
        ('{"call_count":0}', 0),
        ('{"1":[{"call_count":3},{"call_count":95}],"2":[{"total_time":96}]}', 96),
        ('{"call_count":"28"}', None),
        ('{"call_count":true}', None),
        ('{"call_count":-1}', None),
        ('{"call_count":1e999}', None),
        ('{"call_count":%s}' % ("9" * 400), None),
        ('{"other":99}', None),
        ("{}", None),
        ("[]", None),
        ('{"1":[5,null,"x"]}', None),
        ('{"1":{"call_count":99}}', None),
        ("NaN", None),
        ("[" * 100_000, None),
        ("", None),
        ("28", None),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_the_highest_percentage_counts(value: str, percent: float | None) -> None:
    assert read(X_App_Usage=value).percent == percent
    assert read(x_business_use_case_usage=value).percent == percent


def test_headers_of_items_count_as_much_as_those_of_the_call() -> None:
    outer = (("x-app-usage", '{"call_count":5}'), ("X-Other", '{"call_count":99}'))
    inner = (
        ("X-APP-USAGE", '{"call_count":80}'),
        ("X-Page-Usage", "broken"),
        ("Facebook-API-Version", "v24.0"),
    )
    usage = read_usage(outer, inner, throttled=True)
    assert usage == Usage(80, None, None, throttled=True, version_seen="v24.0")


def test_of_two_headers_of_a_name_the_first_counts() -> None:
    outer = (("Retry-After", "60"), ("Facebook-API-Version", "v24.0"))
    inner = (("retry-after", "5"), ("facebook-api-version", "v23.0"))
    usage = read_usage(outer, inner, throttled=False)
    assert usage.retry_after == timedelta(minutes=1)
    assert usage.version_seen == "v24.0"


def test_a_header_of_any_length_is_not_kept() -> None:
    kept = _kept_usage.cache_info().currsize
    assert read(X_App_Usage='{"call_count":7}' + " " * 5_000).percent == 7
    inside = ("X-App-Usage", '{"call_count":8}' + " " * 5_000)
    assert read_usage((), (inside,), throttled=False).percent == 8
    many = tuple(("X-App-Usage", "") for _ in range(5_000))
    assert read_usage(many, (), throttled=False) == Usage()
    assert _kept_usage.cache_info().currsize == kept


def test_reading_the_same_again_tells_the_same() -> None:
    """What is kept of a header is what it said, in number and length bounded."""
    wait = {"estimated_time_to_regain_access": 5}
    values = [business(call_count=n, **wait) for n in range(200)]
    values.append(json.dumps({"1": [{"call_count": 99}] * 1_000}))
    dates = [NOW.replace("12:00", f"12:{n:02}") for n in range(30)]
    for _ in range(2):
        for n, value in enumerate(values):
            usage = read(X_App_Usage=value, Date=dates[n % 30])
            assert usage.percent == (n if n < 200 else 99)
            assert usage.regain == (timedelta(minutes=5) if n < 200 else None)
            assert usage.server_at is not None
            assert usage.server_at.minute == n % 30


@pytest.mark.parametrize(
    ("minutes", "regain"),
    [
        (19, timedelta(minutes=19)),
        (0.5, timedelta(seconds=30)),
        (0, None),
        (None, None),
        (-5, None),
        ("19", None),
        (10**8, timedelta(days=1)),
    ],
)
def test_time_to_regain_access_is_in_minutes(
    minutes: object, regain: timedelta | None
) -> None:
    value = business(estimated_time_to_regain_access=minutes)
    assert read(x_business_use_case_usage=value).regain == regain


@pytest.mark.parametrize(
    ("percent", "regain"),
    [(99.9, None), (100, timedelta(seconds=90)), (120, timedelta(seconds=90))],
)
def test_a_reset_time_in_seconds_counts_once_the_limit_is_reached(
    percent: float, regain: timedelta | None
) -> None:
    value = json.dumps({"acc_id_util_pct": percent, "reset_time_duration": 90})
    assert read(x_ad_account_usage=value).regain == regain


def test_the_longest_wait_counts() -> None:
    value = json.dumps(
        {
            "1": [{"estimated_time_to_regain_access": 3}],
            "2": [{"estimated_time_to_regain_access": 7}],
        }
    )
    assert read(x_business_use_case_usage=value).regain == timedelta(minutes=7)


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("120", timedelta(minutes=2)),
        (" 0 ", timedelta(0)),
        ("999999999", timedelta(days=1)),
        ("9" * 5000, None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("Mon, 23 Nov 2026 12:01:00 GMT", timedelta(minutes=1)),
        ("Mon, 23 Nov 2026 11:00:00 GMT", timedelta(0)),
        ("Mon, 23 Nov 9999 12:00:00 GMT", timedelta(days=1)),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_retry_after_is_seconds_or_a_date_by_the_servers_clock(
    value: str, wait: timedelta | None
) -> None:
    assert read(Retry_After=value, Date=NOW).retry_after == wait


def test_a_date_to_wait_for_says_nothing_without_the_servers_clock() -> None:
    assert read(Retry_After="Mon, 23 Nov 2026 12:01:00 GMT").retry_after is None


@pytest.mark.parametrize(
    ("value", "at"),
    [
        (NOW, datetime(2026, 11, 23, 12, tzinfo=UTC)),
        ("Mon, 23 Nov 2026 13:00:00 +0100", datetime(2026, 11, 23, 12, tzinfo=UTC)),
        ("Mon, 23 Nov 2026 12:00:00 -0000", datetime(2026, 11, 23, 12, tzinfo=UTC)),
        ("Mon, 99 Nov 2026 12:00:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 -0100", None),
        ("yesterday", None),
        ("x" * 100_000, None),
        ("", None),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_the_servers_clock_is_read_from_its_date(
    value: str, at: datetime | None
) -> None:
    assert read(date=value).server_at == at


@pytest.mark.parametrize(
    ("value", "version"),
    [("v25.0", "v25.0"), ("25.0", None), ("v25.0\n", None), ("v٣.0", None), ("", None)],
)
def test_the_version_that_served_us_is_told(value: str, version: str | None) -> None:
    assert read(Facebook_API_Version=value).version_seen == version
