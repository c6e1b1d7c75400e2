"""A made-up town of households: labelled records where relatives are the hard part.

    python -m benchmarks.households FILE --records N --seed S

Who lives there: couples, single parents, adult children, grandparents, flatmates. They share
addresses, landlines, surnames, now and then a mailbox or a mobile; there are twins, and sons with
the father's name. People move, marry, change numbers. Records come from five sources that ask for
different things, with nicknames, initials, typing errors, swapped days and months, gaps, noise of
format, and junk: the shop's own phone, test mailboxes, dates that forms fill in.

The rates are what one meets in customer files, to our knowledge. Of gaps there are so many that
somebody who knew who is who, but linked only records that share a birth date, e-mail, phone or
street to the letter, would reach F1 0.995. All chance comes from hashes of (seed, what, who), so a
file is a function of its arguments (and of the version of DuckDB).
Not here: matching.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from cdp_assets.sample.vocabulary import FIRST_NAME_RANGES, FIRST_NAMES, NICKNAMES, SURNAMES

# What `benchmarks.identity --map` takes for a file of this module.
MAPPING: Final = ",".join(
    f"{field}={field}"
    for field in (
        *("source", "first_name", "last_name", "dob", "gender", "email"),
        *("phone", "address", "city", "state", "postcode"),
    )
)
TRUTH: Final = "person_id"
COUNTRY: Final = "US"


def main() -> None:
    """Read the arguments and write the file."""
    parser = argparse.ArgumentParser(description="Write labelled records of made-up households.")
    parser.add_argument("file", type=Path, help="Parquet file to write")
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    generate(arguments.file, arguments.records, arguments.seed)
    sys.stdout.write(f"{arguments.records:,} records in {arguments.file}\n")


def generate(file: Path, records: int, seed: int) -> None:
    """Write a Parquet file of this many records, in no order that tells anything.

    Columns: record_id, those of `MAPPING`, and the truth `person_id`; all text.
    """
    with duckdb.connect(config={"memory_limit": "2GB"}) as connection:
        connection.execute(_macros(seed))
        _names(connection)
        # A home has about seven records.
        connection.execute(_PEOPLE.replace("HOMES", str(records // 5 + 10)))
        connection.execute(_CONTACT_POINTS)
        connection.execute(_RECORDS.replace("ROWS", str(records)))
        connection.execute(f"copy ({_WRITTEN}) to '{file}' (format parquet, row_group_size 100000)")


# --- Chance and words -----------------------------------------------------------------------------


def _macros(seed: int) -> str:
    return f"""
    -- A number from 0 to 1 for who and what.
    create macro u(who, what) as
        hash(xor(who::ubigint, hash('{seed} ' || what))) / 18446744073709551616.0;
    create macro pick(words, who, what) as words[1 + floor(u(who, what) * len(words))::int];
    -- Ranks with frequencies near 1 / (rank + common): few common ones, a long tail.
    create macro ranked(many, common, who, what) as
        floor(common * pow((many + common) / common::double, u(who, what)) - common)::int;
    create macro years(days) as days / 365.25;
    create macro letters(name) as regexp_replace(lower(strip_accents(name)), '[^a-z]', '', 'g');
    -- One slip of a finger, at a place and of a kind.
    create macro slip(word, spot, kind, letter) as case floor(kind * 5)::int
        when 0 then left(word, spot - 1) || substr(word, spot + 1)
        when 1 then left(word, spot) || substr(word, spot)
        when 2 then left(word, spot - 1) || letter || substr(word, spot + 1)
        when 3 then left(word, spot - 1) || substr(word, spot + 1, 1) || substr(word, spot, 1)
            || substr(word, spot + 2)
        else left(word, spot) || letter || substr(word, spot + 1)
    end;
    create macro mistyped(word, share, alphabet, who, what) as case
        when length(word) > 2 and u(who, what || ' slips') < share then slip(
            word,
            1 + floor(u(who, what || ' place') * length(word))::int,
            u(who, what || ' kind'),
            substr(alphabet, 1 + floor(u(who, what || ' letter') * length(alphabet))::int, 1)
        )
        else word
    end;
    """


_SYLLABLES: Final = (
    "ka la ma na ra sha ta ja da za ke le me ne re te je de ki li mi ni ri ti ji di zi ko lo mo no "
    "ro to jo do bri cha dre fae gwe ily kae lyn mar nia ori pha que ryn sel tri van wyn xan yas"
).split()
_ENDINGS: Final = {
    "F": "na lia ra lyn tte sha ya bel rie sa dra nne la mi elle ina".split(),
    "M": "n rd son ck l ron vin den mir sh ton ric o an el us".split(),
}
_SURNAME_HEADS: Final = (
    "Ack Ald Arm Bar Beck Ben Black Bow Brad Bran Buck Bur Cal Car Chad Clay Cor Crow Dan Den Dray "
    "East Eck El Far Fen Fitz Fox Gar Gold Gran Green Had Hal Ham Hart Hay Hol Horn Hul Kel Ken "
    "Kim Lam Lang Law Lin Lock Long Mal Mar Mill Mor Nor Oak Os Par Pem Pick Pres Quin Rad Ran Red "
    "Rock Row Rus San Schu Sel Shaw Sher Sil Stan Stein Sto Tan Thorn Til Tor Tru Und Vin Wal Ward "
    "Wat Wein Wes Whit Wil Win Wood Wor Yar Zim"
).split()
_SURNAME_TAILS: Final = (
    "ton ford ley man son well wood field er berg burn by den dale stein mann ski ham worth ing "
    "land more rick low ell ard sen ster shaw hurst ness more kins lock bach meyer ridge wick smith"
).split()
_PREFIXES: Final = ("", "", "Mc", "O'", "Van ", "De ", "Mac")


def _names(connection: duckdb.DuckDBPyConnection) -> None:
    """Tables `first_names` (sex, rank, name, nicks) and `surnames` (rank, name), common ones first.

    People keep to a few hundred names; a quarter have one that few others have.
    """
    rows: list[tuple[str, int, str, list[str]]] = []
    for sex in "MF":
        common = [place for pool in ("en", "es", "de", "fr", "in") for place in _range(pool, sex)]
        named = [(FIRST_NAMES[place], list(NICKNAMES[place])) for place in common]
        rare = [
            (first.capitalize() + second + end, [])
            for second in ("", "ri", "le", "da")
            for end in _ENDINGS[sex]
            for first in _SYLLABLES
        ]
        known = dict(reversed([*named, *rare]))
        names = list(dict.fromkeys(name for name, _ in [*named, *rare]))
        rows += [(sex, rank, name, known[name]) for rank, name in enumerate(names)]
    columns = [list(column) for column in zip(*rows, strict=True)]
    first_names = pa.table(columns, names=["sex", "rank", "name", "nicks"])
    rare_surnames = [
        prefix + head + tail
        for prefix in dict.fromkeys(_PREFIXES)
        for tail in _SURNAME_TAILS
        for head in _SURNAME_HEADS
    ]
    surnames = list(dict.fromkeys([*SURNAMES, *rare_surnames]))
    connection.register("given", first_names)
    connection.register("family", pa.table({"rank": range(len(surnames)), "name": surnames}))
    connection.execute(
        "create table first_names as from given; create table surnames as from family"
    )


def _range(pool: str, sex: str) -> range:
    return FIRST_NAME_RANGES[(pool, sex)]


# --- Who lives where ------------------------------------------------------------------------------

# Days are counted from 1970; the records were written around 2024 (day 19,800).
_PEOPLE: Final = """
create table members as
with homes as (
    select
        range as home,
        case when u(range, 'head') < 0.5 then 'M' else 'F' end as head_sex,
        (-10500 + u(range, 'head born') * 21500)::int as head_birth,
        u(range, 'partner') < 0.60 as has_partner,
        case
            when u(range, 'children') < 0.48 then 0
            when u(range, 'children') < 0.67 then 1
            when u(range, 'children') < 0.88 then 2
            when u(range, 'children') < 0.97 then 3
            else 4
        end as children,
        u(range, 'twins') < 0.03 as has_twins,
        (7300 + u(range, 'first child') * 4700)::int as first_child
    from range(HOMES)
),

