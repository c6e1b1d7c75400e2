"""From Athena's SQL (Trino's) to DuckDB's.

Here: what Athena refuses, the parsing, and the repairs: one function for each place where the two
engines read the same words differently. Not here: what functions mean (`functions`), where tables
lie (`catalog`), statements that Hive's grammar reads (`ddl`).

A function call `foo(...)` is parsed as `trino_foo(...)`, so that sqlglot's own idea of foo cannot
come between: each name goes through the lists of `functions`.
"""

# sqlglot hands its expressions on without saying so to type checkers.
# pyright: reportPrivateImportUsage=false, reportArgumentType=false

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.tokens import Token, TokenType

from tests.athena_local.errors import AthenaFailure, not_here
from tests.athena_local.functions import KNOWN, ONLY_ON_ATHENA, PARSED, RENAMED, REPAIRED, SAME

QUERY_BYTES: Final = 262_144
_PREFIX: Final = "trino_"

Resolve = Callable[[exp.Table], exp.Expression]


def position(sql: str, offset: int) -> str:
    """Where in the text, as Athena says it: `line 2:14`, both from 1."""
    before = sql[:offset]
    return f"line {before.count(chr(10)) + 1}:{offset - (before.rfind(chr(10)) + 1) + 1}"


def parse(sql: str) -> exp.Expression:
    """One statement of Trino's grammar, with its function calls marked.

    Raises:
        AthenaFailure: Athena would not read it, or knows no such function.
    """
    sql = _close_up_bytes(sql)
    tokens = _tokens(sql)
    _refuse_words(sql, tokens)
    try:
        statements = sqlglot.parse(_mark_functions(sql, tokens), dialect="trino")
    except SqlglotError as error:
        raise AthenaFailure("SYNTAX_ERROR", _parse_message(sql, error)) from error
    if len(statements) != 1 or statements[0] is None:
        raise AthenaFailure("SYNTAX_ERROR", "line 1:1: Only one sql statement is allowed")
    tree = statements[0]
    if isinstance(tree, exp.Command):
        raise AthenaFailure("SYNTAX_ERROR", f"line 1:1: mismatched input '{tree.name}'")
    _refuse_shapes(tree)
    return tree  # pyright: ignore[reportReturnType]


def to_duckdb(tree: exp.Expression, resolve: Resolve) -> str:
    """The statement as DuckDB reads it; `resolve` says what stands for a table."""
    tree = place_tables(tree, resolve)
    # From the leaves up: a repair may wrap what lies below it, and that is repaired by then.
    for node in reversed(list(tree.walk(bfs=True))):
        for repair in REPAIRS:
            repaired = repair(node)
            if repaired is not node:
                if node is tree:
                    tree = repaired
                else:
                    node.replace(repaired)
                break
    return tree.sql("duckdb", identify=True)


def name_columns(tree: exp.Expression) -> None:
    """Give each column of the result that has no name Trino's: `_col0`, `_col1`, ..."""
    query = tree
    while isinstance(query, (exp.SetOperation, exp.Subquery)):
        query = query.this
    if not isinstance(query, exp.Select):
        return
    for place, column in enumerate(query.expressions):
        if not isinstance(column, (exp.Alias, exp.Aliases, exp.Column, exp.Star)):
            column.replace(exp.alias_(column.copy(), f"_col{place}", quoted=True))


def _close_up_bytes(sql: str) -> str:
    """`X'00 01'` without its blanks, which sqlglot does not read; all else keeps its place."""

    def close_up(match: re.Match[str]) -> str:
        return f"X'{match[1].replace(' ', '')}'".ljust(len(match[0]))

    return re.sub(r"\b[xX]'([0-9a-fA-F ]+)'", close_up, sql)


def _parse_message(sql: str, error: SqlglotError) -> str:
    details = getattr(error, "errors", None) or [{}]
    line, column = details[0].get("line") or 1, details[0].get("col") or 1
    near = details[0].get("highlight") or ""
    return f"line {line}:{column}: mismatched input '{near}'"


# --- what Athena refuses ----------------------------------------------------------------------

