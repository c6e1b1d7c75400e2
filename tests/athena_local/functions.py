"""Every function that a statement may call, and what DuckDB calls it.

Here: the allow-list (Athena engine version 3 is Trino; https://trino.io/docs/current/functions),
and DuckDB macros for functions whose meaning differs. A name that is on no list is refused, as
Athena refuses it. Not here: syntax (`translate`).
"""

# ruff: noqa: E501
# pyarrow makes its compute functions at import; DuckDB takes types that its stubs do not know.
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportArgumentType=false
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

import hashlib
import hmac
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

# sqlglot reads these by their own grammar, or as the same thing on both engines.
PARSED: Final = frozenset(
    """cast try_cast extract trim normalize json_object position substring listagg if coalesce
    nullif row grouping row_number rank dense_rank percent_rank cume_dist ntile lag lead
    first_value last_value nth_value unnest""".split()
)

# The same name and the same meaning.
SAME: Final = frozenset(
    """abs array_agg avg bool_and bool_or cbrt ceil ceiling concat_ws corr cos covar_pop
    covar_samp count count_if cosh acos asin atan atan2 degrees exp floor
    hour is_nan is_finite is_infinite kurtosis length ln log log10 log2 lower lpad ltrim max min
    minute mod month pi pow power quarter radians replace reverse round rpad rtrim second sign sin
    skewness sqrt starts_with stddev stddev_pop stddev_samp strpos sum tan tanh translate try
    upper var_pop var_samp variance week year day last_day_of_month""".split()
)

# Another name for the same meaning.
RENAMED: Final = {
    "any_value": "any_value",
    "arbitrary": "any_value",
    "approx_distinct": "approx_count_distinct",
    "approx_percentile": "approx_quantile",
    "array_except": "list_except",
    "array_intersect": "list_intersect",
    "cardinality": "len",
    "contains": "list_contains",
    "day_of_month": "day",
    "day_of_week": "isodow",
    "day_of_year": "dayofyear",
    "dow": "isodow",
    "doy": "dayofyear",
    "every": "bool_and",
    "filter": "list_filter",
    "flatten": "flatten",
    "from_base64": "from_base64",
    "from_hex": "unhex",
    "from_utf8": "decode",
    "histogram": "histogram",
    "last_day_of_month": "last_day",
    "map": "map",
    "map_keys": "map_keys",
    "map_values": "map_values",
    "max_by": "arg_max_null",
    "min_by": "arg_min_null",
    "regexp_like": "regexp_matches",
    "regexp_split": "string_split_regex",
    "split": "string_split",
    "to_base64": "to_base64",
    "to_hex": "hex",
    "to_utf8": "encode",
    "transform": "list_transform",
    "week_of_year": "week",
    "year_of_week": "isoyear",
    "yow": "isoyear",
}

# Another meaning: macro trino_<name>, defined in MACROS.
REPAIRED: Final = frozenset(
    """all_match any_match array_distinct array_join array_max array_min array_position
    array_remove array_sort array_union at_timezone chr codepoint concat crc32 current_timezone date
    date_add date_diff date_format date_parse date_trunc element_at from_big_endian_64
    from_iso8601_date from_iso8601_timestamp from_unixtime greatest hmac_sha256 json_array_length
    json_extract json_extract_scalar json_format json_parse least levenshtein_distance md5 millisecond none_match now
    rand random reduce regexp_count regexp_extract regexp_extract_all regexp_replace sequence
    sha1 sha256 sha512 slice split_part substr to_iso8601
    to_milliseconds to_unixtime uuid xxhash64""".split()
)

