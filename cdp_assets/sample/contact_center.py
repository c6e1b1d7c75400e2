"""Amazon Connect contact records: concatenated JSON as Firehose delivers it, no line breaks.

A caller is a phone number or an email address; chats have no endpoint. Where the agent verified the
caller, the attributes hold a name and at times a loyalty id. Connect sends a record again when it
changes (LastUpdateTimestamp): one in seven, mostly on the next day.
Source of the shape: Amazon Connect Administrator Guide, "Contact records data model".
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from cdp_assets.sample import phones, text, writing
from cdp_assets.sample.company import Company, lateness, row_ids, second_of_day
from cdp_assets.sample.landing import Delivery, stream_name
from cdp_assets.sample.vocabulary import CITIES, CONTACT_REASONS, QUEUES

SHARE = 0.02
_WEEK = (1.30, 1.15, 1.10, 1.05, 1.05, 0.75, 0.45)
_DAY_MS = 86_400_000
_STREAM = "connect-contacts"
_CITY_OFFSET = np.array([city.utc_offset for city in CITIES])
_CHANNELS = text.strings(["VOICE", "CHAT", "EMAIL", "TASK"])
_METHODS = text.strings(["INBOUND", "API", "INBOUND", "API"])
_QUEUES = text.strings(QUEUES)
_REASONS = text.strings(CONTACT_REASONS)
_AGENTS = text.strings([f"agent{number:02d}" for number in range(1, 41)])
_ARN = "arn:aws:connect:us-east-1:111122223333:instance/5f1d6a70-0c4b-4c8e-9a52-7d2f0e3b9c11"
_VOICE, _CHAT, _EMAIL, _TASK = range(4)


def objects(company: Company, day: int) -> Iterator[Delivery]:
    """The objects of one landing day: its contacts, and yesterday's that changed since."""
    count = company.volume(company.size.events * SHARE / 1.15, day, _WEEK)
    step = company.size.object_rows
    ids = row_ids(day, count)
    parts = -(-count // step)
    for part in range(parts):
        some = ids[part * step : (part + 1) * step]
        who, keys, records = _contacts(company, day, some)
        yield _delivery(company, day, part, parts, records, keys=keys, people=who)
    updated = ids[company.dice("connect").chance("is updated", ids, 0.15)]
    if len(updated) and day < company.size.days - 1:
        _, _, records = _contacts(company, day, updated, is_update=True)
        yield _delivery(company, day + 1, parts, parts + 1, records)


def _delivery(
    company: Company,
    day: int,
    part: int,
    parts: int,
    records: pa.Array,
    keys: pa.Array | None = None,
    people: np.ndarray | None = None,
) -> Delivery:
    bits = int(company.dice("connect").bits("object", np.array([(day << 20) + part]))[0])
    epoch_day = company.epoch_day(day)
    return Delivery(
        source="contact_center",
        entity="contacts",
        epoch_day=epoch_day,
        name=stream_name(_STREAM, epoch_day, part, parts, bits, ""),
        data=text.concatenated(records),
        rows=len(records),
        keys=keys,
        people=people,
    )


def _contacts(
    company: Company, day: int, ids: np.ndarray, is_update: bool = False
) -> tuple[np.ndarray, text.Strings, text.Strings]:
    people, dice = company.people, company.dice("connect")
    who = company.callers.draw(dice.uniform("caller", ids))
    called_day = day - lateness(dice, ids)
    second = second_of_day(dice, ids, _CITY_OFFSET[people.city(who, called_day)])
    started = (company.epoch_day(0) + called_day) * _DAY_MS + second * 1000
    talk = 45 + (dice.uniform("talk", ids) ** 2 * 1_500).astype(np.int64)
    wait = 4 + (dice.uniform("wait", ids) ** 3 * 400).astype(np.int64)
    ended = started + (wait + talk) * 1000
    updated = ended + 60_000 + (3_600_000 * 9 if is_update else 0)
    channel = dice.pick("channel", ids, (0.70, 0.15, 0.13, 0.02))
    keys = text.uuids(dice.bits("id high", ids), dice.bits("id low", ids))
    agent = text.take(_AGENTS, dice.below("agent", ids, len(_AGENTS)))
    records = text.join(
        '{"AWSAccountId":"111122223333","AWSContactTraceRecordFormatVersion":"2017-03-10","Agent":',
        '{"AfterContactWorkDuration":', text.whole(dice.below("work", ids, 90)),
        ',"AgentInteractionDuration":', text.whole(talk),
        ',"NumberOfHolds":0,"RoutingProfile":{"Name":"Basic"},"Username":"', agent,
        '"},"AgentConnectionAttempts":1,"Attributes":', _attributes(company, ids, who, called_day,
                                                                   is_update),
        ',"Channel":"', text.take(_CHANNELS, channel), '","ContactId":"', keys,
        '","CustomerEndpoint":', _endpoints(company, ids, who, called_day, channel),
        ',"DisconnectTimestamp":"', text.instants(ended, fraction=False),
        '","InitialContactId":null,"InitiationMethod":"', text.take(_METHODS, channel),
        '","InitiationTimestamp":"', text.instants(started, fraction=False),
        f'","InstanceARN":"{_ARN}","LastUpdateTimestamp":"', text.instants(updated, fraction=False),
        '","NextContactId":null,"PreviousContactId":null,"Queue":{"Duration":', text.whole(wait),
        ',"Name":"', text.take(_QUEUES, dice.below("queue", ids, len(_QUEUES))),
        '"},"Recording":null,"SystemEndpoint":{"Address":"+18005550199","Type":"TELEPHONE_NUMBER"}}',
    )  # fmt: skip
    return who, keys, records


def _attributes(
    company: Company, ids: np.ndarray, who: np.ndarray, day: np.ndarray, is_update: bool
) -> text.Strings:
    people, dice = company.people, company.dice("connect")
    is_verified = dice.chance("verified", ids, 0.92)
    has_loyalty = people.has_loyalty[who] & is_verified & dice.chance("tells loyalty", ids, 0.70)
    reason = text.take(_REASONS, dice.below("reason", ids, len(_REASONS)))
    first = writing.first_names(people, who, dice, ids, nicknames=0.18)
    names = text.join(
        ',"customerFirstName":"', first,
        '","customerLastName":"', writing.last_names(people, who, day, dice, ids), '"',
    )  # fmt: skip
    loyalty = text.join(',"loyaltyId":"', people.loyalty_id(who), '"')
    return text.join(
        '{"reason":"', reason, '"', ',"resolved":"true"' if is_update else "",
        text.either(is_verified, names, ""), text.either(has_loyalty, loyalty, ""), "}",
    )  # fmt: skip


def _endpoints(
    company: Company, ids: np.ndarray, who: np.ndarray, day: np.ndarray, channel: np.ndarray
) -> text.Strings:
    people, dice = company.people, company.dice("connect")
    uses_landline = people.has_landline(who) & dice.chance("landline", ids, 0.12)
    numbers = phones.either(uses_landline, people.landline(who), people.mobile_at(who, day))
    is_withheld = dice.chance("withheld", ids, 0.02)
    phone = text.join(
        '{"Address":"', text.either(is_withheld, "anonymous", numbers.write(phones.E164)),
        '","Type":"TELEPHONE_NUMBER"}',
    )  # fmt: skip
    email = writing.emails(people.email_at(who, day), dice, ids, slips=0.0)
    mail = text.join('{"Address":"', email, '","Type":"EMAIL_ADDRESS"}')
    kind = np.select([channel == _VOICE, channel == _EMAIL], [0, 1], 2)
    return text.choose(kind, phone, mail, "null")