_WORDS: Final = {
    TokenType.DCOLON: "'::'",
    TokenType.QUALIFY: "'qualify'",
    TokenType.ILIKE: "'ilike'",
    TokenType.DIV: "'div'",
    TokenType.RLIKE: "'rlike'",
    TokenType.L_BRACE: "'{'",
    TokenType.SEMI: "'semi'",
    TokenType.ANTI: "'anti'",
    TokenType.ASOF: "'asof'",
    TokenType.PIVOT: "'pivot'",
    TokenType.GLOB: "'glob'",
}
# A bracket opens an element only after one of these; elsewhere it would be a list of DuckDB's.
_BEFORE_BRACKET: Final = frozenset(
    {TokenType.VAR, TokenType.IDENTIFIER, TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.ARRAY}
)
_QUERY_WORDS: Final = frozenset({"materialized", "sample", "exclude"})


def _tokens(sql: str) -> list[Token]:
    try:
        return sqlglot.tokenize(sql, dialect="trino")
    except SqlglotError as error:
        raise AthenaFailure("SYNTAX_ERROR", f"line 1:1: {error}") from error


def _refuse_words(sql: str, tokens: list[Token]) -> None:
    """Words and signs that sqlglot is lenient about and Trino's grammar does not have."""
    for place, token in enumerate(tokens):
        before = tokens[place - 1] if place else None
        after = tokens[place + 1] if place + 1 < len(tokens) else None
        word = token.text.lower()
        wrong = _WORDS.get(token.token_type)
        if token.token_type is TokenType.L_BRACKET and (
            before is None or before.token_type not in _BEFORE_BRACKET
        ):
            wrong = "'['"
        elif token.token_type is TokenType.EQ and sql[token.start : token.start + 2] == "==":
            wrong = "'='"
        elif sql[token.start : token.start + 1] == "`":
            wrong = "'`'"
        elif word == "materialized" and before and before.text.lower() in ("as", "not"):
            wrong = "'materialized'"
        elif word == "exclude" and before and before.token_type is TokenType.STAR:
            wrong = "'exclude'"
        elif word == "all" and before and before.text.lower() in ("group by", "order by"):
            wrong = "'all'"
        elif word == "interval" and after and after.token_type is TokenType.NUMBER:
            wrong = f"'{after.text}'"
        if wrong:
            raise AthenaFailure(
                "SYNTAX_ERROR", f"{position(sql, token.start)}: mismatched input {wrong}"
            )


_NOT_A_CALL: Final = frozenset(
    """in exists over values and or not on when then else select from where using insert group by
    partition with within as union all except intersect distinct case between like is any some
    having limit offset set into array decimal varchar char timestamp time row map grouping sets
    rollup cube order lateral table interval recursive update merge matched join inner left right
    full outer cross natural first last rows range groups preceding following escape end return
    returns unload to filter ignore respect date tablesample varbinary bucket truncate_ numeric
    dec double bigint integer zone for columns""".split()
)
# Both a function and a word of the grammar.
_BOTH: Final = frozenset({"filter", "map", "row", "date", "replace", "if", "left", "right"})


def _calls(tokens: list[Token]) -> Iterator[Token]:
    """The tokens that are names of called functions."""
    for place, token in enumerate(tokens[:-1]):
        if tokens[place + 1].token_type is not TokenType.L_PAREN:
            continue
        word = token.text.lower()
        before = tokens[place - 1] if place else None
        if not re.fullmatch(r"[a-z_]\w*", word) or token.token_type is TokenType.IDENTIFIER:
            continue
        if word in _BOTH:
            if _is_call_of_both(word, tokens, place):
                yield token
            continue
        if word in _NOT_A_CALL:
            continue
        if before is not None and _names_a_relation(before, tokens, place):
            continue
        yield token


def _is_call_of_both(word: str, tokens: list[Token], place: int) -> bool:
    before = tokens[place - 1] if place else None
    after = tokens[place + 2].text.lower() if place + 2 < len(tokens) else ""
    if word == "filter":
        return after != "where"
    if word in ("left", "right"):
        return False
    # `as row(...)`, `as map(...)` are types.
    return not (before is not None and before.text.lower() == "as")


