"""Segment calls of the web shop and the app: gzip JSON lines, as Firehose writes them.

People visit in sessions on devices. A device has an anonymous id (cookies get cleared, apps get
installed again); some household computers are used by two people. With an account, a person first
browses anonymously, one day logs in on the device (identify), and is mostly logged in from then on.
Guests leave an email at checkout or for the newsletter. Phones that were offline deliver late, and
a client that saw no answer sends a message again: same messageId, later receivedAt.
Source of the shape: Segment, "Spec: Common fields", "Spec: Identify", "Spec: V2 Ecommerce events".
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from cdp_assets.sample import goods, text, writing
from cdp_assets.sample.company import Company, lateness, row_ids, second_of_day
from cdp_assets.sample.dice import Dice
from cdp_assets.sample.landing import Delivery, stream_name
from cdp_assets.sample.people import NEVER
from cdp_assets.sample.vocabulary import (
    CITIES,
    COUNTRIES,
    CURRENCIES,
    LOCALES,
    PRICE_LEVELS,
    PRODUCTS,
    Product,
)

_WEEK = (1.05, 1.00, 1.00, 1.00, 1.02, 0.95, 1.10)
_DAY_MS = 86_400_000
_CITY_OFFSET = np.array([city.utc_offset for city in CITIES])
_CALLS_PER_SESSION = 4.73
_RETRIES = 0.012
(
    _HOME, _CATEGORY, _PRODUCT, _VIEWED, _SEARCHED, _ADDED, _CHECKOUT,
    _ORDER, _LOGIN, _GUEST, _ALIAS, _GROUP,
) = range(12)  # fmt: skip
_PLAIN = 7  # calls below this need nothing but a product and a country
_BROWSING = (0.16, 0.20, 0.24, 0.30, 0.10)
_FROM_START, _ANONYMOUS = -1, 1_000
_LIVES_ON_HOUSEHOLD_COMPUTER = 1 << 44
_CURRENCIES = text.strings(CURRENCIES)
_COUNTRIES = text.strings(COUNTRIES)
_SKUS = text.strings([product.sku for product in PRODUCTS])


@dataclass(frozen=True)
class Channel:
    """What differs between the web shop and the app.

    Attributes:
        source: name of the source.
        share: of all events.
        page_call: `page` or `screen`.
        opening: the first call of a session.
        profiles: rest of the context, one per kind of browser or phone.
        cookie_days: how long an anonymous id lives on a device of the forgetful kind.
        forgetful: share of such devices.
        library: the sending library.
    """

    source: str
    share: float
    page_call: str
    opening: str
    profiles: tuple[str, ...]
    cookie_days: int
    forgetful: float
    library: str


def _browser(agent: str) -> str:
    return f'"userAgent":"Mozilla/5.0 ({agent}'


WEB = Channel(
    source="web",
    share=0.382,
    page_call="page",
    opening='"type":"page","name":"Home"',
    profiles=(
        _browser('Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/138.0.0.0 Safari/537.36"'),
        _browser(
            'Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/18.5 Safari/605.1"'
        ),
        _browser('iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148"'),
        _browser(
            'Linux; Android 15; Pixel 9) AppleWebKit/537.36 Chrome/138.0.0.0 Mobile Safari/537.36"'
        ),
        _browser('X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"'),
    ),
    cookie_days=40,
    forgetful=0.12,
    library="analytics.js",
)
MOBILE = Channel(
    source="mobile",
    share=0.20,
    page_call="screen",
    opening='"type":"track","event":"Application Opened"',
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
    cookie_days=60,
    forgetful=0.05,
    library="analytics-mobile",
)


@dataclass(frozen=True)
class _Calls:
    """Calls in order of arrival: columns per call; times in ms since 1970-01-01."""

    ids: np.ndarray
    who: np.ndarray
    device: np.ndarray
    cookie: np.ndarray
    day: np.ndarray
    code: np.ndarray
    is_known: np.ndarray
    at_ms: np.ndarray
    sent_ms: np.ndarray
    received_ms: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> _Calls:
        return _Calls(*(column[rows] for column in vars(self).values()))


def objects(company: Company, channel: Channel, day: int) -> Iterator[Delivery]:
    """The objects that one channel lands on a day, and what it sends again the day after."""
    calls = _calls(company, channel, day)
    step = company.size.object_rows
    parts = -(-len(calls.ids) // step)
    for part in range(parts):
        some = calls[np.arange(part * step, min((part + 1) * step, len(calls.ids)))]
        yield _delivery(company, channel, day, part, parts, some)
    dice = company.dice(channel.source)
    retried = calls[np.flatnonzero(dice.chance("retried", calls.ids, _RETRIES))]
    if len(retried.ids):
        # Two of three were stored twice; the others were sent again by the client, hours later.
        wait = np.where(dice.chance("sent again", retried.ids, 0.33), 2 * 3_600_000, 0)
        again = _Calls(
            **{
                **vars(retried),
                "sent_ms": retried.sent_ms + wait,
                "received_ms": retried.received_ms + wait,
            }
        )
        last = max(company.size.days - 1, day)
        yield _delivery(company, channel, min(day + 1, last), parts, parts, again, is_repeat=True)


def _delivery(
    company: Company,
    channel: Channel,
    day: int,
    part: int,
    parts: int,
    calls: _Calls,
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
        rows=len(calls.ids),
        is_repeat=is_repeat,
        keys=None if is_repeat else keys,
        people=None if is_repeat else calls.who,
    )


def _calls(company: Company, channel: Channel, day: int) -> _Calls:
    dice = company.dice(channel.source)
    crowd = company.surfers if channel is WEB else company.app_users
    total = company.size.events * channel.share / (1 + _RETRIES)
    visits = row_ids(day, max(1, round(company.volume(total, day, _WEEK) / _CALLS_PER_SESSION)))
    who = crowd.draw(dice.uniform("visitor", visits))
    late = lateness(dice, visits)
    visit_day = day - late
    device, cookie = _devices(company, channel, dice, visits, who, visit_day)
    length = np.minimum(1 + (-np.log1p(-dice.uniform("length", visits)) * 4.2).astype(np.int64), 31)
    login = _login_positions(company, dice, visits, who, device, visit_day, length)
    has_order = (length >= 4) & dice.chance("orders", visits, 0.14)
    visit = np.repeat(np.arange(len(visits)), length)
    position = np.arange(len(visit)) - (np.cumsum(length) - length)[visit]
    ids = visits[visit] * 32 + position
    code = _codes(company, dice, ids, visits, visit, position, length, login, has_order, who)
    offset = _CITY_OFFSET[company.people.city(who, visit_day)]
    start_ms = (company.epoch_day(0) + visit_day) * _DAY_MS
    start_ms += second_of_day(dice, visits, offset) * 1000 + dice.below("ms", visits, 1000)
    at_ms = start_ms[visit] + position * 38_000 + dice.below("pause", ids, 30_000)
    sent_ms = at_ms + 40 + dice.below("send", ids, 1_500) + late[visit] * _DAY_MS
    received_ms = sent_ms + 25 + dice.below("receive", ids, 300)
    # Records of a stream's shards mix: order of arrival is not quite order of receipt.
    arrival = np.argsort(received_ms + dice.below("shard", ids, 45_000), kind="stable")
    calls = _Calls(
        ids=ids,
        who=who[visit],
        device=device[visit],
        cookie=cookie[visit],
        day=visit_day[visit],
        code=code,
        is_known=(position >= login[visit]) & (code != _GUEST),
        at_ms=at_ms,
        sent_ms=sent_ms,
        received_ms=received_ms,
    )
    return calls[arrival]


def _devices(
    company: Company,
    channel: Channel,
    dice: Dice,
    visits: np.ndarray,
    who: np.ndarray,
    day: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Device and anonymous id (as numbers) of each visit."""
    people = company.people
    if channel is WEB:
        owned = 1 + people.dice.pick("browsers", who, (0.66, 0.26, 0.08))
        slot = dice.pick("browser", visits, (0.74, 0.18, 0.08)) % owned
        shares = people.dice.chance("shared computer", people.household[who], 0.05) & (slot == 0)
        own = who * 4 + slot
        device = np.where(shares, _LIVES_ON_HOUSEHOLD_COMPUTER + people.household[who], own)
    else:
        has_two = people.dice.chance("two phones", who, 0.12)
        device = who * 4 + (has_two & dice.chance("other phone", visits, 0.4))
    is_forgetful = dice.chance("forgetful", device, channel.forgetful)
    life = np.where(is_forgetful, channel.cookie_days, 4_000)
    age = day + 4_000 + dice.below("cookie age", device, life)
    return device, device * 256 + age // life % 256