born as (
    select
        home, slot, home * 8 + slot as person, head_sex,
        case
            when slot = 0 then head_birth
            when slot = 1 then head_birth
                + ((u(home, 'age gap') + u(home, 'age gap 2') - 1) * 3600)::int
            when slot = 6 then head_birth - 8000 - (u(home, 'grandparent born') * 4400)::int
            when slot = 3 and has_twins then head_birth + first_child
            else head_birth + first_child + (slot - 2) * 950
                + case when slot = 2 then 0 else (u(home * 8 + slot, 'born') * 700)::int end
        end as birth,
        case
            when slot = 0 then head_sex
            when slot = 1 and u(home, 'same sex') >= 0.05
                then case head_sex when 'M' then 'F' else 'M' end
            when slot = 3 and has_twins and u(home, 'alike') < 0.65
                then case when u(home * 8 + 2, 'sex') < 0.51 then 'M' else 'F' end
            when slot = 1 then head_sex
            else case when u(home * 8 + slot, 'sex') < 0.51 then 'M' else 'F' end
        end as sex
    from homes cross join unnest([0, 1, 2, 3, 4, 5, 6]) as slots (slot)
    where slot = 0
        or slot = 1 and has_partner
        or slot between 2 and 1 + children
        or slot = 6 and u(home, 'grandparent') < 0.05
),