def _names_a_relation(before: Token, tokens: list[Token], place: int) -> bool:
    """Whether `name (` after `before` gives a relation its columns: `t (a, b)`, `as t (a, b)`."""
    if before.token_type in (TokenType.DOT, TokenType.INTO):
        return True
    if before.text.lower() in ("as", "with", "recursive"):
        return True
    if before.token_type in (TokenType.R_PAREN, TokenType.IDENTIFIER, TokenType.VAR):
        return True
    # `, name (a, b) as (`: another CTE with named columns.
    if before.token_type is TokenType.COMMA:
        depth = 0
        for index in range(place + 1, len(tokens)):
            kind = tokens[index].token_type
            depth += (kind is TokenType.L_PAREN) - (kind is TokenType.R_PAREN)
            if depth == 0:
                after = [one.text.lower() for one in tokens[index + 1 : index + 3]]
                return after == ["as", "("]
    return False


def _mark_functions(sql: str, tokens: list[Token]) -> str:
    """The text with `trino_` before each function that is not read by its own grammar."""
    parts, last = [], 0
    for start, end, text in sorted([*_marks(sql, tokens), *_literals(tokens)]):
        parts += [sql[last:start], text]
        last = end
    return "".join([*parts, sql[last:]])


def _marks(sql: str, tokens: list[Token]) -> Iterator[tuple[int, int, str]]:
    for token in _calls(tokens):
        name = token.text.lower()
        if name not in KNOWN:
            raise AthenaFailure(
                "FUNCTION_NOT_FOUND",
                f"{position(sql, token.start)}: Function '{name}' not registered",
            )
        if name in PARSED:
            continue
        if name in ONLY_ON_ATHENA and name not in SAME | RENAMED.keys() | REPAIRED:
            raise not_here(f"function {name}")
        yield token.start, token.end + 1, f"{_PREFIX}{name}"


def _literals(tokens: list[Token]) -> Iterator[tuple[int, int, str]]:
    """Literals whose text says more than their type, which a cast would forget."""
    for kind, value in pairwise(tokens):
        if value.token_type is not TokenType.STRING:
            continue
        if kind.token_type is TokenType.DECIMAL:
            whole, _, fraction = value.text.lstrip("+-").partition(".")
            digits = max(1, len(whole.lstrip("0")) + len(fraction))
            text = f"cast('{value.text}' as decimal({digits}, {len(fraction)}))"
            yield kind.start, value.end + 1, text
        elif kind.token_type is TokenType.TIMESTAMP:
            moment = re.fullmatch(r"(\S+ [\d:.]+) ?([A-Za-z+-].*)", value.text)
            if moment and not re.fullmatch(r"(?i)utc|gmt|z|[+-]0{1,2}(:?00)?", moment[2]):
                raise not_here("a time zone other than UTC")
            if moment:
                text = f"cast('{moment[1]} UTC' as timestamp with time zone)"
                yield kind.start, value.end + 1, text


# https://trino.io/docs/current/language/reserved.html
_RESERVED: Final = frozenset(
    """alter and as between by case cast constraint create cross cube current_catalog current_date
    current_path current_role current_schema current_time current_timestamp current_user deallocate
    delete describe distinct drop else end escape except execute exists extract false for from full
    group grouping having in inner insert intersect into is join json_array json_exists json_object
    json_query json_table json_value left like listagg localtime localtimestamp natural normalize
    not null on or order outer prepare recursive right rollup select skip table then trim true
    uescape union unnest using values when where with""".split()
)


def _refuse_shapes(tree: exp.Expression) -> None:
    """Statements that parse and that Athena does not have."""
    if isinstance(tree, exp.Create):
        if tree.args.get("replace") and tree.kind == "TABLE":
            raise AthenaFailure("SYNTAX_ERROR", "line 1:8: mismatched input 'or'")
        if tree.find(exp.TemporaryProperty):
            raise AthenaFailure("SYNTAX_ERROR", "line 1:8: mismatched input 'temporary'")
    for name in tree.find_all(exp.Identifier):
        if not name.quoted and name.name.lower() in _RESERVED:
            raise AthenaFailure("SYNTAX_ERROR", f"line 1:1: mismatched input '{name.name}'")
    for star in tree.find_all(exp.Star):
        if any(star.args.get(name) for name in ("except_", "except", "replace", "rename")):
            raise AthenaFailure("SYNTAX_ERROR", "line 1:1: mismatched input after '*'")
    for query in tree.find_all(exp.Select):
        if not query.expressions:
            raise AthenaFailure("SYNTAX_ERROR", "line 1:1: mismatched input 'from'")


