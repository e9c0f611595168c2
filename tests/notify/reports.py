"""Delivery reports as mail servers write them; every field has a default."""

POSTFIX = """\
Return-Path: <>
X-Original-To: {to}
Delivered-To: {to}
Date: Tue, 24 Nov 2026 09:20:00 +0000 (UTC)
From: MAILER-DAEMON@mx.example (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
To: {to}
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
 boundary="4F2.1700000000/mx.example"
Message-Id: <20261124092000.4F2@mx.example>

--4F2.1700000000/mx.example
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

This is the mail system at host mx.example. I'm sorry.

--4F2.1700000000/mx.example
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example{envelope_id}
X-Postfix-Queue-ID: 4F2
Arrival-Date: Tue, 24 Nov 2026 09:19:58 +0000 (UTC)

Final-Recipient: rfc822; {final}
Original-Recipient: rfc822;{original}
Action: {action}
Status: {status}
Diagnostic-Code: smtp; 550 5.1.1 user unknown

--4F2.1700000000/mx.example
Content-Description: Undelivered Message
Content-Type: {returned}

From: Acme <tokens@acme.example>
To: {final}
Subject: [Acme] North
Message-ID: {message_id}

{body}
--4F2.1700000000/mx.example--
"""

AWAY = """\
From: ann@bakery.example
To: {to}
Subject: I am away
Auto-Submitted: auto-replied
Message-ID: <away@bakery.example>

Until Monday.
"""


def a_bounce(
    to: str = "bounces@acme.example",
    final: str = "ann@bakery.example",
    original: str | None = None,
    **facts: str,
) -> bytes:
    """A report that a letter is lost, unless the test says otherwise."""
    fields = {
        "to": to,
        "final": final,
        "original": final if original is None else original,
        "action": "failed",
        "status": "5.1.1",
        "returned": "message/rfc822",
        "message_id": "<unknown@elsewhere.example>",
        "envelope_id": "",
        "body": "The letter.",
        **facts,
    }
    return POSTFIX.format(**fields).replace("\n", "\r\n").encode()


def an_away_note(to: str = "bounces@acme.example") -> bytes:
    """What a person on holiday sends to everybody."""
    return AWAY.format(to=to).encode()
