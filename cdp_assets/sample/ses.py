"""Amazon SES event records: JSON lines of campaign mails and what became of them.

A campaign goes out on most days to a part of the CRM contacts with an email who have not opted out.
A message is sent, then delivered or bounced, maybe opened, clicked, complained about or used to
unsubscribe; each event lands on the day it happens, so a message's later events land days later.
Source of the shape: Amazon SES Developer Guide, "Contents of event data ... Firehose".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from cdp_assets.sample import crm, text
from cdp_assets.sample.company import Company, row_ids
from cdp_assets.sample.landing import Delivery, stream_name
from cdp_assets.sample.vocabulary import CAMPAIGNS, EMAIL_DOMAINS, JUNK_EMAILS

SHARE = 0.185
_EVENTS_PER_MESSAGE = 2.52
_WEEK = (1.0, 1.4, 0.9, 1.4, 1.0, 0.5, 0.4)
_DAY_MS = 86_400_000
_STREAM = "ses-events"
_SEND, _DELIVERY, _OPEN, _REOPEN, _CLICK, _BOUNCE, _COMPLAINT, _SUBSCRIPTION = range(8)
_BAD_DOMAINS = "@(" + "|".join(slip.replace(".", r"\.") for _, slip in EMAIL_DOMAINS) + ")$"
_JUNK = pa.array(JUNK_EMAILS)
_CAMPAIGNS = text.strings([f'"campaign":["{name}"]' for name, _ in CAMPAIGNS])
_SUBJECTS = text.strings([subject for _, subject in CAMPAIGNS])
_LINKS = text.strings([f"https://fernhill.example/c/{name}" for name, _ in CAMPAIGNS])
_AGENT = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15"


@dataclass(frozen=True)
class _Messages:
    """The mails of one day: columns per message."""

    ids: np.ndarray
    who: np.ndarray
    address: pa.Array
    sent_ms: np.ndarray
    campaign: np.ndarray


def mailing_list(company: Company, day: int) -> np.ndarray:
    """Contact numbers that marketing may write to on a day."""
    contacts = crm.contacts_of(company, company.active)
    is_there = (crm.created_day(company, contacts) < day) & (
        crm.deleted_day(company, contacts) > day
    )
    is_allowed = company.people.opt_out_day[contacts >> 1] >= day
    return contacts[is_there & is_allowed & crm.has_email(company, contacts)]


def objects(company: Company, day: int) -> Iterator[Delivery]:
    """All events of the mails sent on a day, in one object or more per day they happened on."""
    messages = _messages(company, day)
    kind, message, at_ms = _events(company, day, messages)
    keys = _message_ids(company, messages)
    epoch_days = at_ms // _DAY_MS
    for epoch_day in np.unique(epoch_days):
        landing_day = int(epoch_day) - company.epoch_day(0)
        if landing_day > max(day, company.size.days - 1):
            break  # has not landed yet
        here = np.flatnonzero(epoch_days == epoch_day)
        here = here[np.argsort(at_ms[here], kind="stable")]
        step = company.size.object_rows
        for part, start in enumerate(range(0, len(here), step)):
            rows = here[start : start + step]
            lines = _lines(company, messages, keys, kind[rows], message[rows], at_ms[rows])
            sent = message[rows[kind[rows] == _SEND]]
            yield _delivery(company, day, landing_day, part, lines,
                            text.take(keys, sent), messages.who[sent])  # fmt: skip


def _delivery(
    company: Company,
    day: int,
    landing_day: int,
    part: int,
    lines: pa.Array,
    keys: pa.Array,
    people: np.ndarray,
) -> Delivery:
    number = np.array([(day << 40) + (landing_day << 20) + part])
    bits = int(company.dice("ses").bits("object", number)[0])
    epoch_day = company.epoch_day(landing_day)
    return Delivery(
        source="email",
        entity="events",
        epoch_day=epoch_day,
        name=stream_name(_STREAM, epoch_day, bits % 24, 24, bits, ""),
        data=text.concatenated(lines),
        rows=len(lines),
        keys=keys,
        people=people,
    )


def _messages(company: Company, day: int) -> _Messages:
    dice = company.dice("ses")
    contacts = mailing_list(company, day)
    wanted = company.volume(company.size.events * SHARE / _EVENTS_PER_MESSAGE, day, _WEEK)
    # The same contacts get every campaign more often than chance would have it. Who leaves today
    # does so because of a mail of today.
    liked = dice.uniform("segment", contacts) + 0.8 * dice.uniform(f"drawn on {day}", contacts)
    liked[company.people.opt_out_day[contacts >> 1] == day] = 0.0
    contacts = np.sort(contacts[np.argsort(liked, kind="stable")[:wanted]])
    ids = row_ids(day, len(contacts))
    # Sent within two hours from 08:00 UTC.
    sent = company.epoch_day(day) * _DAY_MS + 8 * 3_600_000 + dice.below("sent", ids, 7_200_000)
    return _Messages(
        ids=ids,
        who=contacts >> 1,
        address=text.kernels.utf8_lower(
            text.kernels.utf8_trim_whitespace(crm.contact_emails(company, contacts, day))
        ),
        sent_ms=sent,
        campaign=np.full(len(ids), int(dice.below("campaign", np.array([day]), len(CAMPAIGNS))[0])),
    )


def _events(
    company: Company, day: int, messages: _Messages
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Kind, message index and time (ms) of every event."""
    people, dice, ids = company.people, company.dice("ses"), messages.ids
    bad = text.kernels.or_(
        text.kernels.match_substring_regex(messages.address, _BAD_DOMAINS),
        text.kernels.is_in(messages.address, _JUNK),
    ).to_numpy(zero_copy_only=False)
    bounced = dice.chance("bounces", ids, np.where(bad, 0.97, 0.004))
    keenness = people.dice.uniform("keenness", messages.who)
    opened = ~bounced & (dice.uniform("opens", ids) < 0.75 * keenness**1.5)
    reopened = opened & dice.chance("opens again", ids, 0.2)
    clicked = opened & dice.chance("clicks", ids, 0.22)
    leaves = ~bounced & (people.opt_out_day[messages.who] == day)
    by = people.dice.pick("way out", messages.who, (0.60, 0.20, 0.20))  # link, complaint, phone
    read_ms = messages.sent_ms + (-np.log1p(-dice.uniform("read", ids)) * 9 * 3_600_000).astype(int)
    read_ms = np.minimum(read_ms, messages.sent_ms + 4 * _DAY_MS)
    evening = (company.epoch_day(day) + 1) * _DAY_MS - 1 - dice.below("left", ids, 3_600_000)
    plans = (
        (_SEND, np.ones(len(ids), dtype=bool), messages.sent_ms),
        (_DELIVERY, ~bounced, messages.sent_ms + 400 + dice.below("delivered", ids, 4_000)),
        (_BOUNCE, bounced, messages.sent_ms + 900 + dice.below("bounced", ids, 9_000)),
        (_OPEN, opened, read_ms + 5_000),
        (_REOPEN, reopened, read_ms + 5_000 + dice.below("reopened", ids, _DAY_MS)),
        (_CLICK, clicked, read_ms + 9_000 + dice.below("clicked", ids, 120_000)),
        (_COMPLAINT, leaves & (by == 1), evening),
        (_SUBSCRIPTION, leaves & (by == 0), evening),
    )
    happened = [(kind, np.flatnonzero(where), at[where]) for kind, where, at in plans]
    return (
        np.concatenate([np.full(len(rows), kind) for kind, rows, _ in happened]),
        np.concatenate([rows for _, rows, _ in happened]),
        np.concatenate([at for _, _, at in happened]),
    )