# Athena has them; nothing here needed them yet. Refused in other words than an unknown name.
ONLY_ON_ATHENA: Final = frozenset(
    """approx_most_frequent approx_set array_frequency arrays_overlap bit_count bitwise_and
    bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor char2hexint checksum
    combinations concat_ws contains_sequence date_diff decimal empty_approx_set entropy
    evaluate_classifier_predictions format format_datetime format_number from_base from_base32
    from_base64url from_big_endian_32 from_encoded_polyline from_ieee754_32 from_ieee754_64
    from_iso8601_timestamp_nanos from_unixtime_nanos geometric_mean great_circle_distance hamming_distance hmac_md5 hmac_sha1 hmac_sha512
    human_readable_seconds infinity inverse_beta_cdf inverse_normal_cdf json_array json_array_contains
    json_array_get json_exists json_query json_size json_value learn_classifier line_interpolate_point
    luhn_check make_set_digest map_agg map_concat map_entries map_filter map_from_entries map_union
    map_zip_with merge multimap_agg multimap_from_entries murmur3 nan ngrams numeric_histogram
    parse_data_size parse_datetime parse_duration parse_presto_data_size qdigest_agg reduce_agg
    regexp_position regr_intercept regr_slope render repeat rgb shuffle sinh soundex spatial_partitions
    spooky_hash_v2_32 spooky_hash_v2_64 split_to_map split_to_multimap spooky_hash strrpos
    tdigest_agg timezone_hour timezone_minute to_base to_base32 to_base64url to_big_endian_32
    to_big_endian_64 to_char to_date to_ieee754_32 to_ieee754_64 to_timestamp
    transform_keys transform_values trim_array truncate url_decode url_encode url_extract_fragment
    url_extract_host url_extract_parameter url_extract_path url_extract_port url_extract_protocol
    url_extract_query value_at_quantile values_at_quantiles wilson_interval_lower
    wilson_interval_upper width_bucket with_timezone word_stem zip zip_with typeof
    bitwise_and_agg bitwise_or_agg bitwise_xor_agg max_n cosine_similarity e""".split()
)

KNOWN: Final = PARSED | SAME | RENAMED.keys() | REPAIRED | ONLY_ON_ATHENA

_INTEGERS: Final = {
    "tinyint": r"[+-]?\d{1,3}",
    "smallint": r"[+-]?\d{1,5}",
    "integer": r"[+-]?\d{1,10}",
    "bigint": r"[+-]?\d{1,19}",
}
_NUMBER: Final = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
_DATE: Final = r"\s*[+-]?\d+-\d{1,2}-\d{1,2}\s*"
_MOMENT: Final = r"\s*[+-]?\d+-\d{1,2}-\d{1,2}( \d{1,2}:\d{2}(:\d{2}(\.\d+)?)?)?\s*"


def _casts() -> list[str]:
    """Casts from text take what Trino takes; DuckDB would also take blanks, fractions and more.

    A wrong text is cast with a mark before it, so that the failure is the cast's own: TRY may
    stand around it, which `error()` does not allow.
    """
    made = []
    guarded = {
        **{name: (name, pattern) for name, pattern in _INTEGERS.items()},
        "double": ("double", _NUMBER + "|[+-]?(NaN|Infinity)"),
        "real": ("real", _NUMBER + "|[+-]?(NaN|Infinity)"),
        "date": ("date", _DATE),
        "boolean": ("boolean", "(?i)t|true|1|f|false|0"),
        "timestamp6": ("timestamp", _MOMENT),
    }
    for name, (kind, pattern) in guarded.items():
        # A half goes up, also where DuckDB takes the even neighbour.
        rounded = (
            "when typeof(x) in ('DOUBLE', 'FLOAT') "
            f"then {{cast}}(round(try_cast(cast(x as varchar) as double)) as {kind}) "
            if name in _INTEGERS
            else ""
        )
        made += [
            f"create macro trino_to_{name}(x) as case when typeof(x) = 'VARCHAR' and not "
            f"regexp_full_match(trim(cast(x as varchar)), '{pattern}') "
            f"then cast('Cannot cast ' || cast(x as varchar) as {kind}) "
            f"{rounded.format(cast='cast')}else cast(x as {kind}) end",
            f"create macro trino_try_to_{name}(x) as case when typeof(x) = 'VARCHAR' and not "
            f"regexp_full_match(trim(cast(x as varchar)), '{pattern}') then null "
            f"{rounded.format(cast='try_cast')}else try_cast(x as {kind}) end",
        ]
    # Fewer digits of a second: half up, where DuckDB cuts off.
    for digits, kind, step in ((3, "timestamp_ms", 1_000), (0, "timestamp_s", 1_000_000)):
        for name, cast in (("to", "trino_to_timestamp6"), ("try_to", "trino_try_to_timestamp6")):
            made.append(
                f"create macro trino_{name}_timestamp{digits}(x) as case "
                f"when typeof(x) in ('TIMESTAMP_MS', 'TIMESTAMP_S') and '{kind}' = 'timestamp_ms' "
                f"then cast({cast}(x) as {kind}) else cast(make_timestamp(cast(floor(("
                f"epoch_us({cast}(x)) + {step // 2}) / {step}e0) as bigint) * {step}) as {kind}) end"
            )
    return made


def _extremes() -> list[str]:
    made = []
    for name in ("greatest", "least"):
        for count in range(1, 9):
            names = [f"a{place}" for place in range(count)]
            nulls = " or ".join(f"{one} is null" for one in names)
            arguments = ", ".join(names)
            made.append(
                f"create or replace macro trino_{name}_{count}({arguments}) as "
                f"case when {nulls} then null else {name}({arguments}) end"
            )
    return made


