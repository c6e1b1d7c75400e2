"""Salesforce Contact exports: one full export, then a daily one of the contacts that changed.

Most people in the CRM have one contact, some have a second made by another clerk: other spelling,
older address, fewer fields. Contact 2p is person p's first, 2p + 1 the second.
Deleted (merged) contacts come once more with IsDeleted. A daily export now and then repeats rows of
the day before. Format: Data Loader CSV, every text quoted, streets with line breaks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from cdp_assets.sample import text, writing
from cdp_assets.sample.company import Company
from cdp_assets.sample.landing import Delivery, iso_day
from cdp_assets.sample.people import NEVER, People
from cdp_assets.sample.vocabulary import CITIES, COUNTRY_TEXTS, STREETS

_DAY_MS = 86_400_000
_ROWS_PER_OBJECT = 4  # times object_rows: the rows are short and exports come in few files
_NO_EMAIL = 2
_BASE62 = np.frombuffer(
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", dtype=np.uint8
)
_CHECK = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345", dtype=np.uint8)
_CITY_NAMES = text.strings([city.name for city in CITIES])
_STATES = text.strings([city.state for city in CITIES])
_POSTCODES = [city.postcode for city in CITIES]
_COUNTRIES = text.strings([name for names in COUNTRY_TEXTS for name in names])
_GENDERS = text.strings(["Male", "Female", "Nonbinary"])
_STREET_NAMES = text.strings([street for streets in STREETS for street in streets])
_STREET_STARTS = np.cumsum([0] + [len(streets) for streets in STREETS])
_HOUSE_LAST = np.array([False, False, True, False, False, False])  # Germans put the number last


@dataclass(frozen=True)
class ExportPlan:
    """Which contact is exported on which landing day, sorted by day."""

    contacts: np.ndarray
    days: np.ndarray

    def on(self, day: int) -> np.ndarray:
        """Contact numbers in the export of a landing day."""
        start, stop = np.searchsorted(self.days, [day, day + 1])
        return self.contacts[start:stop]


def objects(company: Company, plan: ExportPlan, day: int) -> Iterator[Delivery]:
    """The export objects of landing day `day` (day 0 is the full export)."""
    contacts = plan.on(day)
    kind = "full" if day == 0 else "delta"
    step = company.size.object_rows * _ROWS_PER_OBJECT
    for part, start in enumerate(range(0, len(contacts), step), start=1):
        some = contacts[start : start + step]
        table = rows(company, some, day)
        is_new = created_day(company, some) >= day if day else np.ones(len(some), dtype=bool)
        yield Delivery(
            source="crm",
            entity="contacts",
            epoch_day=company.epoch_day(day),
            name=f"Contact-{kind}-{iso_day(company.epoch_day(day))}-{part:04d}.csv",
            data=_csv(table),
            rows=len(table),
            keys=text.only(is_new, contact_ids(some)),
            people=some >> 1,
        )
        if 0 < day < company.size.days - 1:
            yield from _overlap(company, table, day, part)


def contact_ids(contacts: np.ndarray) -> text.Strings:
    """18-character Salesforce ids (the last three check the letter case of the others)."""
    out = np.empty((len(contacts), 18), dtype=np.uint8)
    out[:, :10] = np.frombuffer(b"0035g00001", dtype=np.uint8)
    # An affine walk over 62^5 keeps ids unique and looks less like a counter.
    rest = (contacts * 48_271 + 123_456_789) % 62**5
    for place in range(14, 9, -1):
        rest, letter = np.divmod(rest, 62)
        out[:, place] = _BASE62[letter]
    is_upper = (out[:, :15] >= ord("A")) & (out[:, :15] <= ord("Z"))
    weights = np.array([1, 2, 4, 8, 16])
    for group in range(3):
        out[:, 15 + group] = _CHECK[is_upper[:, group * 5 : group * 5 + 5] @ weights]
    return text.fixed(out)


def has_email(company: Company, contacts: np.ndarray) -> np.ndarray:
    """Whether the Email field holds anything."""
    return _email_kinds(company, contacts) != _NO_EMAIL


def _email_kinds(company: Company, contacts: np.ndarray) -> np.ndarray:
    """In use, outdated, none, junk, somebody else's in the household."""
    dice = company.dice("crm")
    return np.where(
        contacts & 1,
        dice.pick("email of second", contacts, (0.68, 0.08, 0.20, 0.03, 0.01)),
        dice.pick("email of first", contacts, (0.92, 0.025, 0.03, 0.015, 0.01)),
    )


def contact_emails(company: Company, contacts: np.ndarray, day: int) -> text.Strings:
    """The Email field on a day: in use, outdated, shared, junk or null."""
    people, dice = company.people, company.dice("crm")
    who = contacts >> 1
    is_second = (contacts & 1).astype(bool)
    # A second contact is nobody's favourite: it keeps the state it was made in.
    as_of = np.where(is_second, np.minimum(created_day(company, contacts), day), day)
    right = writing.emails(people.email_at(who, as_of), dice, contacts)
    return text.choose(
        _email_kinds(company, contacts),
        right,
        text.take(people.email_old, who),
        pa.nulls(len(contacts), pa.string()),
        writing.junk_emails(dice, contacts),
        text.take(people.email, people.head[who]),
    )


