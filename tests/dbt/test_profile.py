"""The profile layer on a few customers: what survives, what is allowed, what is counted."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from cdp_assets.identity.touched import acknowledge_published

from .conftest import Platform
from .test_identity import identify, warehouse

Objects = Sequence[tuple[str, list[dict[str, Any]]]]
TABLES = (
    "customer_attributes",
    "customer_profiles",
    "customer_identifiers",
    "customer_events",
    "customer_traits",
    "customer_consents",
)


def contact(contact_id: str, at: str, **fields: str) -> dict[str, Any]:
    return {"contact_id": contact_id, "modified_at": at, "is_deleted": "false", **fields}


def web(message_id: str, at: str, **fields: str) -> dict[str, Any]:
    return {"message_id": message_id, "occurred_at": at, "call_type": "page", **fields}


def email(kind: str, at: str, **fields: str) -> dict[str, Any]:
    return {
        "event_type": kind,
        "message_id": f"{kind}-{at}",
        "event_at": at,
        "sent_at": at,
        "recipient_email": "ann@example.com",
        **fields,
    }


def receipt(receipt_id: str, at: str, amount: str, **fields: str) -> dict[str, Any]:
    return {
        "receipt_id": receipt_id,
        "store_id": "s1",
        "sold_at": at,
        "currency": "EUR",
        "total_amount": amount,
        "loyalty_id": "L1",
        **fields,
    }


def land(platform: Platform, objects: Objects) -> None:
    for entity, rows in objects:
        platform.lake.deliver(entity, rows)
    platform.clean()
    platform.records()


def build(platform: Platform, objects: Objects, customer: str = "ann") -> None:
    """Land the objects, give every record to one customer, build the profile layer."""
    land(platform, objects)
    records = platform.query("select record_id from identity.identity_records")
    platform.assign({record: customer for (record,) in records}, touched=[customer])
    platform.profile()


def attributes(platform: Platform) -> dict[str, tuple[str, str, str]]:
    rows = platform.query("select attribute, value, source, rule from profile.customer_attributes")
    return {attribute: (value, source, rule) for attribute, value, source, rule in rows}


def consents(platform: Platform) -> dict[str, tuple[bool, str]]:
    rows = platform.query("select purpose, is_allowed, reason from profile.customer_consents")
    return {purpose: (is_allowed, reason) for purpose, is_allowed, reason in rows}


GOLDEN: Objects = [
    (
        "crm__contacts",
        [
            contact("1", "2025-01-01T00:00:00Z", first_name="Ann", email="old@example.com"),
            contact("1", "2025-01-05T00:00:00Z", first_name="Anne", birth_date="1990-01-01"),
            contact("2", "2025-01-02T00:00:00Z", birth_date="1991-01-01", last_name="Lee"),
            contact("3", "2025-01-03T00:00:00Z", birth_date="1991-01-01"),
        ],
    ),
    (
        "crm__contacts",
        [
            contact("4", "2025-02-01T00:00:00Z", last_name="Gone", gender="female")
            | {"is_deleted": "true"}
        ],
    ),
    (
        "web__events",
        [
            web("m1", "2025-01-09T00:00:00Z", user_id="u1", call_type="identify")
            | {"first_name": "Annie", "email": "new@example.com"},
        ],
    ),
]


def test_each_attribute_survives_by_its_rule_and_names_its_origin(platform: Platform) -> None:
    build(platform, GOLDEN)
    assert attributes(platform) == {
        "birth_date": ("1991-01-01", "crm", "most_frequent"),
        "email": ("new@example.com", "web", "most_recent"),
        "first_name": ("Anne", "crm", "source_priority"),
        "gender": ("female", "crm", "most_recent"),
        "last_name": ("Lee", "crm", "source_priority"),
    }
    assert platform.query(
        "select full_name, birth_date::varchar, gender, email_key, sources, record_count, "
        "profile_type from profile.customer_profiles"
    ) == [("Anne Lee", "1991-01-01", "female", "new@example.com", "crm,web", 5, "known")]


def test_what_stands_for_nobody_is_golden_only_where_it_does_no_harm(platform: Platform) -> None:
    told = [
        contact("c1", "2025-01-01T00:00:00Z", first_name="Ann", birth_date="1991-02-03")
        | {"email": "Ann+x@example.com", "phone_e164": "+442079460018"},
        contact("c1", "2025-01-02T00:00:00Z", first_name="Guest", birth_date="1970-01-01")
        | {"email": "noemail@example.com", "phone_e164": "+442011111111"},
    ]
    build(platform, [("crm__contacts", told)])
    golden = {attribute: value for attribute, (value, *_) in attributes(platform).items()}
    assert golden == {
        "birth_date": "1991-02-03",
        "email": "ann+x@example.com",
        "first_name": "Ann",
        "phone": "+442079460018",
    }


def test_a_placeholder_stands_where_nothing_else_is_known(platform: Platform) -> None:
    told = contact("c1", "2025-01-02T00:00:00Z", first_name="Guest", birth_date="1970-01-01")
    build(platform, [("crm__contacts", [told | {"email": "test@test.com"}])])
    golden = {attribute: value for attribute, (value, *_) in attributes(platform).items()}
    assert golden == {"birth_date": "1970-01-01", "first_name": "Guest"}


@pytest.mark.fault("F22")
def test_the_golden_record_does_not_depend_on_the_order_of_arrival(
    new_platform: Callable[[str], Platform],
) -> None:
    forward, backward = new_platform("forward"), new_platform("backward")
    build(forward, GOLDEN)
    build(backward, [(entity, rows[::-1]) for entity, rows in reversed(GOLDEN)])
    for table in TABLES:
        assert forward.rows(f"profile.{table}") == backward.rows(f"profile.{table}"), table


# Case: what its contact and its mailboxes say, then the address that survives.
ADDRESS_CASES: dict[str, tuple[list[dict], list[dict], str]] = {
    "what-we-send-or-a-server-refuses-observes-nothing": (
        [
            contact("a", "2025-01-01T00:00:00Z", email="old"),
            contact("a", "2025-02-01T00:00:00Z", email="new"),
        ],
        [
            email("Send", "2025-03-01T00:00:00Z", recipient_email="old"),
            email("Delivery", "2025-03-01T00:00:01Z", recipient_email="old"),
            email("Bounce", "2025-03-01T00:00:02Z", recipient_email="old", bounce_type="Permanent"),
        ],
        "new",
    ),
    "who-only-asks-to-be-left-alone-there-chooses-nothing": (
        [
            contact("a", "2025-01-01T00:00:00Z", email="old"),
            contact("a", "2025-02-01T00:00:00Z", email="new"),
        ],
        [
            email("Complaint", "2025-03-01T00:00:00Z", recipient_email="old"),
            email("Subscription", "2025-03-01T00:00:01Z", recipient_email="old")
            | {"is_unsubscribe_all": "true"},
        ],
        "new",
    ),
    "who-reads-there-has-the-address": (
        [
            contact("a", "2025-01-01T00:00:00Z", email="old"),
            contact("a", "2025-02-01T00:00:00Z", email="new"),
        ],
        [email("Click", "2025-03-01T00:00:00Z", recipient_email="old")],
        "old",
    ),
    "who-is-only-written-to-keeps-the-address": (
        [],
        [email("Send", "2025-03-01T00:00:00Z", recipient_email="old")],
        "old",
    ),
}


def profile_cases(
    platform: Platform,
    cases: Iterable[str],
    contacts: list[dict[str, Any]],
    mails: list[dict[str, Any]],
) -> None:
    """Build the profiles of one customer per case, which has the records that name the case."""
    land(platform, [("crm__contacts", contacts), ("email__events", mails)])
    values = platform.query("select record_id, identifier_value from identity.identifiers")
    platform.assign(
        {record: case for record, value in values for case in cases if case in value}, touched=[]
    )
    platform.profile()


def test_an_address_is_observed_by_what_its_owner_does(platform: Platform) -> None:
    contacts, mails = [], []
    for case, (said_in_crm, said_by_mail, _) in ADDRESS_CASES.items():
        contacts += [
            row | {"contact_id": f"{case}:a", "email": f"{row['email']}@{case}.org"}
            for row in said_in_crm
        ]
        mails += [
            row
            | {"recipient_email": f"{row['recipient_email']}@{case}.org"}
            | {"message_id": f"{case}:{number}"}
            for number, row in enumerate(said_by_mail)
        ]
    profile_cases(platform, ADDRESS_CASES, contacts, mails)
    emails = platform.query("select customer_id, email from profile.customer_profiles")
    assert dict(emails) == {
        case: f"{address}@{case}.org" for case, (*_, address) in ADDRESS_CASES.items()
    }


FIRST, SECOND, THIRD = (f"2025-01-0{number}T00:00:00Z" for number in (1, 2, 3))
MAY = {"is_email_opted_out": "false"}
MUST_NOT = {"is_email_opted_out": "true"}
DELETED = {"is_deleted": "true"}
LEFT, REJOINED = {"is_unsubscribe_all": "true"}, {"is_unsubscribe_all": "false"}
# Case: what its CRM contacts a and b and its mailbox say, then what that makes of the customer.
EMAIL_CASES: dict[str, tuple[list[dict], list[dict], tuple[bool, str]]] = {
    "allowed-by-its-only-contact": (
        [contact("a", SECOND, **MAY)],
        [],
        (True, "not_opted_out"),
    ),
    "denied-by-another-contact-however-old": (
        [contact("a", SECOND, **MAY), contact("b", FIRST, **MUST_NOT)],
        [],
        (False, "opted_out"),
    ),
    "the-same-contact-changed-its-mind": (
        [contact("a", SECOND, **MAY), contact("a", FIRST, **MUST_NOT)],
        [],
        (True, "not_opted_out"),
    ),
    "a-permission-lapses-with-its-contact": (
        [contact("a", SECOND, **MAY), contact("a", THIRD) | DELETED],
        [],
        (False, "no_evidence"),
    ),
    "a-denial-outlives-its-contact": (
        [contact("a", FIRST, **MUST_NOT), contact("a", SECOND) | DELETED],
        [],
        (False, "opted_out"),
    ),
    "a-complaint-outweighs-a-permission": (
        [contact("a", SECOND, **MAY)],
        [email("Complaint", FIRST)],
        (False, "complaint"),
    ),
    "a-transient-bounce-denies-nothing": (
        [contact("a", SECOND, **MAY)],
        [email("Bounce", FIRST, bounce_type="Transient")],
        (True, "not_opted_out"),
    ),
    "a-mailbox-rejoined": (
        [],
        [
            email("Bounce", FIRST, bounce_type="Permanent"),
            email("Subscription", SECOND, **LEFT),
            email("Subscription", THIRD, **REJOINED),
        ],
        (True, "resubscribed"),
    ),
    "at-one-moment-denial-wins": (
        [],
        [email("Subscription", FIRST, **REJOINED), email("Complaint", FIRST)],
        (False, "complaint"),
    ),
    "opens-are-no-permission": ([], [email("Open", FIRST)], (False, "no_evidence")),
}


def test_email_marketing_follows_the_newest_word_per_record_and_any_denial(
    platform: Platform,
) -> None:
    contacts, mails = [], []
    for case, (said_in_crm, said_by_mail, _) in EMAIL_CASES.items():
        contacts += [row | {"contact_id": f"{case}:{row['contact_id']}"} for row in said_in_crm]
        mails += [
            row | {"recipient_email": f"{case}@x.org", "message_id": f"{case}:{number}"}
            for number, row in enumerate(said_by_mail)
        ]
    profile_cases(platform, EMAIL_CASES, contacts, mails)
    decided = platform.query(
        "select customer_id, is_allowed, reason from profile.customer_consents "
        "where purpose = 'email_marketing'"
    )
    assert {case: (is_allowed, reason) for case, is_allowed, reason in decided} == {
        case: expected for case, (*_, expected) in EMAIL_CASES.items()
    }


def test_a_mailbox_that_is_nobodys_denies_everyone_who_has_its_address(platform: Platform) -> None:
    # Two people share home@, so its mailbox is neither's; club@ has more people than the cap.
    people = {"Ann": "home", "Bob": "home", "Zoe": "own"}
    people |= dict.fromkeys(["Cid", "Dora", "Emil", "Faye", "Gus", "Hans", "Ida"], "club")
    platform.lake.deliver(
        "crm__contacts",
        [
            contact(name, FIRST, first_name=name, email=f"{box}@x.org", **MAY)
            for name, box in people.items()
        ],
    )
    platform.lake.deliver(
        "email__events",
        [
            email("Send", SECOND, recipient_email=f"{box}@x.org", message_id=box)
            for box in ("home", "club", "own")
        ],
    )
    identify(platform)
    platform.profile()
    assert mail_words(platform) == dict.fromkeys(people, (True, "not_opted_out"))
    acknowledge_published(warehouse(platform))

    home = email("Complaint", THIRD, recipient_email="Home+news@x.org")
    club = email("Subscription", THIRD, recipient_email="club@x.org", **LEFT)
    platform.lake.deliver("email__events", [home, club])
    identify(platform)
    platform.profile()
    words = {"home": (False, "complaint"), "club": (False, "unsubscribed")}
    words["own"] = (True, "not_opted_out")
    assert mail_words(platform) == {name: words[box] for name, box in people.items()}
    assert platform.query(
        """
        select distinct reason, source, record_id, decided_at::date::varchar
        from profile.customer_consents
        where reason in ('complaint', 'unsubscribed') order by 1
        """
    ) == [
        ("complaint", "email", f"email:recipient:{md5('home@x.org')}", "2025-01-03"),
        ("unsubscribed", "email", f"email:recipient:{md5('club@x.org')}", "2025-01-03"),
    ]
    after_increment = platform.rows("profile.customer_consents")
    platform.profile(full_refresh=True)
    assert platform.rows("profile.customer_consents") == after_increment

    # An earlier delivery, which wins, says that another address complained.
    platform.lake.deliver("email__events", [home | {"recipient_email": "new@x.org"}], "2025-02-28")
    acknowledge_published(warehouse(platform))
    identify(platform)
    platform.profile()
    words["home"] = (True, "not_opted_out")
    assert mail_words(platform) == {name: words[box] for name, box in people.items()}


def test_a_shared_mailbox_that_rejoins_permits_nobody_else(platform: Platform) -> None:
    must_not, silent = contact("1", FIRST, **MUST_NOT), contact("2", FIRST)
    land(
        platform,
        [
            ("crm__contacts", [one | {"email": "ann@example.com"} for one in (must_not, silent)]),
            ("email__events", [email("Subscription", SECOND, **REJOINED)]),
        ],
    )
    platform.assign({"crm:contact:1": "one", "crm:contact:2": "two"}, touched=[])
    platform.profile()
    assert platform.query(
        "select customer_id, is_allowed, reason from profile.customer_consents"
        " where purpose = 'email_marketing' order by 1"
    ) == [("one", False, "opted_out"), ("two", False, "no_evidence")]


def mail_words(platform: Platform) -> dict[str, tuple[bool, str]]:
    """What email marketing may do with the customer of each contact, and why."""
    rows = platform.query(
        """
        select split_part(mapped.record_id, ':', 3), is_allowed, reason
        from profile.customer_consents
        inner join identity.customer_map as mapped using (customer_id)
        where purpose = 'email_marketing' and mapped.record_id like 'crm:contact:%'
        """
    )
    return {name: (is_allowed, reason) for name, is_allowed, reason in rows}


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def test_unknown_is_denied_and_a_denial_on_any_device_denies_the_customer(
    platform: Platform,
) -> None:
    allowed = {"is_analytics_allowed": "true", "is_advertising_allowed": "true"}
    build(
        platform,
        [
            ("web__events", [web("m1", "2025-01-02T00:00:00Z", anonymous_id="a1", **allowed)]),
            (
                "mobile__events",
                [
                    web("m2", "2025-01-01T00:00:00Z", anonymous_id="a2")
                    | {"is_analytics_allowed": "true", "is_advertising_allowed": "false"},
                ],
            ),
        ],
    )
    assert consents(platform) == {
        "analytics": (True, "consent_given"),
        "advertising": (False, "consent_refused"),
        "email_marketing": (False, "no_evidence"),
        "phone_marketing": (False, "no_evidence"),
    }
    assert platform.query("select profile_type from profile.customer_profiles") == [("anonymous",)]


def test_an_order_counts_once_and_currencies_are_not_added_up(platform: Platform) -> None:
    order = {"call_type": "track", "event_name": "Order Completed", "currency": "EUR"}
    order |= {"user_id": "u1", "order_id": "o1", "order_total": "20.00"}
    build(
        platform,
        [
            (
                "pos__receipts",
                [
                    receipt("r1", "2025-01-01T10:00:00Z", "10.00"),
                    receipt("r2", "2025-01-02T10:00:00Z", "-4.00"),
                    receipt("r3", "2025-01-03T10:00:00Z", "99.00", currency="GBP"),
                ],
            ),
            ("web__events", [web("m1", "2025-01-04T10:00:00Z") | order]),
            ("mobile__events", [web("m2", "2025-01-04T10:00:01Z") | order]),
        ],
    )
    assert platform.query(
        "select currency, lifetime_value, order_count, return_count, other_currency_order_count, "
        "average_order_value, first_purchase_at, last_purchase_at, preferred_channel "
        "from profile.customer_traits"
    ) == [
        (
            *("EUR", 26, 3, 1, 1, 13.0),
            datetime(2025, 1, 1, 10),  # noqa: DTZ001
            datetime(2025, 1, 4, 10),  # noqa: DTZ001
            "pos",
        )
    ]
    assert platform.query("select recency_days, rfm_score from profile.customer_rfm") == [
        (0, "521")
    ]


def test_amounts_that_a_till_made_up_add_up_all_the_same(platform: Platform) -> None:
    great = "9999999999999999.99"
    rows = [receipt(f"r{day}", f"2025-01-0{day}T10:00:00Z", great) for day in (1, 2, 3)]
    build(platform, [("pos__receipts", rows)])
    assert platform.query("select lifetime_value::varchar from profile.customer_traits") == [
        ("29999999999999999.97",)
    ]


def company(seed: int, days: Sequence[int]) -> Objects:
    """Receipts, visits, emails and calls of some people on some days."""
    dice = random.Random(seed)
    objects: list[tuple[str, list[dict[str, Any]]]] = []
    for number in days:
        start = datetime(2025, 1, 1) + timedelta(days=number)  # noqa: DTZ001

        def moment(start: datetime = start) -> str:
            return (start + timedelta(seconds=dice.randrange(86_400))).isoformat() + "Z"

        receipts, lines, visits, mails, contacts = [], [], [], [], []
        for index in range(12):
            who, key = dice.randrange(8), f"{number}-{index}"
            receipts.append(
                receipt(f"r{key}", moment(), f"{dice.randrange(-500, 5000) / 100:.2f}")
                | {"loyalty_id": f"L1{who}", "store_id": f"s{dice.randrange(3)}"}
            )
            lines.append(
                {
                    "receipt_id": f"r{key}",
                    "line_number": "1",
                    "sold_at": receipts[-1]["sold_at"],
                    "sku": "k",
                    "category": dice.choice(["hats", "shoes"]),
                    "quantity": str(dice.randrange(1, 4)),
                    "unit_price": "1.00",
                    "line_amount": "1.00",
                }
            )
            visits.append(
                web(f"m{key}", moment(), anonymous_id=f"a{who}")
                | {"is_analytics_allowed": dice.choice(["true", "false"])}
            )
            mails.append(
                email(dice.choice(["Send", "Open", "Click"]), moment())
                | {"recipient_email": f"p{who}@example.com", "message_id": f"ses{key}"}
            )
            contacts.append(
                contact(f"{who}", moment(), first_name=dice.choice(["Ann", "Bob", "Cy"]))
                | {"is_email_opted_out": dice.choice(["true", "false"])}
            )
        objects += [
            ("pos__receipts", receipts),
            ("pos__receipt_lines", lines),
            ("web__events", visits),
            ("email__events", mails),
            ("crm__contacts", contacts),
        ]
    return objects


def grouped(platform: Platform, customers: int) -> Mapping[str, str]:
    """Give each record to one of so many customers, by its id alone."""
    rows = platform.query("select record_id from identity.identity_records order by 1")
    return {record: f"c{sum(record.encode()) % customers}" for (record,) in rows}


def test_traits_equal_a_plain_recount(platform: Platform) -> None:
    land(platform, company(7, range(4)))
    platform.assign(grouped(platform, 5), touched=[])
    platform.profile()
    recount = platform.query(
        """
        with mine as (
            select m.customer_id, r.* from cleansed.clean_pos__receipts r
            join identity.customer_map m using (record_id)
        )
        select
            c.customer_id,
            (select coalesce(sum(total_amount), 0) from mine where customer_id = c.customer_id),
            (select count(*) from mine where customer_id = c.customer_id and total_amount >= 0),
            (select max(sold_at) from mine
             where customer_id = c.customer_id and total_amount >= 0),
            (select count(*) from cleansed.clean_web__events w
             join identity.customer_map m using (record_id) where m.customer_id = c.customer_id),
            (select count(*) from cleansed.clean_email__events e
             join identity.customer_map m using (record_id)
             where m.customer_id = c.customer_id and event_type = 'Click'),
            (select l.category from cleansed.clean_pos__receipt_lines l join mine using (receipt_id)
             where customer_id = c.customer_id
             group by 1 order by sum(quantity) desc, category limit 1),
            (select store_id from mine where customer_id = c.customer_id and total_amount >= 0
             group by 1 order by count(*) desc, store_id limit 1)
        from (select distinct customer_id from identity.customer_map) c order by 1
        """
    )
    assert recount == platform.query(
        """
        select
            customer_id, lifetime_value, order_count, last_purchase_at, page_view_count,
            email_click_count, preferred_category, preferred_store_id
        from profile.customer_traits order by 1
        """
    )
    events, of_customers = platform.query(
        """
        select
            (select count(*) from profile.customer_events),
            (select sum(event_count) from profile.customer_traits)
        """
    )[0]
    assert events == of_customers == 4 * 12 * 4


@pytest.mark.slow
def test_an_ordinary_run_rewrites_touched_customers_alone_and_equals_a_full_build(
    platform: Platform,
) -> None:
    land(platform, company(3, [0, 2]))
    before = grouped(platform, 6)
    platform.assign(before, touched=[])
    platform.profile()
    # A mark on a customer that nothing touches shows whether its rows are left alone.
    with platform.connect() as connection:
        connection.execute(
            "update profile.customer_traits set event_count = -1 where customer_id = 'c0'"
        )

    # A late day; c5 merges into c4 and is gone; c0 has no part in either.
    land(platform, company(3, [1]))
    after = grouped(platform, 6)
    after = {
        record: before.get(record) or ("c1" if name == "c0" else name)
        for record, name in after.items()
    }
    after = {record: "c4" if name == "c5" else name for record, name in after.items()}
    platform.assign(after, touched=["c1", "c2", "c3", "c4", "c5"])
    platform.profile()
    assert platform.query(
        "select event_count from profile.customer_traits where customer_id = 'c0'"
    ) == [(-1,)]

    platform.check("cleansed", "profile")
    untouched = "where customer_id <> 'c0'"
    incremental = {table: platform.rows(f"profile.{table} {untouched}") for table in TABLES}
    platform.profile(full_refresh=True)
    for table in TABLES:
        assert platform.rows(f"profile.{table} {untouched}") == incremental[table], table
    assert platform.query(
        "select count(*) from profile.customer_profiles where customer_id = 'c5'"
    ) == [(0,)]


@pytest.mark.slow
def test_history_opens_a_version_per_change_and_closes_the_vanished(platform: Platform) -> None:
    platform.lake.deliver(
        "crm__contacts",
        [
            contact("1", "2025-01-01T00:00:00Z", first_name="Ann"),
            contact("2", "2025-01-01T00:00:00Z", first_name="Bob"),
            contact("3", "2025-01-01T00:00:00Z", first_name="Cy"),
        ],
    )
    platform.clean()
    platform.records()
    platform.assign({f"crm:contact:{n}": f"c{n}" for n in "123"}, touched=[])
    platform.profile()
    platform.lake.deliver(
        "crm__contacts", [contact("1", "2025-01-02T00:00:00Z", first_name="Anne")]
    )
    platform.clean()
    platform.records()
    platform.assign(
        {"crm:contact:1": "c1", "crm:contact:2": "c2", "crm:contact:3": "c1"},
        touched=["c1", "c3"],
    )
    platform.profile(full_refresh=True)
    platform.profile()
    assert platform.query(
        """
        select customer_id, first_name, is_current, valid_to is null
        from profile.profile_history order by customer_id, valid_from
        """
    ) == [
        ("c1", "Ann", False, False),
        ("c1", "Anne", True, True),
        ("c2", "Bob", True, True),
        ("c3", "Cy", False, False),
    ]
    assert platform.query(
        """
        select closed.valid_to = opened.valid_from
        from profile.profile_history as closed
        join profile.profile_history as opened using (customer_id)
        where not closed.is_current and opened.is_current
        """
    ) == [(True,)]