# --- tables -----------------------------------------------------------------------------------


def place_tables(tree: exp.Expression, resolve: Resolve) -> exp.Expression:
    """Put in place of each table what stands for it; names of CTEs stay."""
    for table in list(tree.find_all(exp.Table)):
        if isinstance(table.this, exp.Func) or not isinstance(table.this, exp.Identifier):
            continue
        if not table.db and _is_cte(table):
            continue
        alias = table.args.get("alias") or exp.TableAlias(this=exp.to_identifier(table.name))
        source = resolve(table)
        source.set("alias", alias)
        if table is tree:
            return source
        for name in ("joins", "laterals"):
            if table.args.get(name):
                source.set(name, table.args[name])
        table.replace(source)
    # `db.t.column` and `t.column` are the same column.
    for column in tree.find_all(exp.Column):
        column.set("db", None)
        column.set("catalog", None)
    return tree


def _is_cte(table: exp.Table) -> bool:
    name = table.name.lower()
    child: exp.Expression = table
    while (parent := child.parent) is not None:
        if isinstance(parent, exp.With):
            for cte in parent.expressions:
                if cte is child and not parent.args.get("recursive"):
                    break
                if cte.alias.lower() == name:
                    return True
                if cte is child:
                    break
        else:
            scope = parent.args.get("with_") or parent.args.get("with")
            if (
                scope is not None
                and scope is not child
                and any(cte.alias.lower() == name for cte in scope.expressions)
            ):
                return True
        child = parent  # pyright: ignore[reportAssignmentType]
    return False


# --- repairs ----------------------------------------------------------------------------------


def _call(name: str, *arguments: exp.Expression | None) -> exp.Anonymous:
    return exp.Anonymous(this=name, expressions=[one for one in arguments if one is not None])


def _is_literal_from_one(node: exp.Expression | None) -> bool:
    return isinstance(node, exp.Literal) and node.is_int and int(node.name) >= 1


def name_functions(node: exp.Expression) -> exp.Expression:
    """Each marked call gets DuckDB's name, or that of the macro with Trino's meaning."""
    if not isinstance(node, exp.Anonymous) or not node.name.startswith(_PREFIX):
        return node
    name = node.name.removeprefix(_PREFIX)
    arguments = node.expressions
    special = _SPECIAL.get(name)
    if special is not None:
        return special(arguments)
    if name in REPAIRED:
        return node
    node.set("this", RENAMED.get(name, name))
    return node


def _concat(arguments: list[exp.Expression]) -> exp.Expression:
    """NULL with anything is NULL; DuckDB's concat leaves it out."""
    tree = arguments[0]
    for argument in arguments[1:]:
        tree = exp.DPipe(this=tree, expression=argument)
    return exp.Paren(this=tree)


def _regexp_replace(arguments: list[exp.Expression]) -> exp.Expression:
    """All matches; `$1` is a group."""
    text, pattern, *rest = arguments
    replacement = rest[0] if rest else exp.Literal.string("")
    if isinstance(replacement, exp.Literal):
        plain = replacement.name.replace("\\", "\\\\") if "$" not in replacement.name else None
        spelled = plain if plain is not None else re.sub(r"\$(\d)", r"\\\1", replacement.name)
        replacement = exp.Literal.string(spelled)
    elif not isinstance(replacement, exp.Null):
        raise not_here("regexp_replace with a replacement that is no literal")
    return _call("regexp_replace", text, pattern, replacement, exp.Literal.string("g"))


def _extremes(name: str) -> Callable[[list[exp.Expression]], exp.Expression]:
    """NULL if any is NULL; DuckDB leaves NULL out."""

    def build(arguments: list[exp.Expression]) -> exp.Expression:
        if len(arguments) > 8:
            raise not_here(f"{name} of more than eight values")
        return _call(f"trino_{name}_{len(arguments)}", *arguments)

    return build