named as (
    select
        born.*, years(19800 - birth) as age,
        ranked(20000, 12, home, 'surname') as home_rank,
        ranked(20000, 12, person, 'surname') as own_rank,
        case
            -- The father's name for the first son; now and then the grandfather's for the father.
            when slot = 2 and sex = 'M' and head_sex = 'M' and u(home, 'junior') < 0.06
                or slot = 6 and sex = 'M' and head_sex = 'M' and u(home, 'junior') > 0.95
                then ranked(1500, 8, home * 8, 'first name')
            else ranked(1500, 8, person, 'first name')
        end as first_rank,
        u(home, 'junior') < 0.06 or u(home, 'junior') > 0.95 as has_junior
    from born
    where birth < 19000
),

surnamed as (
    select
        *,
        case
            when slot = 1 and u(person, 'keeps the name') < 0.28 then 'own'
            when slot = 6 and u(person, 'of the other side') < 0.45 then 'own'
            when slot between 2 and 5 and u(home, 'stepchildren') < 0.04 then 'own'
            when slot between 2 and 5 and sex = 'F' and age > 24 and u(person, 'wed') < 0.35
                then 'own now'
            when slot = 1 and sex = 'F' and u(person, 'wed lately') < 0.12 then 'own once'
            else 'of the home'
        end as surname_is,
        -- Brothers are not both called James.
        row_number() over (partition by home, sex, first_rank order by slot) - 1 as again
    from named
)

select
    person, home, slot, sex, birth, age,
    case when has_junior then first_rank else first_rank + 7 * again end as first_rank,
    case when surname_is in ('own', 'own now') then own_rank else home_rank end as last_rank,
    case surname_is when 'own now' then home_rank when 'own once' then own_rank end as former_rank,
    u(person, 'wed when') as wed_at,
    -- Homes: where somebody lives now, and before they moved (NULL: they did not).
    slot between 2 and 5 and age > 22 and u(person, 'left home') < 0.75 as has_left,
    case when has_left then home * 16 + 8 + slot else home * 16 end as dwelling,
    case
        when has_left and age < 36 and u(person, 'left lately') < 0.35 then home * 16
        when not has_left and u(home, 'moved') < 0.20 then home * 16 + 1
    end as former_dwelling,
    case when has_left then u(person, 'left when') else u(home, 'moved when') end as moved_at
from surnamed;

create table people as
select
    members.*, first_names.name as first_name, first_names.nicks,
    surnames.name as last_name, former.name as former_name,
    chr(65 + floor(u(person, 'middle') * 26)::int) as middle