def _login_positions(
    company: Company,
    dice: Dice,
    visits: np.ndarray,
    who: np.ndarray,
    device: np.ndarray,
    day: np.ndarray,
    length: np.ndarray,
) -> np.ndarray:
    """From which call of a visit on the user id is there."""
    per_login = device * 8 + who % 8
    when = dice.pick("first login", per_login, (0.74, 0.24, 0.02))
    during = dice.below("login day", per_login, company.size.days // 2)
    first_login = np.select([when == 0, when == 1], [np.full(len(who), -999), during], NEVER)
    first_login = np.where(company.people.has_login[who], first_login, NEVER)
    after = np.array([_FROM_START, 0, _ANONYMOUS])[dice.pick("state", visits, (0.12, 0.85, 0.03))]
    logs_in_at = np.minimum(1 + dice.below("login at", visits, 3), length - 1)
    after = np.where(after == 0, logs_in_at, after)
    return np.select([day < first_login, day == first_login], [_ANONYMOUS, logs_in_at], after)


def _codes(
    company: Company,
    dice: Dice,
    ids: np.ndarray,
    visits: np.ndarray,
    visit: np.ndarray,
    position: np.ndarray,
    length: np.ndarray,
    login: np.ndarray,
    has_order: np.ndarray,
    who: np.ndarray,
) -> np.ndarray:
    """What kind of call each is."""
    code = dice.pick("code", ids, _BROWSING)
    code[position == 0] = _HOME
    from_end = length[visit] - 1 - position
    for steps, step_code in ((2, _ADDED), (1, _CHECKOUT), (0, _ORDER)):
        code[has_order[visit] & (from_end == steps)] = step_code
    guest_share = np.where(company.people.has_login[who], 0.06, 0.42)
    is_guest = (login == _ANONYMOUS) & ~has_order & dice.chance("leaves email", visits, guest_share)
    code[is_guest[visit] & (from_end == 0)] = _GUEST
    opens_account = dice.chance("new account", visits, 0.08)
    is_business = dice.chance("business", who, 0.01)
    after_login = position == login[visit] + 1
    browsing = code <= _SEARCHED
    code[after_login & browsing & is_business[visit]] = _GROUP
    code[after_login & browsing & opens_account[visit]] = _ALIAS
    code[position == login[visit]] = _LOGIN
    return code


def _lines(company: Company, channel: Channel, calls: _Calls, keys: pa.Array) -> text.Strings:
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
    call = channel.page_call
    head, page = {
        _HOME: (f'{channel.opening},"properties":{home}', home),
        _CATEGORY: (f'"type":"{call}","name":"Category","properties":{shelf}', shelf),
        _PRODUCT: (f'"type":"{call}","name":"Product","properties":{article}', article),
        _VIEWED: (f'"type":"track","event":"Product Viewed","properties":{item}', article),
        _SEARCHED: (
            '"type":"track","event":"Products Searched",'
            f'"properties":{{"query":"{product.category}"}}',
            shelf,
        ),
        _ADDED: (f'"type":"track","event":"Product Added","properties":{item}', article),
        _CHECKOUT: (
            '"type":"track","event":"Checkout Started",'
            f'"properties":{{"value":{price},"currency":"{currency}"}}',
            _page("/checkout", "Checkout"),
        ),
    }[code]
    return f',{head},"context":{{{_place(channel, page)}'


def _contexts_table(channel: Channel) -> text.Strings:
    """Rest of the context: one per (profile, country, consent); consent 4 is not asked."""
    consents = [
        f',"consent":{{"categoryPreferences":{{"Analytics":{a},"Advertising":{b}}}}}'
        for a in ("false", "true")
        for b in ("false", "true")
    ]
    return text.strings(
        [
            f',"library":{{"name":"{channel.library}","version":"2.1.0"}},"locale":"{LOCALES[country]}",'
            f'"location":{{"country":"{COUNTRIES[country]}"}}{consent},{profile}'
            for profile in channel.profiles
            for country in range(len(COUNTRIES))
            for consent in (*consents, "")
        ]
    )


_BODIES = {channel.source: _plain_bodies(channel) for channel in (WEB, MOBILE)}
_CONTEXTS = {channel.source: _contexts_table(channel) for channel in (WEB, MOBILE)}


def _contexts(company: Company, channel: Channel, calls: _Calls) -> text.Strings:
    people, dice = company.people, company.dice(channel.source)
    profile = dice.below("profile", calls.device, len(channel.profiles))
    consent = _consents(people.dice, calls.who, calls.day, company.size.days)
    never_asked = dice.chance("not asked", calls.device, 0.08)
    row = (profile * len(COUNTRIES) + people.country[calls.who]) * 5
    context = text.take(_CONTEXTS[channel.source], row + np.where(never_asked, 4, consent))
    if channel is WEB:
        return context
    device = text.uuids(dice.bits("idfv high", calls.device), dice.bits("idfv low", calls.device))
    return text.join(context, ',"id":"', device, '"}')


def _consents(dice: Dice, who: np.ndarray, day: np.ndarray, days: int) -> np.ndarray:
    """2 * analytics + advertising as allowed on a day; one person in twelve changes their mind."""
    changed = dice.chance("changes consent", who, 0.08) & (
        dice.below("consent day", who, max(1, days)) <= day
    )
    analytics = dice.chance("analytics", who, 0.80)
    advertising = dice.chance("advertising", who, 0.55) & analytics
    return np.where(changed, 0, 2 * analytics + advertising)


def _bodies(company: Company, channel: Channel, calls: _Calls, cookies: pa.Array) -> text.Strings:
    """The part of a call that depends on its kind, up to and into the context."""
    country = company.people.country[calls.who]
    product = goods.favourites(company.dice(channel.source), calls.ids, calls.who)
    plain = np.minimum(calls.code, _PLAIN - 1)
    body = text.take(
        _BODIES[channel.source], (plain * len(PRODUCTS) + product) * len(COUNTRIES) + country
    )
    for code, write in (
        (_ORDER, _orders),
        (_LOGIN, _logins),
        (_GUEST, _guests),
        (_ALIAS, _aliases),
        (_GROUP, _groups),
    ):
        rows = np.flatnonzero(calls.code == code)
        if len(rows):
            mask = pa.array(calls.code == code)
            written = write(company, channel, calls[rows], cookies.take(pa.array(rows)))
            body = text.kernels.replace_with_mask(body, mask, written)
    return body


def _account_context(channel: Channel) -> str:
    return f'"context":{{{_place(channel, _page("/account", "Account"))}'


def _orders(company: Company, channel: Channel, calls: _Calls, cookies: pa.Array) -> text.Strings:
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


def _logins(company: Company, channel: Channel, calls: _Calls, cookies: pa.Array) -> text.Strings:
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


def _guests(company: Company, channel: Channel, calls: _Calls, cookies: pa.Array) -> text.Strings:
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


def _aliases(company: Company, channel: Channel, calls: _Calls, cookies: pa.Array) -> text.Strings:
    return text.join(',"type":"alias","previousId":"', cookies, '",', _account_context(channel))


def _groups(company: Company, channel: Channel, calls: _Calls, cookies: pa.Array) -> text.Strings:
    firm = text.numbers(company.dice("firms").below("firm", calls.who, 500), 4)
    return text.join(
        ',"type":"group","groupId":"firm-', firm, '","traits":{"name":"Firm ', firm, '"},',
        _account_context(channel),
    )  # fmt: skip