def _substr(arguments: list[exp.Expression]) -> exp.Expression:
    """From 0 nothing, and nothing from before the beginning; DuckDB begins at 1."""
    is_plain = _is_literal_from_one(arguments[1]) and len(arguments) == 2
    return _call("substr" if is_plain else "trino_substr", *arguments)


def _reduce(arguments: list[exp.Expression]) -> exp.Expression:
    array, start, step, finish = arguments
    folded = _call("list_reduce", array, step, start)
    if not isinstance(finish, exp.Lambda):
        raise not_here("reduce without a lambda at its end")
    return _call(
        "list_extract",
        _call("list_transform", exp.Array(expressions=[folded]), finish),
        exp.Literal.number(1),
    )


def _matches(template: str) -> Callable[[list[exp.Expression]], exp.Expression]:
    def build(arguments: list[exp.Expression]) -> exp.Expression:
        found = _call("len", _call("list_filter", *arguments))
        if template == "any":
            return exp.Paren(this=exp.GT(this=found, expression=exp.Literal.number(0)))
        total = exp.Literal.number(0) if template == "none" else _call("len", arguments[0].copy())
        return exp.Paren(this=exp.EQ(this=found, expression=total))

    return build


def _replace(arguments: list[exp.Expression]) -> exp.Expression:
    """By nothing, where it does not say by what."""
    by = arguments[2] if len(arguments) > 2 else exp.Literal.string("")
    return _call("replace", arguments[0], arguments[1], by)


def _in_utc(value: exp.Expression, zone: exp.Expression | None) -> exp.Expression:
    if not (isinstance(zone, exp.Literal) and zone.name.upper() in ("UTC", "GMT", "Z")):
        raise not_here("a time zone other than UTC")
    return exp.Cast(this=value, to=exp.DataType.build("timestamptz", dialect="duckdb"))


_FORMATS: Final = {"%i": "%M", "%s": "%S", "%M": "%B", "%k": "%-H", "%T": "%H:%M:%S", "%e": "%-d"}


def _formatted(name: str) -> Callable[[list[exp.Expression]], exp.Expression]:
    """MySQL's letters of a moment, in strftime's."""

    def build(arguments: list[exp.Expression]) -> exp.Expression:
        value, pattern = arguments
        if not isinstance(pattern, exp.Literal):
            raise not_here(f"{name} with a format that is no literal")
        letters = exp.Literal.string(
            re.sub(r"%.", lambda m: _FORMATS.get(m[0], m[0]), pattern.name)
        )
        if name == "date_format":
            return _call("strftime", exp.cast(value, "timestamp"), letters)
        parsed = _call("strptime", value, letters)
        return exp.Cast(this=parsed, to=exp.DataType.build("TIMESTAMP_MS", dialect="duckdb"))

    return build


_SPECIAL: Final[dict[str, Callable[[list[exp.Expression]], exp.Expression]]] = {
    "at_timezone": lambda arguments: _in_utc(arguments[0], arguments[1]),
    "concat": _concat,
    "replace": _replace,
    "regexp_replace": _regexp_replace,
    "greatest": _extremes("greatest"),
    "least": _extremes("least"),
    "substr": _substr,
    "reduce": _reduce,
    "any_match": _matches("any"),
    "all_match": _matches("all"),
    "none_match": _matches("none"),
    "date_format": _formatted("date_format"),
    "date_parse": _formatted("date_parse"),
}


def call_substring(node: exp.Expression) -> exp.Expression:
    """`substring(x from 0)` like `substr(x, 0)`."""
    if isinstance(node, exp.Substring):
        arguments = [node.this, node.args.get("start"), node.args.get("length")]
        return _substr([one for one in arguments if one is not None])
    return node


def call_normalize(node: exp.Expression) -> exp.Expression:
    """DuckDB has NFC alone."""
    if isinstance(node, exp.Normalize):
        form = node.args.get("form")
        return _call(f"trino_normalize_{form.name.lower() if form else 'nfc'}", node.this)
    return node