from members
inner join first_names on members.sex = first_names.sex and members.first_rank = first_names.rank
inner join surnames on members.last_rank = surnames.rank
left join surnames as former on members.former_rank = former.rank;
"""

# --- Mailboxes, numbers, addresses ----------------------------------------------------------------

_DOMAINS: Final = (
    *("gmail.com",) * 9,
    *("yahoo.com",) * 3,
    *("outlook.com", "hotmail.com", "icloud.com") * 2,
    *("aol.com", "comcast.net", "proton.me", "verizon.net", "att.net", "me.com", "live.com"),
)
_AREAS: Final = "415 212 312 206 303 512 617 702 305 404 713 602 503 919 216 313 816 504".split()
_STREETS: Final = (
    "Main Oak Maple Park Church High Station Cedar Elm Washington Lake Hill Victoria Mill Pine "
    "King Queen Walnut Spring North South West Center River Sunset Jackson Lincoln Franklin "
    "Chestnut Meadow Forest Highland Jefferson Adams Madison Cherry Dogwood Hickory Willow Ridge "
    "Valley Prospect College Railroad Liberty Union Summit Grove Locust Birch Magnolia Laurel"
).split()
_STREET_HEADS: Final = "Old New Upper Lower Little Great East West Saint Fort".split()
_KINDS: Final = ("Street", "Street", "Avenue", "Avenue", "Road", "Drive", "Lane", "Court", "Place")
_CITY_HEADS: Final = (
    "Spring Green Fair Clear River Oak Maple Cedar Stone Bridge Glen Mill Ash Brook Hill Lake "
    "North South East West"
).split()
_CITY_TAILS: Final = "field ville ton view wood dale port burg mont ford haven side".split()
_STATES: Final = (
    "CA TX FL NY PA IL OH GA NC MI NJ VA WA AZ TN MA IN MO MD WI CO MN SC AL LA KY OR OK CT UT"
).split()

_CONTACT_POINTS: Final = f"""
create table mailboxes as
with styled as (
    select
        person, letters(first_name) as f, letters(last_name) as l,
        letters(coalesce(pick(nicks, person, 'mail nick'), first_name)) as n,
        year(date '1970-01-01' + birth) % 100 as y, (u(person, 'mail digits') * 999)::int as d,
        box, u(person * 2 + box, 'mail style') as style,
        pick({list(_DOMAINS)}, person * 2 + box, 'domain') as domain
    from people cross join (values (0), (1)) as boxes (box)
    where box = 0 or u(person, 'second mailbox') < 0.25
),

addressed as (
    select person, box, domain, case
        when style < 0.28 then f || '.' || l
        when style < 0.42 then left(f, 1) || l
        when style < 0.58 then f || l || printf('%02d', y)
        when style < 0.70 then f || '.' || l || d
        when style < 0.82 then n || l || d
        when style < 0.92 then l || f
        else n || printf('%02d', y) || d
    end as name
    from styled
)

select person, box, name || case when row_number() over same = 1 then ''
    else (row_number() over same)::varchar end || '@' || domain as email
from addressed
window same as (partition by name, domain order by person, box);