def _units() -> list[str]:
    """date_diff counts what has elapsed, where DuckDB counts the boundaries that were crossed."""
    return [
        """create macro trino_date_diff(unit, a, b) as
            datesub(unit, cast(a as timestamp), cast(b as timestamp))""",
        "create macro trino_date_trunc(unit, x) as cast_to_type(date_trunc(unit, x), x)",
        "create macro trino_add_interval(x, i) as cast_to_type(x + i, x)",
        "create macro trino_subtract_interval(x, i) as cast_to_type(x - i, x)",
        """create macro trino_date_add(unit, n, x) as cast_to_type(x + case lower(unit)
            when 'millisecond' then to_milliseconds(n) when 'second' then to_seconds(n)
            when 'minute' then to_minutes(n) when 'hour' then to_hours(n)
            when 'day' then to_days(cast(n as integer)) when 'week' then to_weeks(cast(n as integer))
            when 'month' then to_months(cast(n as integer))
            when 'quarter' then to_months(cast(3 * n as integer))
            when 'year' then to_years(cast(n as integer)) end, x)""",
    ]


_IS_DOUBLE: Final = "(typeof(a) in ('DOUBLE', 'FLOAT') or typeof(b) in ('DOUBLE', 'FLOAT'))"
_IS_DECIMAL: Final = "(typeof(a) like 'DECIMAL%' or typeof(b) like 'DECIMAL%')"

