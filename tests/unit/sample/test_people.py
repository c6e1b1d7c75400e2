from __future__ import annotations

import numpy as np
import phonenumbers
import pytest

from cdp_assets.sample import phones
from cdp_assets.sample.people import NEVER, People, make_people
from cdp_assets.sample.vocabulary import COUNTRIES, FIRST_NAMES, SURNAMES


@pytest.fixture(scope="module")
def people() -> People:
    return make_people(6_000, days=30, seed=7)


def test_more_people_leave_the_first_ones_as_they_were(people: People):
    fewer = make_people(4_000, days=30, seed=7)
    assert (people.birth_day[:4_000] == fewer.birth_day).all()
    assert (people.last[:4_000] == fewer.last).all()


def test_only_couples_share_an_email_address(people: People):
    owners = {}
    for person, address in enumerate(people.email.to_pylist()):
        owners.setdefault(address, []).append(person)
    shared = [group for group in owners.values() if len(group) > 1]
    assert shared
    assert all(set(people.role[group]) == {0, 1} for group in shared)
    assert all(len(set(people.household[group])) == 1 for group in shared)


def test_sons_may_be_named_after_their_father_and_twins_share_a_birthday(people: People):
    is_child = people.role >= 2
    namesakes = is_child & (people.first == people.first[people.head])
    assert namesakes.any()
    assert people.is_female[namesakes].mean() < 0.1
    births = list(zip(people.household[is_child], people.birth_day[is_child], strict=True))
    assert len(set(births)) < len(births)


def test_names_that_look_like_missing_values_exist_and_most_names_are_common(people: People):
    names = [SURNAMES[i] for i in people.last]
    assert {"Null", "NA"} <= set(names)
    counts = np.sort(np.bincount(people.first, minlength=len(FIRST_NAMES)))[::-1]
    assert counts[: len(counts) // 5].sum() > 0.4 * counts.sum()


def test_people_move_marry_and_change_provider_before_and_within_the_window(people: People):
    for days in (people.moved_day, people.married_day, people.email_changed_day):
        changed = days[days != NEVER]
        assert (changed < 0).any()
        assert ((changed > 0) & (changed < 30)).any()


def test_loyalty_and_user_ids_are_unique_and_share_one_range(people: People):
    everyone = np.arange(len(people))
    for ids in (people.loyalty_id(everyone), people.user_ids):
        assert len(set(ids.to_pylist())) == len(people)
        assert set(map(len, ids.to_pylist())) == {8}


@pytest.mark.parametrize("kind", [phones.mobiles, phones.landlines])
def test_phone_numbers_are_valid_however_they_are_written(kind):
    for number, country in enumerate(COUNTRIES):
        index = np.arange(300) * 53
        numbers = kind(np.full(len(index), number), index)
        for form in range(phones.EXCEL):
            for written in numbers.write(np.full(len(index), form)).to_pylist():
                assert phonenumbers.is_valid_number(phonenumbers.parse(written, country)), written


def test_phone_numbers_do_not_repeat_within_a_country():
    numbers = phones.mobiles(np.zeros(200_000, dtype=np.int64), np.arange(200_000)).write(0)
    assert len(set(numbers.to_pylist())) == 200_000