_CASTS: Final = {
    exp.DType.BIGINT: "bigint",
    exp.DType.INT: "integer",
    exp.DType.SMALLINT: "smallint",
    exp.DType.TINYINT: "tinyint",
    exp.DType.DOUBLE: "double",
    exp.DType.FLOAT: "real",
    exp.DType.DATE: "date",
    exp.DType.BOOLEAN: "boolean",
}
_MOMENTS: Final = {0: "TIMESTAMP_S", 3: "TIMESTAMP_MS", 6: "TIMESTAMP"}
_PLAIN: Final = frozenset(
    {
        exp.DType.DECIMAL,
        exp.DType.TIMESTAMPTZ,
        exp.DType.VARBINARY,
        exp.DType.BINARY,
        exp.DType.JSON,
        exp.DType.ARRAY,
        exp.DType.MAP,
        exp.DType.STRUCT,
        exp.DType.TIME,
        exp.DType.INTERVAL,
        exp.DType.UUID,
    }
)


def _digits(kind: exp.DataType) -> int:
    """Digits of a second that a timestamp type keeps; 3 where it does not say."""
    return int(kind.expressions[0].name) if kind.expressions else 3


def moment_type(digits: int) -> str:
    """DuckDB's type that keeps at least so many digits: it carries the precision along."""
    if digits > 6:
        raise not_here(f"timestamp({digits})")
    return _MOMENTS[0 if digits == 0 else 3 if digits <= 3 else 6]


def cast_as_trino(node: exp.Expression) -> exp.Expression:
    """Casts take the texts that Trino takes, and write moments and doubles as it writes them."""
    if not isinstance(node, exp.Cast):
        return node
    value, kind = node.this, node.to
    is_try = isinstance(node, exp.TryCast)
    if kind.this in (exp.DType.VARCHAR, exp.DType.TEXT):
        return _cast_to_text(value, kind, is_try)
    if kind.this is exp.DType.TIMESTAMP:
        digits = _digits(kind)
        moment = moment_type(digits)
        if isinstance(value, exp.Null) or _is_moment_literal(value):
            return _plain_cast(value, moment, is_try)
        name = {"TIMESTAMP_S": 0, "TIMESTAMP_MS": 3, "TIMESTAMP": 6}[moment]
        return _call(f"trino_{'try_' if is_try else ''}to_timestamp{name}", value)
    name = _CASTS.get(kind.this)  # pyright: ignore[reportArgumentType]
    if name is not None:
        is_number = isinstance(value, exp.Literal) and value.is_int
        if not is_try and (
            is_number or isinstance(value, exp.Null) or _is_day_literal(value, name)
        ):
            return node
        return _call(f"trino_{'try_' if is_try else ''}to_{name}", value)
    if kind.this is exp.DType.DECIMAL and not kind.expressions:
        kind.set("expressions", [exp.DataTypeParam(this=exp.Literal.number(n)) for n in (38, 0)])
    if kind.this not in _PLAIN:
        raise not_here(f"cast to {kind.sql('trino')}")
    return node


def _is_day_literal(value: exp.Expression, kind: str) -> bool:
    is_text = isinstance(value, exp.Literal) and kind == "date"
    return is_text and re.fullmatch(r"\d{4}-\d\d-\d\d", value.name) is not None


def _is_moment_literal(value: exp.Expression) -> bool:
    return (
        isinstance(value, exp.Literal)
        and re.fullmatch(r"\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d(\.\d+)?)?", value.name) is not None
    )


def _plain_cast(value: exp.Expression, kind: str, is_try: bool) -> exp.Expression:
    made = exp.TryCast if is_try else exp.Cast
    return made(this=value, to=exp.DataType.build(kind, dialect="duckdb"))


def _cast_to_text(value: exp.Expression, kind: exp.DataType, is_try: bool) -> exp.Expression:
    if isinstance(value, exp.Null):
        return _plain_cast(value, "VARCHAR", is_try=False)
    text = (
        value if isinstance(value, exp.Literal) and value.is_string else _call("trino_text", value)
    )
    if not kind.expressions:
        return text
    # varchar(n) cuts off; DuckDB takes no notice of n.
    return _call(
        "substr", text, exp.Literal.number(1), exp.Literal.number(kind.expressions[0].name)
    )