MACROS: Final = (
    *_casts(),
    *_extremes(),
    *_units(),
    """create macro trino_text(x) as case typeof(x)
        when 'TIMESTAMP' then strftime(try_cast(cast(x as varchar) as timestamp), '%Y-%m-%d %H:%M:%S.%f')
        when 'TIMESTAMP_MS' then strftime(try_cast(cast(x as varchar) as timestamp), '%Y-%m-%d %H:%M:%S.%g')
        when 'TIMESTAMP_S' then strftime(try_cast(cast(x as varchar) as timestamp), '%Y-%m-%d %H:%M:%S')
        when 'DOUBLE' then trino_double_text(try_cast(cast(x as varchar) as double))
        when 'BLOB' then error('TYPE_MISMATCH: line 1:1: Cannot cast varbinary to varchar')
        else cast(x as varchar) end""",
    # A decimal's quotient is a decimal on Trino; DuckDB makes a double of it. Refused, not guessed.
    f"""create macro trino_divide(a, b) as case
        when {_IS_DECIMAL} and not {_IS_DOUBLE} then cast_to_type('LOCAL_SERVER_CANNOT: decimal division', a / nullif(b, 0))
        when b = 0 and {_IS_DOUBLE} then cast_to_type(
            case when a = 0 or isnan(a) then 'nan'
            when (a < 0) = (cast(b as varchar) like '-%') then 'inf' else '-inf' end, a / nullif(b, 0))
        when b = 0 then cast_to_type('Division by zero', a / nullif(b, 0))
        else a / b end""",
    f"""create macro trino_modulo(a, b) as case
        when b = 0 and not {_IS_DOUBLE} then cast_to_type('Division by zero', a % nullif(b, 0))
        else a % b end""",
    """create macro trino_substr(s, start) as case
        when start = 0 or -start > length(s) then '' else substr(s, start) end,
        (s, start, n) as case
        when start = 0 or -start > length(s) or n <= 0 then '' else substr(s, start, n) end""",
    """create macro trino_split_part(s, d, i) as case
        when i < 1 then error('INVALID_FUNCTION_ARGUMENT: Index must be greater than zero')
        when i > len(string_split(s, d)) then null else split_part(s, d, i) end""",
    """create macro trino_levenshtein_distance(a, b) as case
        when least(length(a), length(b)) > 0
        and greatest(length(a), length(b)) * (least(length(a), length(b)) - 1) > 1000000
        then error('INVALID_FUNCTION_ARGUMENT: The combined inputs for Levenshtein distance are too large')
        else levenshtein(a, b) end""",
    "create macro trino_codepoint(s) as unicode(s)",
    "create macro trino_chr(n) as chr(cast(n as integer))",
    # The days between two dates are a number on DuckDB, and an interval on Trino.
    """create macro trino_to_milliseconds(x) as case typeof(x)
        when 'INTERVAL' then cast(round(epoch(try_cast(cast(x as varchar) as interval)) * 1000) as bigint)
        else try_cast(cast(x as varchar) as bigint) * 86400000 end""",
    "create macro trino_date(x) as trino_to_date(x)",
    "create macro trino_to_unixtime(x) as epoch(cast(x as timestamp))",
    "create macro trino_from_unixtime(x) as to_timestamp(x)",
    "create macro trino_now() as date_trunc('milliseconds', now())",
    "create macro trino_current_timezone() as 'UTC'",
    """create macro trino_from_iso8601_timestamp(s) as cast(case
        when regexp_matches(s, '(Z|[+-]\\d\\d:?\\d\\d)$') then s
        when length(s) <= 10 then s || 'T00:00:00Z' else s || 'Z' end as timestamptz)""",
    "create macro trino_from_iso8601_date(s) as trino_to_date(s)",
    """create macro trino_to_iso8601(x) as case typeof(x) when 'DATE' then cast(x as varchar)
        else strftime(cast(x as timestamp), '%Y-%m-%dT%H:%M:%S.%g') end""",
    "create macro trino_millisecond(x) as millisecond(x) % 1000",
    "create macro trino_md5(b) as unhex(md5(b))",
    "create macro trino_sha1(b) as unhex(sha1(b))",
    "create macro trino_sha256(b) as unhex(sha256(b))",
    """create macro trino_regexp_extract(s, p) as
        case when regexp_matches(s, p) then regexp_extract(s, p) end,
        (s, p, g) as case when regexp_matches(s, p) then regexp_extract(s, p, g) end""",
    """create macro trino_regexp_extract_all(s, p) as regexp_extract_all(s, p),
        (s, p, g) as regexp_extract_all(s, p, g)""",
    "create macro trino_regexp_count(s, p) as len(regexp_extract_all(s, p))",
    """create macro trino_json_extract_scalar(j, p) as case
        when try_cast(cast(j as varchar) as json) is null
        or json_type(try_cast(cast(j as varchar) as json), p) in ('OBJECT', 'ARRAY', 'NULL')
        then null else json_extract_string(try_cast(cast(j as varchar) as json), p) end""",
    "create macro trino_json_extract(j, p) as json_extract(try_cast(cast(j as varchar) as json), p)",
    "create macro trino_json_parse(s) as cast(s as json)",
    "create macro trino_json_format(j) as cast(j as varchar)",
    "create macro trino_json_array_length(j) as json_array_length(cast(j as json))",
    "create macro trino_element_at(a, i) as a[i]",
    "create macro trino_array_sort(a) as list_sort(a, 'ASC', 'NULLS LAST')",
    """create macro trino_array_max(a) as
        case when len(list_filter(a, lambda x: x is null)) > 0 then null else list_max(a) end""",
    """create macro trino_array_min(a) as
        case when len(list_filter(a, lambda x: x is null)) > 0 then null else list_min(a) end""",
    """create macro trino_array_distinct(a) as
        list_filter(a, lambda x, i: list_position(a, x) = i)""",
    "create macro trino_array_union(a, b) as trino_array_distinct(list_concat(a, b))",
    "create macro trino_array_position(a, x) as coalesce(list_position(a, x), 0)",
    "create macro trino_array_remove(a, e) as list_filter(a, lambda x: x <> e)",
    """create macro trino_array_join(a, d) as
        array_to_string(list_transform(a, lambda x: trino_text(x)), d),
        (a, d, n) as array_to_string(list_transform(a, lambda x: coalesce(trino_text(x), n)), d)""",
    """create macro trino_slice(a, start, n) as case
        when start = 0 then error('INVALID_FUNCTION_ARGUMENT: SQL array indices start at 1')
        when start < 0 then a[len(a) + start + 1:len(a) + start + n] else a[start:start + n - 1] end""",
    """create macro trino_sequence(a, b) as generate_series(a, b),
        (a, b, c) as generate_series(a, b, c)""",
    "create macro trino_random() as random()",
    "create macro trino_rand() as random()",
    "create macro trino_uuid() as uuid()",
)


