"""The model that says how likely two records are one person, and its JSON file.

One file is the whole model: comparisons with their levels, blocking rules, vetoes, term
frequencies. dbt compiles it to SQL, Splink scores the same from it; the conditions are therefore
SQL that DuckDB and Athena both read, and `from_json` refuses anything else.

Not here: which comparisons there are (`comparisons.py`), where their numbers come from
(`training.py`), the SQL (`dbt_project/macros/identity`).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

from cdp_assets.errors import PlatformError

FORMAT: Final = 1
DEFAULT_MODEL: Final = Path(__file__).parent / "models" / "default.json"
ELSE: Final = "else"

# What a condition (with _l or _r) and a blocking key may read.
MATCH_COLUMNS: Final = (
    "first_name",
    "first_name_key",
    "last_name",
    "birth_date",
    "birth_days",
    "gender",
    "email",
    "phone",
    "other_phone",
    "street",
    "city",
    "state",
    "postcode",
    "national_id",
    "loyalty_id",
    "first_name_sound",
    "first_name_letters",
    "last_name_sound",
    "full_name",
)
# Both engines have them and agree on them; the macro spells levenshtein for Athena. Not least and
# greatest: the engines differ where an argument is NULL.
FUNCTIONS: Final = frozenset(
    (
        "levenshtein substr length abs coalesce nullif split_part reverse replace translate cast"
    ).split()
)
_KEYWORDS: Final = frozenset(
    (
        "and or not is null in like between case when then else end as integer varchar true false"
    ).split()
)
_TOKENS: Final = re.compile(r"'[^']*'|[a-z_][a-z0-9_]*|[0-9]+(?:\.[0-9]+)?|<>|<=|>=|\|\||\S")
_SYMBOLS: Final = frozenset(("<>", "<=", ">=", "||", "=", "<", ">", "(", ")", ",", "+", "-", "*"))
_COMMENT: Final = "--"
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


@dataclass(frozen=True)
class Level:
    """One degree of agreement of a comparison.

    Attributes:
        label: for people, unique within its comparison.
        condition: SQL over `<column>_l` and `<column>_r`; `else` in the last level.
        m: share of pairs of one person that are on this level; None on the null level.
        u: share of pairs of two people that are; None on the null level.
        is_null: nothing can be said, the weight is 0.
        tf_column: the column whose term frequency replaces u.
        tf_weight: how much of that replacement counts, 0 to 1.
        tf_minimum: frequencies below are taken for this one.
    """

    label: str
    condition: str
    m: float | None = None
    u: float | None = None
    is_null: bool = False
    tf_column: str | None = None
    tf_weight: float = 1.0
    tf_minimum: float = 0.0

    @property
    def weight(self) -> float:
        """log2(m / u), before any term frequency; 0 on the null level."""
        return 0.0 if self.m is None or self.u is None else math.log2(self.m / self.u)


@dataclass(frozen=True)
class Comparison:
    """Levels of agreement of one fact about two records; the first that holds counts.

    Attributes:
        name: `gamma_<name>` is the column of its level number.
        levels: the null level first, the `else` level last.
    """

    name: str
    levels: tuple[Level, ...]

    def numbered(self) -> list[tuple[int, Level]]:
        """Levels with their numbers, as Splink numbers them: null -1, else 0, the first highest."""
        known = [level for level in self.levels if not level.is_null]
        numbers = {id(level): len(known) - 1 - place for place, level in enumerate(known)}
        return [(numbers.get(id(level), -1), level) for level in self.levels]


@dataclass(frozen=True)
class BlockingRule:
    """Records with the same key are compared.

    Attributes:
        name: of the rule.
        key: SQL over the columns of a record; NULL puts a record in no block.
        max_records: a block with more makes no pair; None leaves it to the settings alone.
    """

    name: str
    key: str
    max_records: int | None = None


@dataclass(frozen=True)
class Veto:
    """A finding that no weight outweighs.

    Attributes:
        reason: the name under which it is reported.
        condition: SQL over `gamma_<comparison>`.
    """

    reason: str
    condition: str


@dataclass(frozen=True)
class TermFrequencies:
    """How common the values of one column are.

    Attributes:
        default: the frequency of a value that is not listed.
        values: frequency by value, common values only.
    """

    default: float
    values: Mapping[str, float]


@dataclass(frozen=True)
class MatchModel:
    """A Fellegi-Sunter model with blocking, vetoes and term frequencies.

    Attributes:
        version: names the model in every row it scored.
        prior: probability that two random records are one person.
        comparisons: in the order in which they are shown.
        blocking: which pairs are compared at all.
        vetoes: which of them are refused, whatever their weight.
        doubts: which of them are left to people, whatever their weight.
        term_frequencies: by column.
        trained_at: ISO time, None for one that was not trained.
        report: how it was trained; free form.
    """

    version: str
    prior: float
    comparisons: tuple[Comparison, ...]
    blocking: tuple[BlockingRule, ...]
    vetoes: tuple[Veto, ...]
    term_frequencies: Mapping[str, TermFrequencies]
    doubts: tuple[Veto, ...] = ()
    trained_at: str | None = None
    report: Mapping[str, Any] = field(default_factory=dict)

    @property
    def prior_weight(self) -> float:
        """log2 of the prior odds."""
        return math.log2(self.prior / (1 - self.prior))

    @property
    def tf_columns(self) -> tuple[str, ...]:
        """Columns whose term frequency some level asks for, in order of the match records."""
        asked = {level.tf_column for item in self.comparisons for level in item.levels}
        return tuple(column for column in MATCH_COLUMNS if column in asked)

    def compact_json(self) -> str:
        """The model without term frequencies and report, as one line: what the SQL needs."""
        content = _to_json(self)
        for name in ("trained_at", "report", "term_frequencies"):
            del content[name]
        content["tf_columns"] = list(self.tf_columns)
        return json.dumps(content, separators=(",", ":"))

    def dump(self) -> bytes:
        """The model file: the same model gives the same bytes."""
        return (json.dumps(_to_json(self), indent=1, ensure_ascii=False) + "\n").encode()

    def term_frequency_rows(self) -> list[tuple[str, str, float]]:
        """(field, value, frequency) of every listed value, and each field's default under ''."""
        rows: list[tuple[str, str, float]] = []
        for column, frequencies in self.term_frequencies.items():
            rows.append((column, "", frequencies.default))
            rows.extend((column, value, share) for value, share in frequencies.values.items())
        return rows