create macro number_of(who) as
    {_AREAS}[1 + ((who * 7919) % 18)::int] || printf(
        '%03d%04d', 200 + ((who * 4256233 // 10000) % 800)::int, ((who * 4256233) % 10000)::int
    );
create macro street_of(home) as (10 + floor(pow(u(home, 'house'), 2) * 4000)::int) || ' '
    || case when u(home, 'street head') < 0.35
        then pick({_STREET_HEADS}, home, 'head') || ' ' else '' end
    || pick({_STREETS}, home, 'street');
create macro town_of(home) as ranked(230, 3, home, 'town');
"""

# --- Records --------------------------------------------------------------------------------------

# Per source, the share of records that have: birth date, gender, e-mail, phone, address.
_SOURCES: Final = {
    "web": (0.72, 0.50, 0.98, 0.62, 0.85),
    "store": (0.84, 0.60, 0.62, 0.85, 0.82),
    "call_center": (0.70, 0.30, 0.58, 0.96, 0.86),
    "import": (0.95, 0.85, 0.66, 0.70, 0.97),
    "competition": (0.76, 0.40, 0.88, 0.58, 0.80),
}
# Share of people with more than 1, 2, ... 11 records.
_MORE: Final = (0.70, 0.46, 0.29, 0.18, 0.11, 0.07, 0.04, 0.025, 0.014, 0.007, 0.003)
_JUNK_MAIL: Final = (
    "test@test.com none@none.com noemail@shop.example na@na.com customer@shop.example "
    "noreply@shop.example a@a.com info@shop.example"
).split()
_SHOPS: Final = 25
_FILLED_IN: Final = ("1900-01-01", "1970-01-01", "1980-01-01", "2000-01-01")
_ALPHABET: Final = "etaoinshrdlucmwfygpbvk"

_RECORDS: Final = f"""
create table visits as
select
    person * 16 + visit as record, person, home, slot,
    u(person * 16 + visit, 'when') as moment,
    case when former_dwelling is not null and u(record, 'when') < moved_at
        then former_dwelling else dwelling end as lived_in,
    case when former_name is not null and u(record, 'when') < wed_at
        then former_name else last_name end as surname,
    first_name, last_name, nicks, middle, sex, birth, age,
    pick({list(_SOURCES)}, record, 'source') as source,
    map {{{", ".join(f"'{name}': {list(shares)}" for name, shares in _SOURCES.items())}}}[source]
        as asks
from people, range(12) as visits (visit)
where visit = 0 or u(person, 'visits') < {list(_MORE)}[visit]
order by record limit ROWS;
"""

_WRITTEN: Final = f"""
with contacts as (
    select
        visits.*,
        -- Children write with a parent's mailbox and number; some couples share one.
        case when age < 13 and u(record, 'parent''s') < 0.85
            or slot = 1 and u(home, 'one mailbox') < 0.10 then home * 8 else person end as writer,
        case when age < 12 or slot = 1 and u(home, 'one mobile') < 0.08
            then home * 8 else person end as caller,
        u(home, 'family mailbox') < 0.20 and u(record, 'family mailbox used') < 0.40 as is_family,
        u(lived_in, 'landline') < 0.50 and u(record, 'landline used') < 0.45 as is_landline
    from visits
),

told as (
    select
        contacts.*,
        case
            when u(record, 'junk mail') < 0.004 then pick({_JUNK_MAIL}, record, 'which junk mail')
            when is_family then letters(last_name) || 'family'
                || (u(home, 'family digits') * 99)::int || '@'
                || pick({list(_DOMAINS)}, home, 'family domain')
            else coalesce(second.email, mailboxes.email)
        end as email_told,
        case
            when u(record, 'junk phone') < 0.006
                then number_of(floor(u(record, 'shop') * {_SHOPS})::bigint + 500)
            when is_landline then number_of(lived_in * 4 + 1)
            when u(caller, 'new number') < 0.10 and moment < u(caller, 'new number when')
                then number_of(caller * 4 + 3)
            else number_of(caller * 4 + 2)
        end as digits
    from contacts
    inner join mailboxes on contacts.writer = mailboxes.person and mailboxes.box = 0
    left join mailboxes as second
        on contacts.writer = second.person and second.box = 1
        and u(contacts.record, 'second used') < 0.35
),

spelt as (
    select
        told.* exclude (first_name, last_name),
        case
            when u(record, 'placeholder') < 0.001
                then pick(['Guest', 'Customer', 'Mr', 'Mrs'], record, 'which placeholder')
            when len(nicks) > 0 and u(record, 'nickname') < 0.16
                then pick(nicks, record, 'which nickname')
            when u(record, 'initial') < 0.025 then left(told.first_name, 1)
                || case when u(record, 'dot') < 0.5 then '.' else '' end
            when u(record, 'middle told') < 0.05 then told.first_name || ' ' || middle
            else told.first_name
        end as first_told,
        case when u(record, 'both names') < 0.01 and surname <> told.last_name
            then surname || '-' || told.last_name else surname end as last_told,
        date '1970-01-01' + birth as born,
        case when u(lived_in, 'flat') < 0.2 then 1 + floor(u(lived_in, 'which flat') * 40)::int end
            as flat,
        pick({list(_KINDS)}, lived_in, 'kind') as kind,
        town_of(lived_in) as town,
        u(record, 'case') as letter_case
    from told
),

mistaken as (
    select
        record, person, source, asks, sex, letter_case, town, lived_in,
        mistyped(first_told, 0.04, '{_ALPHABET}', record, 'first') as first_typed,
        mistyped(last_told, 0.04, '{_ALPHABET}', record, 'last') as last_typed,
        u(record, 'swapped names') < 0.005 as is_swapped,
        case
            when u(record, 'filled in') < 0.008
                then pick({list(_FILLED_IN)}, record, 'which date')
            when u(record, 'day and month') < 0.015 and day(born) < 13
                then strftime(born, '%Y-%d-%m')
            when u(record, 'date slips') < 0.02 then strftime(case
                when u(record, 'date part') < 0.45
                    then born + (case when u(record, 'day off') < 0.5 then 1 else -10 end)
                when u(record, 'date part') < 0.75
                    then born + (interval 1 month * (1 + floor(u(record, 'month off') * 3)))
                else born + (interval 1 year * pick([-10, -1, 1, 10], record, 'year off'))
            end, '%Y-%m-%d')
            else strftime(born, '%Y-%m-%d')
        end as dob,
        case
            when u(record, 'mail domain slips') < 0.006
                then replace(replace(email_told, 'gmail', 'gmial'), 'hotmail', 'hotmial')
            else mistyped(email_told, 0.012, '{_ALPHABET}', record, 'mail')
        end as email,
        mistyped(digits, 0.012, '0123456789', record, 'phone') as number,
        mistyped(street_of(lived_in), 0.025, '{_ALPHABET}', record, 'street') || ' '
        || case
            when u(record, 'short kind') < 0.45 then map {{
                'Street': 'St', 'Avenue': 'Ave', 'Road': 'Rd', 'Drive': 'Dr', 'Lane': 'Ln',
                'Court': 'Ct', 'Place': 'Pl'
            }}[kind] || case when u(record, 'short dot') < 0.3 then '.' else '' end
            else kind
        end
        || case
            when flat is null or u(record, 'flat told') < 0.2 then ''
            else pick([' Apt ', ' #', ', Unit ', ' Apt. '], record, 'flat form') || flat
        end as street
    from spelt
),

final as (
    select
        record, person, source,
        case when is_swapped then last_typed else first_typed end as first_name,
        case when is_swapped then first_typed else last_typed end as last_name,
        case when u(record, 'dob told') < asks[1] then dob end as dob,
        case when u(record, 'gender told') < asks[2] then case
            when u(record, 'wrong gender') < 0.004 then case sex when 'M' then 'F' else 'M' end
            when source in ('web', 'import') then sex
            when sex = 'M' then 'male' else 'female'
        end end as gender,
        case when u(record, 'mail told') < asks[3] then email end as email,
        case when u(record, 'phone told') < asks[4] then case floor(u(record, 'form') * 6)::int
            when 0 then '+1' || number
            when 1 then '(' || number[1:3] || ') ' || number[4:6] || '-' || number[7:]
            when 2 then number[1:3] || '-' || number[4:6] || '-' || number[7:]
            when 3 then number[1:3] || '.' || number[4:6] || '.' || number[7:]
            when 4 then '1 ' || number[1:3] || ' ' || number[4:6] || ' ' || number[7:]
            else number
        end end as phone,
        u(record, 'address told') < asks[5] as has_address,
        street, letter_case, town, lived_in
    from mistaken
)

select
    row_number() over (order by hash(record))::varchar as record_id,
    source,
    case when letter_case < 0.08 then upper(first_name)
        when letter_case < 0.13 then lower(first_name) else first_name end as first_name,
    case when letter_case < 0.08 then upper(last_name)
        when letter_case < 0.13 then lower(last_name) else last_name end as last_name,
    dob, gender,
    case when letter_case < 0.05 then upper(email) else email end as email,
    phone,
    case when has_address then street end as address,
    case when has_address then mistyped(
        {_CITY_HEADS}[1 + town % 20] || {_CITY_TAILS}[1 + (town // 20) % 12],
        0.01, '{_ALPHABET}', record, 'city'
    ) end as city,
    case when has_address then {_STATES}[1 + (town * 7) % 30] end as state,
    case when has_address then mistyped(
        printf('%05d', 10000 + town * 347 + floor(u(lived_in, 'quarter') * 6)::int),
        0.008, '0123456789', record, 'postcode'
    ) end as postcode,
    person::varchar as person_id
from final
order by hash(record)
"""


if __name__ == "__main__":
    main()