def _message_ids(company: Company, messages: _Messages) -> text.Strings:
    dice = company.dice("ses")
    moment = text.hexadecimal(messages.sent_ms.astype(">i8").view(np.uint64))[:, 4:]
    return text.join(
        "0100", text.fixed(moment), "-",
        text.uuids(dice.bits("id high", messages.ids), dice.bits("id low", messages.ids)),
        "-000000",
    )  # fmt: skip


def _lines(
    company: Company,
    messages: _Messages,
    keys: pa.Array,
    kind: np.ndarray,
    message: np.ndarray,
    at_ms: np.ndarray,
) -> text.Strings:
    address = text.take(messages.address, message)
    campaign = messages.campaign[message]
    at = text.instants(at_ms)
    return text.join(
        _details(company, messages.ids[message], kind, address, campaign, at),
        ',"mail":{"timestamp":"', text.instants(messages.sent_ms[message]),
        '","source":"Fernhill <news@fernhill.example>",'
        '"sourceArn":"arn:aws:ses:us-east-1:111122223333:identity/fernhill.example",'
        '"sendingAccountId":"111122223333","messageId":"', text.take(keys, message),
        '","destination":["', address, '"],"headersTruncated":false,"commonHeaders":{"from":'
        '["Fernhill <news@fernhill.example>"],"to":["', address, '"],"subject":"',
        text.take(_SUBJECTS, campaign),
        '"},"tags":{"ses:configuration-set":["marketing"],"ses:from-domain":["fernhill.example"],',
        text.take(_CAMPAIGNS, campaign), "}}}\n",
    )  # fmt: skip