def _double_text(value: float) -> str:
    """Java's and Trino's text of a double: 1.0E10, 1.5E-5, NaN."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    mantissa, _, exponent = f"{value!r}".lower().partition("e")
    digits = mantissa.lstrip("-").replace(".", "")
    whole = mantissa.lstrip("-").partition(".")[0]
    stripped = digits.lstrip("0")
    if not stripped:
        return "-0.0E0" if str(value).startswith("-") else "0.0E0"
    power = int(exponent or 0) + len(whole) - 1 - (len(digits) - len(stripped))
    stripped = stripped.rstrip("0")
    text = f"{stripped[0]}.{stripped[1:] or '0'}E{power}"
    return ("-" if value < 0 else "") + text


_PRIMES: Final = (
    0x9E3779B185EBCA87,
    0xC2B2AE3D27D4EB4F,
    0x165667B19E3779F9,
    0x85EBCA77C2B2AE63,
    0x27D4EB2F165667C5,
)
_MASK: Final = (1 << 64) - 1


def _rotate(value: int, bits: int) -> int:
    return ((value << bits) | (value >> (64 - bits))) & _MASK


def _round(lane: int, word: int) -> int:
    return _rotate((lane + word * _PRIMES[1]) & _MASK, 31) * _PRIMES[0] & _MASK


def xxhash64(data: bytes) -> bytes:
    """XXH64 with seed 0, big endian (https://xxhash.com/doc); no wheel of it is in the lock."""
    size, place = len(data), 0
    if size >= 32:
        lanes = [
            (_PRIMES[0] + _PRIMES[1]) & _MASK,
            _PRIMES[1],
            0,
            (-_PRIMES[0]) & _MASK,
        ]
        while place <= size - 32:
            for lane in range(4):
                word = int.from_bytes(data[place : place + 8], "little")
                lanes[lane] = _round(lanes[lane], word)
                place += 8
        value = sum(_rotate(lanes[n], bits) for n, bits in enumerate((1, 7, 12, 18))) & _MASK
        for lane in lanes:
            value = ((value ^ _round(0, lane)) * _PRIMES[0] + _PRIMES[3]) & _MASK
    else:
        value = _PRIMES[4]
    value = (value + size) & _MASK
    while place + 8 <= size:
        value ^= _round(0, int.from_bytes(data[place : place + 8], "little"))
        value = (_rotate(value, 27) * _PRIMES[0] + _PRIMES[3]) & _MASK
        place += 8
    if place + 4 <= size:
        value ^= int.from_bytes(data[place : place + 4], "little") * _PRIMES[0] & _MASK
        value = (_rotate(value, 23) * _PRIMES[1] + _PRIMES[2]) & _MASK
        place += 4
    for byte in data[place:]:
        value = _rotate(value ^ (byte * _PRIMES[4] & _MASK), 11) * _PRIMES[0] & _MASK
    value = (value ^ (value >> 33)) * _PRIMES[1] & _MASK
    value = (value ^ (value >> 29)) * _PRIMES[2] & _MASK
    return (value ^ (value >> 32)).to_bytes(8, "big")


def _each(convert: Any, kind: pa.DataType, arity: int) -> Any:
    """A column function from a function of one or two values; NULL stays NULL."""

    def one(column: Any) -> pa.Array:
        return pa.array([None if x is None else convert(x) for x in column.to_pylist()], kind)

    def two(left: Any, right: Any) -> pa.Array:
        values = zip(left.to_pylist(), right.to_pylist(), strict=True)
        return pa.array([None if None in row else convert(*row) for row in values], kind)

    return one if arity == 1 else two


def _normalizer(form: str) -> Any:
    def column(texts: Any) -> Any:
        return pc.utf8_normalize(texts, form=form)

    return column


def install(connection: duckdb.DuckDBPyConnection) -> None:
    """Teach a DuckDB database Trino's functions; every cursor of it knows them then."""
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        connection.create_function(
            f"trino_normalize_{form.lower()}",
            _normalizer(form),
            ["VARCHAR"],
            "VARCHAR",
            type="arrow",
        )
    functions: tuple[tuple[str, Any, list[str], str, pa.DataType], ...] = (
        ("trino_xxhash64", xxhash64, ["BLOB"], "BLOB", pa.binary()),
        (
            "trino_from_big_endian_64",
            lambda data: int.from_bytes(data, "big", signed=True),
            ["BLOB"],
            "BIGINT",
            pa.int64(),
        ),
        ("trino_double_text", _double_text, ["DOUBLE"], "VARCHAR", pa.string()),
        (
            "trino_hmac_sha256",
            lambda data, key: hmac.digest(key, data, "sha256"),
            ["BLOB", "BLOB"],
            "BLOB",
            pa.binary(),
        ),
        (
            "trino_sha512",
            lambda data: hashlib.sha512(data).digest(),
            ["BLOB"],
            "BLOB",
            pa.binary(),
        ),
    )
    for name, convert, takes, gives, kind in functions:
        column = _each(convert, kind, len(takes))
        connection.create_function(name, column, takes, gives, type="arrow")  # pyright: ignore[reportArgumentType]
    for macro in MACROS:
        connection.execute(macro)