def divide_as_trino(node: exp.Expression) -> exp.Expression:
    """Whole numbers divide to whole numbers, by zero they fail, doubles give infinity."""
    if isinstance(node, exp.Div):
        return _call("trino_divide", node.this, node.expression)
    if isinstance(node, exp.Mod):
        return _call("trino_modulo", node.this, node.expression)
    return node


def keep_type_of_moment(node: exp.Expression) -> exp.Expression:
    """A date and an interval are a date; DuckDB makes a timestamp of them."""
    if isinstance(node, (exp.Add, exp.Sub)):
        name = "trino_add_interval" if isinstance(node, exp.Add) else "trino_subtract_interval"
        if isinstance(node.expression, exp.Interval):
            return _call(name, node.this, node.expression)
        if isinstance(node, exp.Add) and isinstance(node.this, exp.Interval):
            return _call(name, node.expression, node.this)
    return node


def write_json_object(node: exp.Expression) -> exp.Expression:
    """`json_object` is a varchar; without NULL ON NULL it says null all the same (the default)."""
    if isinstance(node, exp.JSONObject):
        if "ABSENT" in str(node.args.get("null_handling") or "").upper():
            raise not_here("json_object with absent on null")
        parts: list[exp.Expression] = []
        for pair in node.expressions:
            parts += [pair.this, pair.expression]
        return exp.Cast(this=_call("json_object", *parts), to=exp.DataType.build("varchar"))
    return node


def name_row(node: exp.Expression) -> exp.Expression:
    """A row of values has no names for them."""
    if isinstance(node, exp.Struct) and not any(
        isinstance(one, exp.PropertyEQ) for one in node.expressions
    ):
        return _call("row", *node.expressions)
    return node


def say_now(node: exp.Expression) -> exp.Expression:
    """Three digits of a second."""
    if isinstance(node, exp.CurrentTimestamp):
        return _call("trino_now")
    return node


def keep_zone(node: exp.Expression) -> exp.Expression:
    """A moment in a zone keeps the zone; DuckDB gives the local time without one."""
    if isinstance(node, exp.AtTimeZone):
        return _in_utc(node.this, node.args.get("zone"))
    return node


def _is_array(node: exp.Expression) -> bool:
    is_cast = isinstance(node, exp.Cast) and node.to.this is exp.DType.ARRAY
    return is_cast or isinstance(node, exp.Array)


def append_to_array(node: exp.Expression) -> exp.Expression:
    """`array[1] || 2`; DuckDB joins arrays alone."""
    if isinstance(node, exp.DPipe):
        left, right = node.this, node.expression
        if _is_array(left) and isinstance(right, exp.Literal):
            return _call("list_append", left, right)
        if _is_array(right) and isinstance(left, exp.Literal):
            return _call("list_prepend", left, right)
    return node


def read_table_function(node: exp.Expression) -> exp.Expression:
    """`table(sequence(start => 1, stop => 3))` has one column, `sequential_number`."""
    if not isinstance(node, exp.Table) or node.this.name.upper() != "TABLE":
        return node
    call = node.this.expressions[0]
    if call.name != f"{_PREFIX}sequence":
        raise not_here("a table function other than sequence")
    given = {one.this.name.lower(): one.expression for one in call.expressions}
    ends = [given.get("start", exp.Literal.number(0)), given["stop"]]
    rows = _call("unnest", _call("generate_series", *ends, given.get("step")))
    query = exp.select(exp.alias_(rows, "sequential_number"))
    return query.subquery(node.alias or "sequence")


def read_as_double(node: exp.Expression) -> exp.Expression:
    """`1.5` is a double; a decimal is written `decimal '1.5'`.

    https://docs.aws.amazon.com/athena/latest/ug/data-types-examples.html
    """
    is_number = isinstance(node, exp.Literal) and not node.is_string
    if is_number and re.fullmatch(r"\d*\.\d*", node.name):
        return exp.Literal.number(f"{node.name}e0")
    return node


# The first that changes a node is the last that sees it.
REPAIRS: Final = (
    read_as_double,
    read_table_function,
    append_to_array,
    name_functions,
    call_substring,
    call_normalize,
    write_json_object,
    name_row,
    say_now,
    keep_zone,
    cast_as_trino,
    divide_as_trino,
    keep_type_of_moment,
)