def load_default() -> MatchModel:
    """The model that ships with the platform.

    Raises:
        PlatformError: the file is damaged.
    """
    return from_json(DEFAULT_MODEL.read_bytes(), str(DEFAULT_MODEL.name))


def from_json(content: bytes | str, origin: str) -> MatchModel:
    """Read a model file.

    Args:
        content: JSON.
        origin: where it is from, for messages.

    Raises:
        PlatformError: it is no model; the message names the field.
    """
    try:
        parsed = json.loads(content)
    except ValueError as error:
        raise PlatformError(f"identity model {origin} is no JSON: {error}") from error
    return _Reader(origin).model(parsed)


def _to_json(model: MatchModel) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": model.version,
        "trained_at": model.trained_at,
        "report": dict(model.report),
        "probability_two_random_records_match": model.prior,
        "comparisons": [
            {"name": item.name, "levels": [_level_to_json(level) for level in item.levels]}
            for item in model.comparisons
        ],
        "blocking": [
            {"name": rule.name, "key": rule.key}
            | ({} if rule.max_records is None else {"max_records": rule.max_records})
            for rule in model.blocking
        ],
        "vetoes": [{"reason": veto.reason, "condition": veto.condition} for veto in model.vetoes],
        "doubts": [{"reason": veto.reason, "condition": veto.condition} for veto in model.doubts],
        "term_frequencies": {
            column: {"default": item.default, "values": dict(item.values)}
            for column, item in model.term_frequencies.items()
        },
    }


