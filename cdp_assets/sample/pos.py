"""Tills: receipts as CSV and their lines as Parquet.

A shopper is known only by what is given at the till: a loyalty card, an email or phone for the
receipt, a payment card; often nothing. Times on receipts carry the shop's own offset, lines are
UTC. A till without a line delivers days later; a batch is at times delivered twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from cdp_assets.sample import goods, text, writing
from cdp_assets.sample.company import Company, lateness, row_ids, second_of_day
from cdp_assets.sample.landing import Delivery, iso_day
from cdp_assets.sample.vocabulary import (
    CITIES,
    COUNTRIES,
    CURRENCIES,
    PRODUCTS,
    STORE_CITIES,
)

RECEIPT_SHARE = 0.065
LINES_PER_RECEIPT = 2.3
_WEEK = (0.80, 0.80, 0.85, 0.90, 1.20, 1.55, 0.90)
_DAY_MS = 86_400_000
_LINE_WEIGHTS = (0.40, 0.25, 0.15, 0.10, 0.06, 0.04)  # 1, 2, 3, ... lines; 2.29 on average
_CITY_COUNTRY = np.array([city.country for city in CITIES])
_CITY_OFFSET = np.array([city.utc_offset for city in CITIES])
_STORE_CITY = np.array(STORE_CITIES)
_SKUS = text.strings([product.sku for product in PRODUCTS])
_NAMES = text.strings([product.name for product in PRODUCTS])
_CATEGORIES = text.strings([product.category for product in PRODUCTS])
_COUNTRIES = text.strings(COUNTRIES)
_CURRENCIES = text.strings(CURRENCIES)
_PAYMENTS = text.strings(["card", "cash", "wallet", "gift_card"])
_OFFSETS = sorted({city.utc_offset for city in CITIES})


@dataclass(frozen=True)
class _Basket:
    """Receipts of a day (columns per receipt) and their lines (columns per line)."""

    ids: np.ndarray
    who: np.ndarray
    store: np.ndarray
    sold_ms: np.ndarray
    receipt: np.ndarray
    line: np.ndarray
    product: np.ndarray
    quantity: np.ndarray
    unit_cents: np.ndarray


def objects(company: Company, day: int) -> Iterator[Delivery]:
    """The receipt and line objects of one landing day."""
    count = company.volume(company.size.events * RECEIPT_SHARE, day, _WEEK)
    step = company.size.object_rows
    parts = -(-count // step)
    ids = row_ids(day, count)
    for part in range(parts):
        basket = _basket(company, day, ids[part * step : (part + 1) * step])
        yield from _part(company, day, part, basket)


def _part(company: Company, day: int, part: int, basket: _Basket) -> Iterator[Delivery]:
    receipts = _receipts(company, basket)
    lines = _lines(company, basket)
    epoch_day = company.epoch_day(day)
    stem = f"{iso_day(epoch_day)}-{part + 1:04d}"
    yield Delivery(
        "pos", "receipts", epoch_day, f"receipts-{stem}.csv", _csv(receipts), len(receipts),
        keys=receipts["receipt_id"].chunk(0), people=basket.who,
    )  # fmt: skip
    yield Delivery(
        "pos", "receipt_lines", epoch_day, f"receipt_lines-{stem}.parquet", _parquet(lines),
        len(lines),
    )  # fmt: skip
    if company.dice("pos").chance("sent again", basket.ids[:1], 0.12)[0]:
        again = receipts.slice(0, len(receipts) // 10 + 1)
        yield Delivery(
            "pos", "receipts", epoch_day, f"receipts-{stem}-resend.csv", _csv(again), len(again),
            is_repeat=True,
        )  # fmt: skip


def _basket(company: Company, day: int, ids: np.ndarray) -> _Basket:
    people, dice = company.people, company.dice("pos")
    who = company.shoppers.draw(dice.uniform("shopper", ids))
    sold_day = day - lateness(dice, ids)
    # People shop in the two shops of their town; one time in twenty they are away.
    at_home = people.city(who, sold_day)
    away = _STORE_CITY[dice.below("away", ids, len(_STORE_CITY))]
    is_away = dice.chance("is away", ids, 0.05) & (_CITY_COUNTRY[away] == people.country[who])
    city = np.where(is_away, away, at_home)
    store = city * 2 + dice.chance("other shop", who, 0.3)
    second = second_of_day(dice, ids, _CITY_OFFSET[city])
    sizes = 1 + dice.pick("lines", ids, _LINE_WEIGHTS)
    receipt = np.repeat(np.arange(len(ids)), sizes)
    line = np.arange(len(receipt)) - (np.cumsum(sizes) - sizes)[receipt]
    line_ids = ids[receipt] * 8 + line
    product = goods.favourites(dice, line_ids, who[receipt])
    sign = np.where(dice.chance("refund", ids, 0.02), -1, 1)[receipt]
    return _Basket(
        ids=ids,
        who=who,
        store=store,
        sold_ms=(company.epoch_day(0) + sold_day) * _DAY_MS + second * 1000,
        receipt=receipt,
        line=line,
        product=product,
        quantity=sign * (1 + dice.pick("quantity", line_ids, (0.78, 0.14, 0.05, 0.03))),
        unit_cents=goods.unit_price(product, _CITY_COUNTRY[city][receipt]),
    )


def _receipts(company: Company, basket: _Basket) -> pa.Table:
    people, dice, ids, who = company.people, company.dice("pos"), basket.ids, basket.who
    city = _STORE_CITY[basket.store]
    country = _CITY_COUNTRY[city]
    total = np.bincount(basket.receipt, basket.quantity * basket.unit_cents, len(ids))
    payment = dice.pick("payment", ids, (0.68, 0.20, 0.10, 0.02))
    # Only the newest terminals hand over a card's token.
    has_token = ((payment == 0) | (payment == 2)) & (basket.store % 8 == 0)
    day = basket.sold_ms // _DAY_MS - company.epoch_day(0)
    emails = writing.emails(people.email_at(who, day), dice, ids, slips=0.03)
    junk = dice.chance("is junk", ids, 0.03)
    # Some shoppers always give their email, most never.
    gives_email = dice.chance(
        "gives email", ids, people.dice.pick("e-receipts", who, (5, 3, 2)) * 0.50
    )
    gives_phone = dice.chance(
        "gives phone", ids, people.dice.pick("tells phone", who, (9, 1)) * 0.6
    )
    gives_loyalty = dice.chance("gives loyalty", ids, 0.93) & people.has_loyalty[who]
    local_ms = basket.sold_ms + _CITY_OFFSET[city] * 60_000
    return pa.table(
        {
            "receipt_id": _receipt_ids(basket),
            "store_id": _store_ids(basket.store),
            "register_id": text.join("R", text.whole(1 + dice.below("register", ids, 6))),
            "sold_at": _shop_times(local_ms, _CITY_OFFSET[city]),
            "country": text.take(_COUNTRIES, country),
            "currency": text.take(_CURRENCIES, country),
            "total_amount": text.decimals(np.rint(total).astype(np.int64)),
            "payment_method": text.take(_PAYMENTS, payment),
            "loyalty_id": text.only(gives_loyalty, people.loyalty_id(who)),
            "email": text.only(
                gives_email, text.either(junk, writing.junk_emails(dice, ids), emails)
            ),
            "phone": text.only(
                gives_phone, writing.phones(people.mobile_at(who, day), dice, ids, junk=0.02)
            ),
            "card_token": text.only(
                has_token, people.card_token(who, dice.chance("second card", ids, 0.08))
            ),
        }
    )


def _lines(company: Company, basket: _Basket) -> pa.Table:
    micros = pa.array(basket.sold_ms[basket.receipt] * 1000)
    return pa.table(
        {
            "receipt_id": text.take(_receipt_ids(basket), basket.receipt),
            "line_number": pa.array((basket.line + 1).astype(np.int32)),
            "sold_at": micros.cast(pa.timestamp("us", tz="UTC")),
            "sku": text.take(_SKUS, basket.product),
            "product_name": text.take(_NAMES, basket.product),
            "category": text.take(_CATEGORIES, basket.product),
            "quantity": pa.array(basket.quantity.astype(np.int32)),
            "unit_price": text.decimals(basket.unit_cents),
            "line_amount": text.decimals(basket.quantity * basket.unit_cents),
        }
    )


def _receipt_ids(basket: _Basket) -> text.Strings:
    day, number = basket.ids >> 32, basket.ids & 0xFFFF_FFFF
    return text.join(
        "R", text.numbers(basket.store + 1, 3), "-", text.numbers(day, 3), "-",
        text.numbers(number, 8),
    )  # fmt: skip


def _store_ids(store: np.ndarray) -> text.Strings:
    return text.join("S", text.numbers(store + 1, 3))


def _shop_times(local_ms: np.ndarray, offset: np.ndarray) -> text.Strings:
    suffixes = text.strings(
        [f"{'-' if o < 0 else '+'}{abs(o) // 60:02d}:{abs(o) % 60:02d}" for o in _OFFSETS]
    )
    which = np.searchsorted(_OFFSETS, offset)
    return text.join(text.instants(local_ms, fraction=False, suffix=""), text.take(suffixes, which))


def _csv(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    pacsv.write_csv(table, sink)
    return sink.getvalue()


def _parquet(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="snappy")
    return sink.getvalue()
