"""Sample reports: one that has something in every list, and one of a quiet week."""

from datetime import datetime, timedelta

from msgspec import json

from monitor.core.delivery import Item
from monitor.core.incident import Reason
from monitor.core.report import Digest, Line, Listed

PERIOD = "2026-W48"


def full_report(now: datetime) -> Item:
    """A bad week."""
    days = [now - timedelta(days=n) for n in range(30)]
    reminded = tuple(
        Line(f"page-{n}", f"Bakery {n}, password_changed", days[12]) for n in range(20)
    )
    return report_item(
        Digest(
            total=2310,
            checked=2304,
            unknown=9,
            never=6,
            overdue=4,
            warning=31,
            critical=27,
            oldest_verified_at=days[2],
            ailing=Listed(1, (Line("smtp", "letters are due and do not leave", now),)),
            told_in_vain=Listed(23, reminded),
            silences=Listed(
                1, (Line("page-40", "renewal is planned", now + timedelta(days=3)),)
            ),
            excess=Listed(1, (Line("page-41", "Bakery North"),)),
            short_lived=Listed(1, (Line("page-42"),)),
            waiting=Listed(2, (Line("hours", "2"), Line("silence", "1"))),
            refused=Listed(1, (Line("9c415d2c91aa", "token:page-43", days[1]),)),
            matters=Listed(1, (Line("app:1234567890", "", days[3]),)),
        ),
        now,
    )


def quiet_report(now: datetime) -> Item:
    """A week in which all was well."""
    return report_item(
        Digest(
            total=2310,
            checked=2310,
            unknown=0,
            never=0,
            overdue=0,
            warning=0,
            critical=0,
            oldest_verified_at=now - timedelta(hours=6),
        ),
        now,
    )


def report_item(digest: Digest, now: datetime) -> Item:
    """What the outbox holds of a report."""
    return Item(
        subject=f"report:{PERIOD}",
        incident="I-5d2c91",
        number=1,
        reason=Reason.REPORT,
        findings=(),
        app_id="",
        app_name="",
        opened_at=now,
        facts={"period": PERIOD, "digest": json.encode(digest).decode()},
    )