def _details(
    company: Company,
    ids: np.ndarray,
    kind: np.ndarray,
    address: pa.Array,
    campaign: np.ndarray,
    at: pa.Array,
) -> text.Strings:
    """The head of a record: its type, and the one object that belongs to the type."""
    dice = company.dice("ses")
    ip = text.join("198.51.100.", text.whole(dice.below("ip", ids, 254) + 1))
    is_hard = dice.chance("hard bounce", ids, 0.85)
    opened = text.join(
        '{"eventType":"Open","open":{"timestamp":"', at, '","userAgent":"', _AGENT,
        '","ipAddress":"', ip, '"}',
    )  # fmt: skip
    return text.choose(
        kind,
        '{"eventType":"Send","send":{}',
        text.join(
            '{"eventType":"Delivery","delivery":{"timestamp":"', at, '","processingTimeMillis":612,'
            '"recipients":["', address, '"],"smtpResponse":"250 2.6.0 Message received",'
            '"reportingMTA":"mta.example.com"}',
        ),
        opened,
        opened,
        text.join(
            '{"eventType":"Click","click":{"timestamp":"', at, '","ipAddress":"', ip,
            '","userAgent":"', _AGENT, '","link":"', text.take(_LINKS, campaign),
            '","linkTags":null}',
        ),
        text.join(
            '{"eventType":"Bounce","bounce":{"timestamp":"', at, '","bounceType":"',
            text.either(is_hard, "Permanent", "Transient"), '","bounceSubType":"General",'
            '"bouncedRecipients":[{"emailAddress":"', address, '","action":"failed",'
            '"status":"5.1.1"}],"feedbackId":"0100-bounce","reportingMTA":"dns; mta.example.com"}',
        ),
        text.join(
            '{"eventType":"Complaint","complaint":{"timestamp":"', at, '","complainedRecipients":'
            '[{"emailAddress":"', address, '"}],"feedbackId":"0100-complaint",'
            '"complaintFeedbackType":"abuse","arrivalDate":"', at, '"}',
        ),
        text.join(
            '{"eventType":"Subscription","subscription":{"contactList":"news","timestamp":"', at,
            '","source":"UnsubscribeHeader","newTopicPreferences":{"unsubscribeAll":true,'
            '"topicSubscriptionStatus":[]},"oldTopicPreferences":{"unsubscribeAll":false,'
            '"topicSubscriptionStatus":[]}}',
        ),
    )  # fmt: skip