def created_day(company: Company, contacts: np.ndarray) -> np.ndarray:
    """The day a contact was made; newcomers are made after the window."""
    dice = company.dice("crm")
    age = -1 - dice.below("age", contacts, 1_400)
    during = 1 + dice.below("made", contacts, max(1, company.size.days - 1))
    is_recent = dice.chance("recent", contacts, np.where(contacts & 1, 0.25, 0.06))
    joined = company.joined_day(contacts >> 1)
    return np.select([joined >= company.size.days, is_recent], [joined, during], age)


def deleted_day(company: Company, contacts: np.ndarray) -> np.ndarray:
    """The day a contact was deleted, or NEVER: second contacts get merged, few first ones go."""
    dice = company.dice("crm")
    is_deleted = dice.chance("deleted", contacts, np.where(contacts & 1, 0.15, 0.008))
    days = company.size.days
    day = 1 + dice.below("deletion", contacts, max(1, days - 1))
    return np.where(is_deleted & (day > created_day(company, contacts)), day, NEVER)


def rows(company: Company, contacts: np.ndarray, day: int) -> pa.Table:
    """The export rows of some contacts as they stand on a landing day; headers as in Salesforce."""
    people, dice = company.people, company.dice("crm")
    who = contacts >> 1
    is_second = (contacts & 1).astype(bool)
    created = created_day(company, contacts)
    as_of = np.where(is_second, np.minimum(created, day), day)
    landlines = people.landline(who)
    mobiles = people.mobile_at(who, as_of)
    has_landline = people.has_landline(who)
    has_phone = dice.chance("has phone", contacts, np.where(has_landline, 0.65, 0.08))
    has_mobile = dice.chance("has mobile", contacts, np.where(is_second, 0.60, 0.88))
    has_loyalty = people.has_loyalty[who] & dice.chance(
        "has loyalty", contacts, np.where(is_second, 0.40, 0.92)
    )
    phone = text.either(
        has_landline,
        writing.phones(landlines, dice, contacts),
        writing.phones(mobiles, dice, contacts),
    )
    is_opted_out = people.opt_out_day[who] < day
    first = writing.first_names(people, who, dice, contacts, nicknames=0.13)
    first = text.either(
        dice.chance("junk first", contacts, 0.003), writing.junk_texts(dice, contacts), first
    )
    columns = {
        "Id": contact_ids(contacts),
        "FirstName": text.only(~dice.chance("no first", contacts, 0.015), first),
        "LastName": writing.last_names(people, who, as_of, dice, contacts),
        "Email": contact_emails(company, contacts, day),
        "Phone": text.only(has_phone, phone),
        "MobilePhone": text.only(has_mobile, writing.phones(mobiles, dice, contacts + (1 << 40))),
        **_address(company, contacts, as_of),
        "Birthdate": _birthdates(people, company, contacts),
        "GenderIdentity": _genders(people, company, contacts),
        "Loyalty_Id__c": text.only(has_loyalty, people.loyalty_id(who)),
        "HasOptedOutOfEmail": _booleans(is_opted_out),
        "DoNotCall": _booleans(dice.chance("do not call", contacts, 0.06)),
        "IsDeleted": _booleans(deleted_day(company, contacts) <= day),
        "CreatedDate": _moment(company, "created", contacts, created),
        "SystemModstamp": _modified(company, contacts, day),
    }
    return pa.table(columns)


def _moment(company: Company, what: str, contacts: np.ndarray, day: np.ndarray) -> text.Strings:
    second = company.dice("crm").below(f"{what} second", contacts + (day << 40), 86_400)
    ms = (company.epoch_day(0) + day) * _DAY_MS + second * 1000
    return text.instants(ms)


def _modified(company: Company, contacts: np.ndarray, day: int) -> text.Strings:
    if day:
        # The export of the morning holds what changed the day before.
        return _moment(company, "modified", contacts, np.full(len(contacts), day - 1))
    created = created_day(company, contacts)
    since = company.dice("crm").uniform("modified", contacts) * -created
    return _moment(company, "modified", contacts, created + since.astype(np.int64))


