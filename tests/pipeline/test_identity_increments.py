"""A run that looks only at what is near a change ends like one that looks at everything.

Random people, links, scores, conflicts, decisions and deletions in several batches, on DuckDB
tables as the models leave them; dbt itself is not run here (tests/dbt does).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cdp_assets.identity.apply import apply_assignments
from cdp_assets.identity.gate import count_changes, judge
from cdp_assets.identity.resolve import propose, resolve
from cdp_assets.identity.tables import (
    APPLIED,
    ASSIGNMENTS,
    DECISIONS,
    EVENTS,
    HELD_BACK,
    MAP,
    REDIRECTS,
    REFUSALS,
    REFUSED_MERGES,
)
from cdp_assets.resources.warehouse import DuckDBWarehouse
from cdp_assets.settings import GateBudget

_NAMES = "ABCDEFGHIJ"

# What the model would say of two faces, in bits; the outer two are never one person.
_BITS = {0: 12.0, 1: 4.0, 2: -6.0, 3: -15.0}
_AUTO_BITS = 7.0


@dataclass(frozen=True)
class Person:
    """A record: when it was seen first, its name and login, and what it is compared by.

    `face` stands for all that the model compares, `block` for the key that blocking finds it by.
    """

    seen: int = 0
    name: str | None = None
    user_id: str | None = None
    is_device: bool = False
    face: int | None = None
    block: str = "x"

    def bits(self, other: Person) -> float | None:
        """The match weight of two records; None where one cannot be compared."""
        if self.face is None or other.face is None:
            return None
        return _BITS[abs(self.face - other.face)]

    def is_vetoed(self, other: Person) -> bool:
        return {self.face, other.face} == {0, 3}


@dataclass(frozen=True)
class State:
    """All records, links and decisions at one time; a link is a value that two records share."""

    records: dict[str, Person]
    links: dict[str, tuple[str, str]]
    decisions: tuple[tuple[str, str, str], ...] = ()

    def values_of(self, name: str) -> set[str]:
        return {value for value, pair in self.links.items() if name in pair}

    def scores(self) -> list[tuple[str, str, float, str | None, bool]]:
        """Left, right, bits, veto and whether blocking finds the pair, of all comparable pairs."""
        return [
            (a, b, bits, "veto" if one.is_vetoed(other) else None, one.block == other.block)
            for (a, one), (b, other) in itertools.combinations(sorted(self.records.items()), 2)
            if (bits := one.bits(other)) is not None
        ]


_people = st.builds(
    Person,
    seen=st.integers(0, 4),
    name=st.sampled_from([None, None, "anna", "boris"]),
    user_id=st.sampled_from([None, None, None, "1", "2"]),
    is_device=st.booleans(),
    face=st.sampled_from([None, 0, 0, 1, 2, 3]),
    block=st.sampled_from("xy"),
)
_PAIRS = [f"{a}{b}" for a, b in itertools.combinations(_NAMES, 2)]


@st.composite
def _stories(draw: st.DrawFn) -> list[State]:
    """A first state and a few more, each one or two small changes away from the one before."""
    records = dict(zip(_NAMES, draw(st.lists(_people, min_size=6, max_size=10)), strict=False))
    links = set(draw(st.lists(st.sampled_from(_PAIRS), min_size=3, max_size=10)))
    decisions: list[tuple[str, str, str]] = []
    states = [_state(records, links, decisions)]
    for _ in range(draw(st.integers(1, 3))):
        for _ in range(draw(st.integers(1, 2))):
            kind = draw(st.sampled_from(["person", "gone", "link", "unlink", "decision"]))
            if kind == "person":
                records[draw(st.sampled_from(_NAMES))] = draw(_people)
            elif kind == "gone":
                records.pop(draw(st.sampled_from(_NAMES)), None)
            elif kind == "link":
                links.add(draw(st.sampled_from(_PAIRS)))
            elif kind == "decision":
                what = draw(st.sampled_from(["must_link", "cannot_link", "withdrawn"]))
                pair = draw(st.sampled_from(_PAIRS))
                decisions.append((what, pair[0], pair[1]))
            elif links:
                links.remove(draw(st.sampled_from(sorted(links))))
        states.append(_state(records, links, decisions))
    return states


def _state(
    records: dict[str, Person], links: set[str], decisions: list[tuple[str, str, str]]
) -> State:
    return State(
        dict(records),
        {pair: (pair[0], pair[1]) for pair in links if set(pair) <= records.keys()},
        tuple(decisions),
    )


def _held_back_and_gone() -> list[State]:
    """A record that is gone before its cluster, too large from the start, ever got an id."""
    records = dict.fromkeys("AB", Person()) | dict.fromkeys("CI", Person(face=0))
    records["D"] = Person(face=2)
    links = {pair: (pair[0], pair[1]) for pair in ("AB", "AC", "AD")}
    left = {name: one for name, one in records.items() if name != "A"}
    return [State(records, links), State(left, {})]


def _refused_then_joined() -> list[State]:
    """A name keeps two customers of two records apart until it is corrected."""
    names = {"A": "anna", "B": "boris", "X": None, "Y": "boris"}
    records = {name: Person(name=first_name) for name, first_name in names.items()}
    links = {pair: (pair[0], pair[1]) for pair in ("AX", "BX", "BY")}
    corrected = State(records | {"A": Person(name="boris")}, links)
    return [State(records, links), corrected, corrected]


def _held_back_then_shorter() -> list[State]:
    """A chain that is too long from the start, and then has lost its last record."""
    records = dict.fromkeys("ABCDE", Person())
    links = {pair: (pair[0], pair[1]) for pair in ("AB", "BC", "CD")}
    shorter = _state({name: one for name, one in records.items() if name != "D"}, set(links), [])
    return [State(records, links), shorter, shorter]


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@example(states=_held_back_and_gone(), caps=(50, 3), unapplied=set(), resolutions=1)
@example(states=_refused_then_joined(), caps=(50, 200), unapplied={1}, resolutions=1)
@example(states=_held_back_then_shorter(), caps=(50, 3), unapplied={1}, resolutions=2)
@given(
    states=_stories(),
    caps=st.sampled_from([(50, 200), (3, 50), (4, 4), (50, 3)]),
    # The states whose candidate the gate stops, or whose run is killed before it is applied.
    unapplied=st.sets(st.integers(0, 2)),
    resolutions=st.integers(1, 2),
)
def test_looking_near_the_changes_equals_looking_at_everything(
    states, caps, unapplied, resolutions
):
    with (
        TemporaryDirectory() as folder,
        # Held open: DuckDB then need not write the file at the end of every statement's session.
        duckdb.connect(f"{folder}/near.duckdb"),
        duckdb.connect(f"{folder}/everything.duckdb"),
    ):
        near = _warehouse(Path(folder) / "near.duckdb")
        everything = _warehouse(Path(folder) / "everything.duckdb")
        before = State({}, {})
        for place, state in enumerate(states):
            _write(near, before, state, is_rebuild=False)
            for _ in range(resolutions):
                resolve(near, *caps)
            if place in unapplied:
                continue
            _write(everything, before, state, is_rebuild=True)
            resolve(everything, *caps)
            for warehouse in (near, everything):
                apply_assignments(warehouse, "run")
            for table in (MAP, REDIRECTS, REFUSED_MERGES):
                assert _rows(near, table.address) == _rows(everything, table.address)
            before = state


def _anchor_gone_and_back() -> list[State]:
    """The oldest of three goes and comes back alone: the two that it tied may not both be it."""
    three = {name: Person(seen=place) for place, name in enumerate("ABC")}
    two = {name: three[name] for name in "BC"}
    return [
        State(three, {"AB": ("A", "B"), "AC": ("A", "C")}),
        State(two, {}),
        State(three, {}),
        State({"A": three["A"]}, {}),
    ]


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@example(states=_held_back_and_gone(), caps=(50, 3), rows_in_memory=0)
@example(states=_anchor_gone_and_back(), caps=(50, 200), rows_in_memory=0)
@given(
    states=_stories(),
    caps=st.sampled_from([(50, 200), (3, 50), (4, 4), (50, 3)]),
    # As little as can be makes every part a family or a few.
    rows_in_memory=st.sampled_from([0, 2]),
)
def test_looking_part_by_part_equals_looking_at_once(states, caps, rows_in_memory):
    with (
        TemporaryDirectory() as folder,
        duckdb.connect(f"{folder}/parts.duckdb"),
        duckdb.connect(f"{folder}/once.duckdb"),
    ):
        parts = _warehouse(Path(folder) / "parts.duckdb")
        once = _warehouse(Path(folder) / "once.duckdb")
        before = State({}, {})
        for place, state in enumerate(states):
            for warehouse in (parts, once):
                _write(warehouse, before, state, is_rebuild=place % 2 == 0)
            in_parts = resolve(parts, *caps, rows_in_memory=rows_in_memory)
            at_once = resolve(once, *caps)
            assert (in_parts.records, in_parts.refused) == (at_once.records, at_once.refused)
            assert in_parts.clusters.tolist() == at_once.clusters.tolist()
            for warehouse in (parts, once):
                apply_assignments(warehouse, "run")
            for table in (ASSIGNMENTS, MAP, REDIRECTS, REFUSED_MERGES):
                assert _rows(parts, table.address) == _rows(once, table.address)
            assert _happened(parts) == _happened(once)
            before = state


def _customers(warehouse: DuckDBWarehouse) -> list[str]:
    together = f"select string_agg(record_id, '' order by record_id) from {MAP.address}"
    return [records for (records,) in _rows(warehouse, f"({together} group by customer_id)")]


def _happened(warehouse: DuckDBWarehouse) -> list[tuple]:
    events = "event, customer_id, other_customer_id, record_id, rule"
    return _rows(warehouse, f"(select {events} from {EVENTS.address})")


def test_a_proposal_leaves_every_table_as_it_is(tmp_path):
    warehouse = _warehouse(tmp_path / "w.duckdb")
    one, other = Person(name="anna", face=0), Person(name="anna", face=1)
    _write(warehouse, State({}, {}), State({"A": one, "B": other}, {"v": ("A", "B")}), True)
    resolve(warehouse)
    left = (ASSIGNMENTS, HELD_BACK, REFUSALS, REFUSED_MERGES)
    tables = [*(table.address for table in left), "identity.pairs_to_score"]
    before = [_rows(warehouse, table) for table in tables]
    apart = State({"A": one, "B": replace(other, face=3)}, {"v": ("A", "B")})
    _write(warehouse, State({}, {}), apart, True)
    proposal = propose(warehouse)
    assert proposal.refused["reason"].to_pylist() == ["vetoed"]
    assert [_rows(warehouse, table) for table in tables] == before


def test_customers_merge_though_a_run_ended_before_it_applied_that(tmp_path):
    first, second, third = _refused_then_joined()
    warehouse = _warehouse(tmp_path / "w.duckdb")
    _write(warehouse, State({}, {}), first, is_rebuild=True)
    resolve(warehouse)
    apply_assignments(warehouse, "run")
    assert [len(records) for records in _customers(warehouse)] == [2, 2]
    for state in (second, third):
        _write(warehouse, first, state, is_rebuild=False)
        resolve(warehouse)
    apply_assignments(warehouse, "run")
    assert _customers(warehouse) == ["ABXY"]
    assert _rows(warehouse, REFUSED_MERGES.address) == []


def test_records_held_back_get_a_customer_though_a_run_ended_before_it_applied_that(tmp_path):
    first, second, third = _held_back_then_shorter()
    warehouse = _warehouse(tmp_path / "w.duckdb")
    _write(warehouse, State({}, {}), first, is_rebuild=True)
    resolve(warehouse, hard_cap=3)
    apply_assignments(warehouse, "run")
    assert _customers(warehouse) == ["E"]
    for state in (second, third):
        _write(warehouse, first, state, is_rebuild=False)
        resolve(warehouse, hard_cap=3)
    apply_assignments(warehouse, "run")
    assert _customers(warehouse) == ["ABC", "E"]


def test_refused_links_are_those_of_the_map_until_a_candidate_is_applied(tmp_path):
    first, second, _ = _refused_then_joined()
    warehouse = _warehouse(tmp_path / "w.duckdb")
    _write(warehouse, State({}, {}), first, is_rebuild=True)
    resolve(warehouse)
    assert _rows(warehouse, REFUSED_MERGES.address) == []
    apply_assignments(warehouse, "run")
    refused = _rows(warehouse, REFUSED_MERGES.address)
    assert [row[:3] for row in refused] == [("B", "X", "incompatible_first_names")]
    _write(warehouse, first, second, is_rebuild=False)
    resolve(warehouse)
    assert _rows(warehouse, REFUSED_MERGES.address) == refused


def test_applying_the_same_candidate_again_changes_nothing(tmp_path):
    warehouse = _warehouse(tmp_path / "w.duckdb")
    person = Person(name="anna")
    _write(warehouse, State({}, {}), State({"A": person, "B": person}, {"v": ("A", "B")}), True)
    resolve(warehouse)
    apply_assignments(warehouse, "run")
    tables = [table.address for table in (*APPLIED, ASSIGNMENTS, REFUSED_MERGES)]
    before = [_rows(warehouse, table) for table in tables]
    apply_assignments(warehouse, "run")
    assert [_rows(warehouse, table) for table in tables] == before


def test_the_map_can_be_asked_whose_a_record_was(tmp_path):
    warehouse = _warehouse(tmp_path / "w.duckdb")
    person = Person(name="anna")
    apart = State({"A": person, "B": person}, {})
    together = State({"A": person, "B": person}, {"v": ("A", "B")})
    for before, state in itertools.pairwise([State({}, {}), apart, together, apart]):
        _write(warehouse, before, state, is_rebuild=False)
        resolve(warehouse)
        apply_assignments(warehouse, "run")
    history = _rows(
        warehouse,
        "(select valid_from, valid_to, customer_id = first(customer_id) over (order by valid_from)"
        " as is_own from identity.customer_map_history where record_id = 'B')",
    )
    assert [row[2] for row in history] == ["true", "false", "true"]
    assert [row[1] for row in history[:-1]] == [row[0] for row in history[1:]]
    events = _rows(
        warehouse,
        "(select event from identity.customer_id_events where event = 'merge'"
        " or event = 'split' or event = 'restore')",
    )
    assert sorted(events) == [("merge",), ("restore",), ("split",)]


@pytest.mark.fault("F37")
def test_the_gate_stops_a_run_that_would_merge_too_many(tmp_path):
    warehouse = _warehouse(tmp_path / "w.duckdb")
    person = Person(name="anna")
    apart = State(dict.fromkeys("ABCD", person), {})
    together = State(dict.fromkeys("ABCDE", person), {"v": ("A", "B"), "w": ("B", "C")})
    budget = GateBudget(merged=0.4, floor=1)

    _write(warehouse, State({}, {}), apart, is_rebuild=False)
    resolve(warehouse)
    assert judge(count_changes(warehouse), budget).passed
    apply_assignments(warehouse, "run")

    _write(warehouse, apart, together, is_rebuild=False)
    resolve(warehouse)
    counts = count_changes(warehouse)
    assert (counts.before, counts.created, counts.merged, counts.split) == (4, 1, 2, 0)
    assert not judge(counts, budget).passed


def _warehouse(path: Path) -> DuckDBWarehouse:
    warehouse = DuckDBWarehouse(path, path.with_suffix(".published"), "1GB")
    warehouse.execute(
        "create table identity.identity_limits as select 'user_id' as identifier_type,"
        " 1 as max_per_customer",
        "create table identity.applied_loads (entity varchar, load_id bigint)",
        "create table identity.applied_rules (fingerprint varchar)",
        "create table identity.oversized_blocks (is_oversized boolean, has_flipped boolean)",
        "create table identity.pairs_to_score (left_record_id varchar, right_record_id varchar)",
        # Stands for the SQL that the model is compiled to.
        "create table identity.all_scores (left_record_id varchar, right_record_id varchar,"
        " match_weight double, veto varchar, is_found boolean)",
        "create view identity.scored_pairs as select wanted.*, match_weight, veto"
        " from identity.pairs_to_score as wanted"
        " inner join identity.all_scores using (left_record_id, right_record_id)",
        f"create view identity.match_pairs as select *, case when veto is not null then 'vetoed'"
        f" when match_weight >= {_AUTO_BITS} then 'auto' else 'review' end as band"
        " from identity.all_scores where is_found and match_weight >= 0",
        "create table cleansed.clean_pos__receipts (receipt_id varchar, record_id varchar)",
        "create table cleansed.clean_pos__receipt_lines (receipt_id varchar, _load_id bigint)",
        DECISIONS.create_if_missing,
    )
    return warehouse


def _write(warehouse: DuckDBWarehouse, before: State, state: State, is_rebuild: bool) -> None:
    """What the models would leave: everything as it is, and what changed since `before`."""
    changed = {
        name
        for name in before.records.keys() | state.records.keys()
        if before.records.get(name) != state.records.get(name)
        or before.values_of(name) != state.values_of(name)
    }
    touched = {v for name in changed for s in (before, state) for v in s.values_of(name)}
    carriers = {(name, value, True) for name in state.records for value in state.values_of(name)}
    carriers |= {(name, value, False) for name in changed for value in before.values_of(name)}
    scores = state.scores()
    links = [
        (a, b, "same_email", "1", 2, 0.95, "2025-01-01", False, None)
        for a, b in state.links.values()
    ]
    matches = [
        (a, b, "probabilistic", "model", 2, 0.99, "2025-01-01", False, None)
        for a, b, bits, veto, is_found in scores
        if is_found and veto is None and bits >= _AUTO_BITS
    ]
    with warehouse.connect() as connection:
        _replace(
            connection,
            "identity_records (record_id varchar, record_kind varchar, first_seen_at timestamp,"
            " first_name_key varchar, birth_date date)",
            [
                (
                    name,
                    "device" if one.is_device else "contact",
                    f"2025-01-0{one.seen + 1}",
                    one.name,
                    None,
                )
                for name, one in state.records.items()
            ],
        )
        _replace(
            connection,
            "identifiers (record_id varchar, identifier_type varchar, identifier_value varchar,"
            " is_current boolean)",
            [(name, "email", value, current) for name, value, current in carriers]
            + [
                (name, "user_id", one.user_id, True)
                for name, one in state.records.items()
                if one.user_id
            ],
        )
        columns = "(left_record_id varchar, right_record_id varchar, rule varchar, rule_version"
        columns += " varchar, tier integer, score double, first_seen_at timestamp, is_leaf boolean,"
        columns += " reason varchar)"
        _replace(connection, f"edge_candidates {columns}", links)
        _replace(connection, f"identity_edges {columns}", links + matches)
        _replace(connection, "changed_records (record_id varchar)", [(name,) for name in changed])
        _replace(connection, "match_affected (record_id varchar)", [(name,) for name in changed])
        _replace(
            connection,
            "match_records (record_id varchar, is_current boolean)",
            [(name, True) for name, one in state.records.items() if one.face is not None],
        )
        connection.execute("delete from identity.all_scores")
        if scores:
            connection.executemany("insert into identity.all_scores values (?, ?, ?, ?, ?)", scores)
        connection.execute(f"delete from {DECISIONS.address}")
        if state.decisions:
            connection.executemany(
                f"insert into {DECISIONS.address} values (?, ?, ?, 'jane', ?, null)",
                [(*one, f"2025-02-0{day + 1}") for day, one in enumerate(state.decisions)],
            )
        _replace(
            connection,
            "touched_identifiers (identifier_type varchar, identifier_value varchar)",
            [("email", value) for value in touched],
        )
        _replace(
            connection,
            "source_changes (entity varchar, since_load_id bigint, load_id bigint,"
            " is_rebuild boolean, fingerprint varchar)",
            [("pos__receipt_lines", 0, 1, is_rebuild, "1")],
        )


def _replace(connection: duckdb.DuckDBPyConnection, table: str, rows: list[tuple]) -> None:
    connection.execute(f"create or replace table identity.{table}")
    if rows:
        marks = ", ".join("?" for _ in rows[0])
        connection.executemany(f"insert into identity.{table.split()[0]} values ({marks})", rows)


def _rows(warehouse: DuckDBWarehouse, table: str) -> list[tuple]:
    with warehouse.connect() as connection:
        return connection.execute(
            f"select columns(*)::varchar from {table} order by all"
        ).fetchall()