def _level_to_json(level: Level) -> dict[str, Any]:
    content: dict[str, Any] = {"label": level.label, "condition": level.condition}
    if level.is_null:
        return content | {"is_null": True}
    content |= {"m": level.m, "u": level.u}
    if level.tf_column is not None:
        content |= {
            "tf_column": level.tf_column,
            "tf_weight": level.tf_weight,
            "tf_minimum": level.tf_minimum,
        }
    return content


class _Reader:
    """Turns JSON into a model, or says which field is wrong."""

    def __init__(self, origin: str) -> None:
        self._origin = origin

    def model(self, content: Any) -> MatchModel:
        self._object(content, "the file")
        if content.get("format") != FORMAT:
            self._fail("format", f"must be {FORMAT}; this platform reads no other")
        version = content.get("version")
        if not isinstance(version, str) or not VERSION.fullmatch(version):
            self._fail("version", "must be up to 63 letters, digits, '_', '.' or '-'")
        comparisons = tuple(
            self._comparison(item, f"comparisons[{place}]")
            for place, item in enumerate(self._list(content, "comparisons"))
        )
        self._distinct([item.name for item in comparisons], "comparisons", "name")
        model = MatchModel(
            version=version,
            prior=self._share(content, "probability_two_random_records_match", ""),
            comparisons=comparisons,
            blocking=self._blocking(content),
            vetoes=self._vetoes(content, "vetoes", [item.name for item in comparisons]),
            doubts=self._vetoes(content, "doubts", [item.name for item in comparisons]),
            term_frequencies=self._term_frequencies(content),
            trained_at=content.get("trained_at"),
            report=content.get("report") or {},
        )
        for column in model.tf_columns:
            if column not in model.term_frequencies:
                self._fail("term_frequencies", f"lacks {column}, which a level asks for")
        return model

    def _comparison(self, content: Any, path: str) -> Comparison:
        self._object(content, path)
        name = self._name(content, "name", path)
        levels = tuple(
            self._level(item, f"{path}.levels[{place}]")
            for place, item in enumerate(self._list(content, "levels", path))
        )
        self._distinct([level.label for level in levels], f"{path}.levels", "label")
        if sum(level.is_null for level in levels) != 1 or not levels[0].is_null:
            self._fail(f"{path}.levels", "must begin with its one null level")
        if [level.condition == ELSE for level in levels] != [False] * (len(levels) - 1) + [True]:
            self._fail(f"{path}.levels", "must end with its one 'else' level")
        return Comparison(name, levels)

    def _level(self, content: Any, path: str) -> Level:
        self._object(content, path)
        label = self._text(content, "label", path)
        condition = self._text(content, "condition", path)
        if condition != ELSE:
            sides = {f"{column}_{side}" for column in MATCH_COLUMNS for side in "lr"}
            self._sql(condition, sides, f"{path}.condition")
        if content.get("is_null", False):
            return Level(label, condition, is_null=True)
        tf_column = content.get("tf_column")
        if tf_column is not None and tf_column not in MATCH_COLUMNS:
            self._fail(f"{path}.tf_column", "is no column of the match records")
        return Level(
            label,
            condition,
            m=self._share(content, "m", path),
            u=self._share(content, "u", path),
            tf_column=tf_column,
            tf_weight=self._number(content, "tf_weight", path, 1.0),
            tf_minimum=self._number(content, "tf_minimum", path, 0.0),
        )

    def _blocking(self, content: Any) -> tuple[BlockingRule, ...]:
        rules: list[BlockingRule] = []
        for place, item in enumerate(self._list(content, "blocking")):
            path = f"blocking[{place}]"
            self._object(item, path)
            key = self._text(item, "key", path)
            self._sql(key, set(MATCH_COLUMNS), f"{path}.key")
            most = item.get("max_records")
            if most is not None and (not isinstance(most, int) or most < 2):
                self._fail(f"{path}.max_records", "must be a whole number from 2 on")
            rules.append(BlockingRule(self._name(item, "name", path), key, most))
        self._distinct([rule.name for rule in rules], "blocking", "name")
        return tuple(rules)

    def _vetoes(self, content: Any, name: str, comparisons: Sequence[str]) -> tuple[Veto, ...]:
        vetoes: list[Veto] = []
        for place, item in enumerate(self._list(content, name, empty=True)):
            path = f"{name}[{place}]"
            self._object(item, path)
            condition = self._text(item, "condition", path)
            self._sql(condition, {f"gamma_{each}" for each in comparisons}, f"{path}.condition")
            vetoes.append(Veto(self._name(item, "reason", path), condition))
        self._distinct([veto.reason for veto in vetoes], name, "reason")
        return tuple(vetoes)

    def _term_frequencies(self, content: Any) -> dict[str, TermFrequencies]:
        found = content.get("term_frequencies", {})
        self._object(found, "term_frequencies")
        result: dict[str, TermFrequencies] = {}
        for column, item in found.items():
            path = f"term_frequencies.{column}"
            if column not in MATCH_COLUMNS:
                self._fail(path, "is no column of the match records")
            self._object(item, path)
            values = item.get("values")
            self._object(values, f"{path}.values")
            if not all(_is_share(share) for share in values.values()):
                self._fail(f"{path}.values", "must all lie above 0 and at most at 1")
            result[column] = TermFrequencies(self._share(item, "default", path), values)
        return result

    def _sql(self, sql: str, columns: set[str], path: str) -> None:
        """Refuse what the engines might read differently, and what is no expression."""
        if _COMMENT in sql:
            self._fail(path, "holds a comment")
        depth = 0
        for token in _TOKENS.findall(sql):
            depth += {"(": 1, ")": -1}.get(token, 0)
            known = token in columns or token in FUNCTIONS or token in _KEYWORDS
            if depth < 0 or not (known or token in _SYMBOLS or token[0] in "'0123456789"):
                self._fail(path, f"holds {token!r}, which is no column or function of a condition")
        if depth:
            self._fail(path, "has an open bracket")

    def _share(self, content: Any, name: str, path: str) -> float:
        value = content.get(name)
        if not _is_share(value):
            self._fail(_join(path, name), "must be a number above 0 and at most 1")
        return float(value)

    def _number(self, content: Any, name: str, path: str, default: float) -> float:
        value = content.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            self._fail(_join(path, name), "must be a number from 0 to 1")
        return float(value)

    def _name(self, content: Any, name: str, path: str) -> str:
        value = content.get(name)
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            self._fail(_join(path, name), "must be a name in small letters")
        return value

    def _text(self, content: Any, name: str, path: str) -> str:
        value = content.get(name)
        if not isinstance(value, str) or not value:
            self._fail(_join(path, name), "must be a text")
        return value

    def _list(self, content: Any, name: str, path: str = "", *, empty: bool = False) -> list[Any]:
        value = content.get(name)
        if not isinstance(value, list) or not (value or empty):
            self._fail(_join(path, name), "must be a list" + ("" if empty else " and not empty"))
        return value

    def _object(self, content: Any, path: str) -> None:
        if not isinstance(content, dict):
            self._fail(path, "must be an object")

    def _distinct(self, names: Sequence[str], path: str, what: str) -> None:
        if len(set(names)) < len(names):
            self._fail(path, f"names the same {what} twice")

    def _fail(self, path: str, why: str) -> NoReturn:
        raise PlatformError(f"identity model {self._origin}: {path} {why}")


def _is_share(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | float) and 0 < value <= 1


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
