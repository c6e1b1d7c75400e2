"""Segment calls of the web shop and the app: gzip JSON lines, as Firehose writes them.

Here: the text of each kind of call. Not here: who calls when (visits.py).
A client that saw no answer sends a message again: same messageId, later receivedAt.
Source of the shape: Segment, "Spec: Common fields", "Spec: Identify", "Spec: V2 Ecommerce events".
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from cdp_assets.sample import goods, text, writing
from cdp_assets.sample.company import Company
from cdp_assets.sample.landing import Delivery, stream_name
from cdp_assets.sample.visits import (
    MOBILE,
    WEB,
    Call,
    Calls,
    Channel,
    calls_on,
    consents,
    delivered_again,
)
from cdp_assets.sample.vocabulary import (
    COUNTRIES,
    CURRENCIES,
    LOCALES,
    PRICE_LEVELS,
    PRODUCTS,
    Product,
)

# Kinds of calls that a table of texts is enough for.
_PLAIN = int(Call.CHECKOUT) + 1
_CURRENCIES = text.strings(CURRENCIES)
_COUNTRIES = text.strings(COUNTRIES)
_SKUS = text.strings([product.sku for product in PRODUCTS])


@dataclass(frozen=True)
class _Sender:
    """What a channel's library sends.

    Attributes:
        page_call: `page` or `screen`.
        opening: the first call of a visit.
        library: name of the library.
        profiles: rest of the context, one per kind of browser or phone.
    """

    page_call: str
    opening: str
    library: str
    profiles: tuple[str, ...]


def _browser(agent: str) -> str:
    return f'"userAgent":"Mozilla/5.0 ({agent}'


_SENDERS = {
    "web": _Sender(
        page_call="page",
        opening='"type":"page","name":"Home"',
        library="analytics.js",
        profiles=(
            _browser(
                'Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/138.0.0.0 Safari/537.36"'
            ),
            _browser(
                'Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/18.5 Safari/605.1"'
            ),
            _browser(
                'iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148"'
            ),
            _browser(
                'Linux; Android 15; Pixel 9) AppleWebKit/537.36 Chrome/138.0.0.0 Mobile Safari/537"'
            ),
            _browser('X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"'),
        ),
    ),
    "mobile": _Sender(
        page_call="screen",
        opening='"type":"track","event":"Application Opened"',
        library="analytics-mobile",
        profiles=tuple(
            f'"app":{{"name":"Fernhill","version":"{app}"}},"os":{{"name":"{system}","version":"{version}"}},'
            f'"device":{{"manufacturer":"{maker}","model":"{model}","type":"{kind}"'
            for app, system, version, maker, model, kind in (
                ("4.12.0", "iOS", "18.5", "Apple", "iPhone16,1", "ios"),
                ("4.11.2", "iOS", "17.7", "Apple", "iPhone14,5", "ios"),
                ("4.12.0", "Android", "15", "Google", "Pixel 9", "android"),
                ("4.10.9", "Android", "14", "samsung", "SM-S921B", "android"),
            )
        ),
    ),
}


def objects(company: Company, channel: Channel, day: int) -> Iterator[Delivery]:
    """The objects that one channel lands on a day, and what it delivers again the day after."""
    calls = calls_on(company, channel, day)
    step = company.size.object_rows
    parts = -(-len(calls) // step)
    for part in range(parts):
        some = calls[part * step : (part + 1) * step]
        yield _delivery(company, channel, day, part, parts, some)
    again = delivered_again(company, channel, calls)
    if len(again):
        last = max(company.size.days - 1, day)
        yield _delivery(company, channel, min(day + 1, last), parts, parts, again, is_repeat=True)


def _delivery(
    company: Company,
    channel: Channel,
    day: int,
    part: int,
    parts: int,
    calls: Calls,
    is_repeat: bool = False,
) -> Delivery:
    dice = company.dice(channel.source)
    keys = text.uuids(dice.bits("message high", calls.ids), dice.bits("message low", calls.ids))
    bits = int(dice.bits("object", calls.ids[:1] + is_repeat)[0])
    epoch_day = company.epoch_day(day)
    return Delivery(
        source=channel.source,
        entity="events",
        epoch_day=epoch_day,
        name=stream_name(f"{channel.source}-events", epoch_day, part, parts, bits, ".gz"),
        data=text.gzipped(text.concatenated(_lines(company, channel, calls, keys))),
        rows=len(calls),
        is_repeat=is_repeat,
        keys=None if is_repeat else keys,
        people=None if is_repeat else calls.who,
    )


def _lines(company: Company, channel: Channel, calls: Calls, keys: pa.Array) -> text.Strings:
    people, dice = company.people, company.dice(channel.source)
    at = text.instants(calls.at_ms)
    cookies = text.uuids(
        dice.bits("cookie high", calls.cookie), dice.bits("cookie low", calls.cookie)
    )
    user = text.take(people.user_ids, calls.who, where=calls.is_known)
    return text.join(
        '{"anonymousId":"', cookies, '","channel":"client","messageId":"', keys,
        '","originalTimestamp":"', at, '","timestamp":"', at,
        '","sentAt":"', text.instants(calls.sent_ms),
        '","receivedAt":"', text.instants(calls.received_ms),
        '","userId":', text.filled(text.join('"', user, '"'), "null"),
        _bodies(company, channel, calls, cookies),
        _contexts(company, channel, calls),
        '},"integrations":{},"version":2}\n',
    )  # fmt: skip


def _place(channel: Channel, page: str) -> str:
    """The context's own view of where the call was made; an app knows its network instead."""
    return f'"page":{page}' if channel is WEB else '"network":{"wifi":true}'