def _address(company: Company, contacts: np.ndarray, day: np.ndarray) -> dict[str, pa.Array]:
    people, dice = company.people, company.dice("crm")
    who = contacts >> 1
    country = people.country[who]
    home = people.household[who] * 2 + (people.moved_day[who] <= day)
    sizes = np.diff(_STREET_STARTS)[country]
    street = text.take(
        _STREET_NAMES, _STREET_STARTS[country] + people.dice.below("street", home, sizes)
    )
    number = text.whole(1 + people.dice.below("house", home, 220))
    flat = text.whole(1 + people.dice.below("flat", home, 40))
    line = text.either(_HOUSE_LAST[country], text.join(street, " ", number),
                       text.join(number, " ", street))  # fmt: skip
    two_lines = text.join(line, "\n", "Apt ", flat)
    line = text.either(people.dice.chance("has flat", home, 0.12), two_lines, line)
    city = people.city(who, day)
    has_address = dice.chance("has address", contacts, np.where(contacts & 1, 0.55, 0.80))
    style = dice.pick("country style", contacts, (0.62, 0.33, 0.05))
    postcode = text.stamp(_POSTCODES, city, text.digits(people.dice.below("zone", home, 1000), 3))
    return {
        "MailingStreet": text.only(has_address, line),
        "MailingCity": text.only(has_address, text.take(_CITY_NAMES, city)),
        "MailingState": text.only(has_address, text.take(_STATES, city)),
        "MailingPostalCode": text.only(has_address, postcode),
        "MailingCountry": text.take(_COUNTRIES, country * 3 + style),
    }


def _birthdates(people: People, company: Company, contacts: np.ndarray) -> text.Strings:
    dice = company.dice("crm")
    slip = np.where(dice.chance("birthday slip", contacts, 0.02), 9, 0)
    known = dice.chance("has birthday", contacts, np.where(contacts & 1, 0.35, 0.62))
    is_default = dice.chance("default birthday", contacts, 0.008)
    born = np.where(is_default, -25_567, people.birth_day[contacts >> 1] + slip)  # 1900-01-01
    return text.only(known, text.dates(born))


def _genders(people: People, company: Company, contacts: np.ndarray) -> text.Strings:
    dice = company.dice("crm")
    gender = np.where(
        people.dice.chance("nonbinary", contacts >> 1, 0.006), 2, people.is_female[contacts >> 1]
    )
    return text.take(_GENDERS, gender, where=dice.chance("has gender", contacts, 0.6))


def _booleans(values: np.ndarray) -> text.Strings:
    return text.choose(values.astype(np.int64), "false", "true")


def _csv(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    pacsv.write_csv(table, sink)
    return sink.getvalue()


def _overlap(company: Company, table: pa.Table, day: int, part: int) -> Iterator[Delivery]:
    """The next day's export repeats a few of this day's rows."""
    repeated = table.slice(0, max(1, len(table) // 16))
    tomorrow = company.epoch_day(day + 1)
    yield Delivery(
        source="crm",
        entity="contacts",
        epoch_day=tomorrow,
        name=f"Contact-overlap-{iso_day(tomorrow)}-{part:04d}.csv",
        data=_csv(repeated),
        rows=len(repeated),
        is_repeat=True,
    )


def contacts_of(company: Company, who: np.ndarray) -> np.ndarray:
    """Contact numbers of the people who are in the CRM."""
    dice = company.dice("crm")
    first = who[company.people.in_crm[who]] * 2
    return np.sort(np.concatenate([first, first[dice.chance("has second", first, 0.075)] + 1]))


def export_plan(company: Company) -> ExportPlan:
    """The exports of the window: `size.crm_rows` rows, as near as the company's life allows."""
    contacts = contacts_of(company, company.active)
    created, deleted = created_day(company, contacts), deleted_day(company, contacts)
    days = [np.maximum(created, 0), deleted, *_change_days(company, contacts)]
    plan = _distinct(company, np.tile(contacts, len(days)), np.concatenate(days))
    missing = company.size.crm_rows - len(plan.contacts)
    if missing <= 0:
        return plan
    # The rest are changes in fields that this export does not carry: owner, last activity.
    dice, ids = company.dice("crm"), np.arange(missing + missing // 8)
    touched = contacts[dice.below("touched", ids, len(contacts))]
    when = 1 + dice.below("touch day", ids, max(1, company.size.days - 1))
    return _distinct(
        company, np.concatenate([plan.contacts, touched]), np.concatenate([plan.days, when])
    )


def increment_plan(company: Company, day: int) -> ExportPlan:
    """One more day: the contacts of everybody who is active, newcomers among them."""
    contacts = contacts_of(company, company.active)
    contacts = contacts[deleted_day(company, contacts) == NEVER]
    return ExportPlan(contacts, np.full(len(contacts), day))


def _change_days(company: Company, contacts: np.ndarray) -> Iterator[np.ndarray]:
    """Export days of the changes that reach a person's first contact."""
    people, who = company.people, contacts >> 1
    is_first = (contacts & 1) == 0
    for changes in (
        people.married_day,
        people.moved_day,
        people.email_changed_day,
        people.mobile_changed_day,
    ):
        yield np.where(is_first, changes[who], NEVER)
    yield people.opt_out_day[who] + 1


def _distinct(company: Company, contacts: np.ndarray, days: np.ndarray) -> ExportPlan:
    """One row per contact and day, within the window and the contact's life."""
    is_alive = (days >= np.maximum(created_day(company, contacts), 0)) & (
        days <= np.minimum(deleted_day(company, contacts), company.size.days - 1)
    )
    key = np.unique((days[is_alive] << 40) + contacts[is_alive])
    return ExportPlan(contacts=key & ((1 << 40) - 1), days=key >> 40)