def _page(path: str, title: str) -> str:
    page = {"path": path, "title": title, "url": f"https://fernhill.example{path}"}
    return json.dumps(page, ensure_ascii=False, separators=(",", ":"))


def _plain_bodies(channel: Channel) -> text.Strings:
    """Type, name, properties and page of the plain calls: one per (code, product, country)."""
    return text.strings(
        [
            _plain_body(channel, code, product, country)
            for code in range(_PLAIN)
            for product in PRODUCTS
            for country in range(len(COUNTRIES))
        ]
    )


def _plain_body(channel: Channel, code: int, product: Product, country: int) -> str:
    cents = round(product.cents * PRICE_LEVELS[country])
    price = f"{cents // 100}.{cents % 100:02d}"
    currency = CURRENCIES[country]
    item = (
        f'{{"product_id":"{product.sku}","name":{json.dumps(product.name, ensure_ascii=False)},'
        f'"category":"{product.category}","price":{price},"currency":"{currency}"}}'
    )
    home, shelf = _page("/", "Fernhill"), _page(f"/c/{product.category}", product.category.title())
    article = _page(f"/p/{product.sku.lower()}", product.name)
    sender = _SENDERS[channel.source]
    call = sender.page_call
    head, page = {
        Call.HOME: (f'{sender.opening},"properties":{home}', home),
        Call.CATEGORY: (f'"type":"{call}","name":"Category","properties":{shelf}', shelf),
        Call.PRODUCT: (f'"type":"{call}","name":"Product","properties":{article}', article),
        Call.VIEWED: (f'"type":"track","event":"Product Viewed","properties":{item}', article),
        Call.SEARCHED: (
            '"type":"track","event":"Products Searched",'
            f'"properties":{{"query":"{product.category}"}}',
            shelf,
        ),
        Call.ADDED: (f'"type":"track","event":"Product Added","properties":{item}', article),
        Call.CHECKOUT: (
            '"type":"track","event":"Checkout Started",'
            f'"properties":{{"value":{price},"currency":"{currency}"}}',
            _page("/checkout", "Checkout"),
        ),
    }[Call(code)]
    return f',{head},"context":{{{_place(channel, page)}'


def _contexts_table(channel: Channel) -> text.Strings:
    """Rest of the context: one per (profile, country, consent); consent 4 is not asked."""
    sender = _SENDERS[channel.source]
    consents = [
        f',"consent":{{"categoryPreferences":{{"Analytics":{a},"Advertising":{b}}}}}'
        for a in ("false", "true")
        for b in ("false", "true")
    ]
    return text.strings(
        [
            f',"library":{{"name":"{sender.library}","version":"2.1.0"}},"locale":"{LOCALES[country]}",'
            f'"location":{{"country":"{COUNTRIES[country]}"}}{consent},{profile}'
            for profile in sender.profiles
            for country in range(len(COUNTRIES))
            for consent in (*consents, "")
        ]
    )


_BODIES = {channel.source: _plain_bodies(channel) for channel in (WEB, MOBILE)}
_CONTEXTS = {channel.source: _contexts_table(channel) for channel in (WEB, MOBILE)}


def _contexts(company: Company, channel: Channel, calls: Calls) -> text.Strings:
    people, dice = company.people, company.dice(channel.source)
    profile = dice.below("profile", calls.device, len(_SENDERS[channel.source].profiles))
    consent = consents(people.dice, calls, company.size.days)
    never_asked = dice.chance("not asked", calls.device, 0.08)
    row = (profile * len(COUNTRIES) + people.country[calls.who]) * 5
    context = text.take(_CONTEXTS[channel.source], row + np.where(never_asked, 4, consent))
    if channel is WEB:
        return context
    device = text.uuids(dice.bits("idfv high", calls.device), dice.bits("idfv low", calls.device))
    return text.join(context, ',"id":"', device, '"}')


def _bodies(company: Company, channel: Channel, calls: Calls, cookies: pa.Array) -> text.Strings:
    """The part of a call that depends on its kind, up to and into the context."""
    country = company.people.country[calls.who]
    product = goods.favourites(company.dice(channel.source), calls.ids, calls.who)
    plain = np.minimum(calls.code, _PLAIN - 1)
    body = text.take(
        _BODIES[channel.source], (plain * len(PRODUCTS) + product) * len(COUNTRIES) + country
    )
    for code, write in (
        (Call.ORDER, _orders),
        (Call.LOGIN, _logins),
        (Call.GUEST, _guests),
        (Call.ALIAS, _aliases),
        (Call.GROUP, _groups),
    ):
        rows = np.flatnonzero(calls.code == code)
        if len(rows):
            mask = pa.array(calls.code == code)
            written = write(company, channel, calls[rows], cookies.take(pa.array(rows)))
            body = text.kernels.replace_with_mask(body, mask, written)
    return body


def _account_context(channel: Channel) -> str:
    return f'"context":{{{_place(channel, _page("/account", "Account"))}'


def _orders(company: Company, channel: Channel, calls: Calls, cookies: pa.Array) -> text.Strings:
    dice, people = company.dice(channel.source), company.people
    country = people.country[calls.who]
    product = goods.favourites(dice, calls.ids, calls.who)
    quantity = 1 + dice.pick("quantity", calls.ids, (0.75, 0.17, 0.08))
    price = goods.unit_price(product, country)
    order = text.join(
        channel.source[0].upper(), text.numbers((calls.ids >> 37) & 0xFFF, 3), "-",
        text.numbers(calls.ids & 0x1F_FFFF_FFFF, 11),
    )  # fmt: skip
    gives_email = ~calls.is_known & dice.chance("order email", calls.ids, 0.9)
    emails = writing.emails(people.email_at(calls.who, calls.day), dice, calls.ids, slips=0.03)
    traits = text.filled(text.only(gives_email, text.join(',"traits":{"email":"', emails, '"}')))
    return text.join(
        ',"type":"track","event":"Order Completed","properties":{"order_id":"', order, '","total":',
        text.money(price * quantity), ',"currency":"', text.take(_CURRENCIES, country),
        '","products":[{"product_id":"', text.take(_SKUS, product), '","quantity":',
        text.whole(quantity), ',"price":', text.money(price),
        '}]},"context":{', _place(channel, _page("/checkout/thanks", "Thank you")), traits,
    )  # fmt: skip


def _logins(company: Company, channel: Channel, calls: Calls, cookies: pa.Array) -> text.Strings:
    people, dice, who = company.people, company.dice("account"), calls.who
    # The account holds what was typed when it was made: the same on every device.
    emails = writing.emails(people.email_at(who, calls.day), dice, who, slips=0.01)
    phone = writing.phones(people.mobile_at(who, calls.day), dice, who)
    has_phone = dice.chance("has phone", who, 0.55)
    has_loyalty = people.has_loyalty[who] & dice.chance("has loyalty", who, 0.45)
    has_birthday = dice.chance("has birthday", who, 0.15)
    birthday = text.join(',"birthday":"', text.dates(people.birth_day[who]), '"')
    return text.join(
        ',"type":"identify","traits":{"email":"', emails,
        '","firstName":"', writing.first_names(people, who, dice, who, nicknames=0.20),
        '","lastName":"', writing.last_names(people, who, calls.day, dice, who), '"',
        text.either(has_phone, text.join(',"phone":"', phone, '"'), ""),
        text.either(has_birthday, birthday, ""),
        text.either(has_loyalty, text.join(',"loyaltyId":"', people.loyalty_id(who), '"'), ""),
        ',"address":{"country":"', text.take(_COUNTRIES, people.country[who]), '"}},',
        _account_context(channel),
    )  # fmt: skip


def _guests(company: Company, channel: Channel, calls: Calls, cookies: pa.Array) -> text.Strings:
    people, dice, who, ids = company.people, company.dice(channel.source), calls.who, calls.ids
    typed = writing.emails(people.email_at(who, calls.day), dice, ids, slips=0.04)
    emails = text.either(dice.chance("fake", ids, 0.05), writing.junk_emails(dice, ids), typed)
    names = text.join(
        ',"firstName":"', writing.first_names(people, who, dice, ids, nicknames=0.18),
        '","lastName":"', writing.last_names(people, who, calls.day, dice, ids), '"',
    )  # fmt: skip
    return text.join(
        ',"type":"identify","traits":{"email":"', emails, '"',
        text.either(dice.chance("gives name", ids, 0.55), names, ""), "},",
        _account_context(channel),
    )  # fmt: skip


def _aliases(company: Company, channel: Channel, calls: Calls, cookies: pa.Array) -> text.Strings:
    return text.join(',"type":"alias","previousId":"', cookies, '",', _account_context(channel))


def _groups(company: Company, channel: Channel, calls: Calls, cookies: pa.Array) -> text.Strings:
    firm = text.numbers(company.dice("firms").below("firm", calls.who, 500), 4)
    return text.join(
        ',"type":"group","groupId":"firm-', firm, '","traits":{"name":"Firm ', firm, '"},',
        _account_context(channel),
    )  # fmt: skip
