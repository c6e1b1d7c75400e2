"""A whole platform over a world that means harm, by the real command line and without a network.

One home, five commands, several questions: is every hostile value still only a value (F41, F42);
does any marked value or secret stand in anything that was written outside the data (F44); did any
process try to leave the machine (F47). What is looked for, and how, is proven in `test_canaries.py`
and `test_network.py`.
"""

from __future__ import annotations

import csv
import gzip
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pytest

from cdp_assets.identity.review import read_answers
from cdp_assets.sources.contracts import Contract, load_contracts
from tests.faults import hostile
from tests.faults.hostile import DAY, VALUES
from tests.faults.search import find
from tests.faults.test_network import attempts, guarded, guards
from tests.homes import BIN

pytestmark = [pytest.mark.faults, pytest.mark.slow]

CONTRACTS = load_contracts()
# Every marked value holds one of these; the numbers are phones that nobody has.
MARK, PHONE_MARK = "cnry7q", "4479115550"
MARKS = (MARK, PHONE_MARK)
# Where values of records belong: the lake, the tables, the profiles; and the secret's own file.
DATA = ("lake", "warehouse", "profiles.sqlite", "hmac.key")
SECRET = f"{MARK}-secret-0123456789abcdefghij"
ODD_OBJECTS = (
    f"crm/contacts/dt={DAY}'--/x.csv",
    f"crm/contacts; drop table x/dt={DAY}/x.csv",
    "pos/receipts/dt={{ var('x') }}/x.csv",
    f"web/events/dt={DAY}/line\nbreak.json.gz",
)


def canary(contract: Contract, place: int, column: str) -> str:
    """A marked value of a column, which occurs once in the world."""
    kind = contract.by_name[column].type
    if kind == "phone":
        return f"+{PHONE_MARK}{place:02}"
    name = f"{MARK}{contract.source}{contract.entity}{column}".replace("_", "")
    return f"{name}@canary.example" if kind == "email" else name.capitalize()


def marked(contract: Contract, **instead: str) -> dict[str, str]:
    """A record with a marked value in every text column."""
    columns = hostile.text_columns(contract)
    values = {c.name: canary(contract, place, c.name) for place, c in enumerate(columns)}
    return hostile.record(contract, {**values, **instead})


def keyed(contract: Contract, key: str, **instead: str) -> dict[str, str]:
    """A marked record under a key of its own."""
    texts = {column.name for column in hostile.text_columns(contract)}
    return marked(contract, **dict.fromkeys(texts & {*contract.dedup_key}, key), **instead)


def broken(contract: Contract) -> Iterator[dict[str, str]]:
    """Marked records with a marked value where a number, a date or one of a few words belongs."""
    for place, column in enumerate(contract.columns):
        of_a_kind = ("integer", "decimal", "date", "timestamp", "boolean")
        if column.allowed or column.type in of_a_kind:
            yield keyed(contract, f"{MARK}broken{place}") | {column.name: f"{MARK}{column.name}"}
        elif column.is_required:
            yield keyed(contract, f"{MARK}broken{place}") | {column.name: ""}


def conflicting(contract: Contract) -> Iterator[dict[str, str]]:
    """Several contents under one key."""
    free = {c.name for c in hostile.text_columns(contract)} - {*contract.dedup_key}
    for number in range(2):
        values = dict.fromkeys(free, f"{MARK}other{number}")
        yield keyed(contract, f"{MARK}twice") | values


def objects(contract: Contract) -> dict[str, bytes]:
    """What lands of one entity, by name."""
    kind = contract.format.kind
    texts = hostile.text_columns(contract)
    made = {
        "hostile": hostile.as_object(
            contract, [hostile.all_text(contract, v) for v in VALUES.values()]
        ),
        "long": hostile.as_object(
            contract,
            [
                hostile.record(
                    contract, {c.name: "long" for c in texts} | {texts[-1].name: "é" * 500_000}
                )
            ],
        ),
        "marked": hostile.as_object(contract, [marked(contract), *conflicting(contract)]),
        "broken": hostile.as_object(contract, list(broken(contract)), *_broken_lines(contract)),
        "not what it says": f"PAR1 {MARK} \x1f".encode() * 9,
    }
    if kind == "csv":
        made["headerless"] = f"{MARK}@canary.example,{MARK},{MARK}\n".encode() * 3
        whole = hostile.as_object(contract, [marked(contract)]).decode()
        head, _, rows = whole.partition("\n")
        made["odd header"] = f'{head},"{MARK}@canary.example"\n{rows.strip()},{MARK}\n'.encode()
    if kind == "json":
        plain = f'{{"{MARK}@canary.example": "{MARK}"}}\n'.encode()
        is_gzip = contract.format.compression == "gzip"
        made["odd keys"] = gzip.compress(plain) if is_gzip else plain
    if contract.format.compression == "gzip":
        made["cut"] = made["marked"][:-12]
    return made


def _broken_lines(contract: Contract) -> Sequence[str]:
    if contract.format.kind == "csv":
        return (f"{MARK},{MARK}", f'"{MARK}', f'a"{MARK}"')
    return (f'{{"{MARK}": ', f'["{MARK}"]', f"{MARK}") if contract.format.kind == "json" else ()


@dataclass
class World:
    """A home, and what its commands said."""

    home: Path
    log: Path
    said: dict[str, subprocess.CompletedProcess[str]] = field(default_factory=dict)

    def cdp(
        self, name: str, *arguments: str, is_kept: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a command without a network; what it says is kept, if no values were asked for."""
        inherited = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("CDP_", "DBT_", "DAGSTER_", "AWS_"))
        }
        own = {
            "CDP_HOME": str(self.home),
            # Whatever anybody writes elsewhere by habit is looked through, too.
            "HOME": str(self.home / "user"),
            "TMPDIR": str(self.home / "tmp"),
            "AWS_ACCESS_KEY_ID": f"AKIA{MARK}",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_SESSION_TOKEN": SECRET,
            "CDP_SECRET": SECRET,
            "DBT_ENV_SECRET_WORD": SECRET,
            "DATABASE_URL": f"postgresql://user:{SECRET}@localhost/x",
        }
        done = subprocess.run(
            [*_without_network(), str(BIN / "cdp"), *arguments],
            env={**inherited, **own, **guarded(self.log)},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        self.said[name] = done
        if is_kept:
            (self.home / "said").mkdir(exist_ok=True)
            (self.home / "said" / name.replace(" ", "_")).write_text(done.stdout + done.stderr)
        return done

    def warehouse(self, *statements: str) -> None:
        """Change the warehouse behind the platform's back."""
        for statement in statements:
            # An index counts deleted rows until the file is closed.
            with duckdb.connect(str(self.home / "warehouse" / "cdp.duckdb")) as connection:
                connection.execute(statement)

    def published(self, sql: str) -> list[tuple]:
        path = self.home / "warehouse" / "published.duckdb"
        with duckdb.connect(str(path), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def land(self, contract: Contract, name: str, content: bytes, day: str = DAY) -> None:
        folder = self.home / "lake" / "landing" / contract.source / contract.entity / f"dt={day}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def _without_network() -> list[str]:
    """A network of its own with nothing in it, where the machine lets us have one."""
    command = ["unshare", "--map-root-user", "--net"]
    is_there = shutil.which("unshare") is not None
    allowed = is_there and subprocess.run([*command, "true"], check=False).returncode == 0
    return command if allowed else []


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("hostile")
    made = World(folder / "home", folder / "network.log")
    for part in ("user", "tmp"):
        (made.home / part).mkdir(parents=True)
    (made.home / "hmac.key").write_bytes(SECRET.encode())
    (made.home / "hmac.key").chmod(0o600)
    for contract in CONTRACTS.values():
        for name, content in objects(contract).items():
            made.land(contract, name, content)
    for name in ODD_OBJECTS:
        path = made.home / "lake" / "landing" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    made.cdp("a run that goes well", "run")
    return made


@pytest.fixture(scope="module")
def failures(world: World) -> World:
    """Runs that fail in dbt: on a constraint, whose error quotes a row, and on a data test."""
    crm = CONTRACTS["crm", "contacts"]
    table = "cleansed.clean_crm__contacts"
    again = marked(crm, contact_id="another", modified_at="2026-03-02T09:00:00.000Z")
    world.land(crm, "again", hostile.as_object(crm, [again]), "2026-03-02")
    world.warehouse(
        f"create table kept as from {table}",
        f"delete from {table} where rowid not in (select min(rowid) from {table} group by email)",
        f"create unique index one_email on {table} (email)",
    )
    world.cdp("a run that breaks a constraint", "run")
    world.warehouse(
        "drop index cleansed.one_email", f"delete from {table}", f"insert into {table} from kept",
        f"insert into {table} from kept where last_name ilike '{MARK}%'",
    )  # fmt: skip
    world.cdp("a run whose data test fails", "run")
    return world


@pytest.mark.fault("F40")
def test_every_record_is_accounted_for_and_odd_objects_are_reported(world: World) -> None:
    done = world.said["a run that goes well"]
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("adds up") == len(CONTRACTS)
    assert done.stdout.count("is not loaded:") == len(ODD_OBJECTS)
    assert all(line.isprintable() for line in done.stdout.splitlines())


@pytest.mark.fault("F41")
@pytest.mark.parametrize("key", CONTRACTS, ids="__".join)
def test_hostile_values_come_out_of_the_raw_tables_as_they_went_in(
    world: World, key: tuple[str, str]
) -> None:
    contract = CONTRACTS[key]
    names = [column.name for column in hostile.text_columns(contract)]
    rows = world.published(
        f"select {', '.join(names)} from sources.raw_{'__'.join(key)}"
        " where _object_key like '%/hostile' order by _line"
    )
    assert len(rows) == len(VALUES)
    for value in VALUES.values():
        assert (value,) * len(names) in rows


@pytest.mark.fault("F41")
def test_hostile_values_come_out_of_the_published_tables_as_they_went_in(world: World) -> None:
    for column in ("first_name", "last_name", "street", "city", "postal_code"):
        found = {
            value for (value,) in world.published(f"select {column} from profile.customer_profiles")
        }
        assert set(VALUES.values()) - found == set(), column
    for table in ("clean_crm__contacts", "clean_web__events", "clean_mobile__events"):
        found = {value for (value,) in world.published(f"select email from cleansed.{table}")}
        assert set(VALUES.values()) - found == set(), table
    # A long value is as long as it was.
    lengths = world.published(
        "select max(strlen(reason)) from sources.raw_contact_center__contacts"
    )
    assert lengths == [(1_000_000,)]


@pytest.mark.fault("F42")
def test_a_page_and_a_terminal_show_hostile_ids_as_text(world: World) -> None:
    page = world.home / "user" / "page.html"
    for name in ("script", "control"):
        done = world.cdp(
            "explain", "explain", f"crm:contact:{VALUES[name]}", f"crm:contact:{VALUES['shell']}",
            "--show-values", "--html", str(page), is_kept=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert all(line.isprintable() for line in done.stdout.splitlines())
        text = page.read_text()
        assert "<script" not in text
        assert "<img" not in text
    page.unlink()


@pytest.mark.fault("F42")
def test_an_exported_queue_holds_no_formula_and_can_be_imported(world: World) -> None:
    file = world.home / "user" / "queue.csv"
    done = world.cdp("export", "review", "export", str(file), "--show-values", "--all")
    assert done.returncode == 0, done.stderr
    with file.open(newline="") as handle:
        for line in csv.reader(handle):
            for cell in line:
                is_number = cell.lstrip("-").replace(".", "").isdigit()
                assert is_number or not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\0"))
    assert read_answers(file) == []
    file.unlink()


@pytest.mark.fault("F44")
def test_the_marks_are_where_they_belong(world: World) -> None:
    """A control: what is nowhere to be found elsewhere is in the data."""
    [(count,)] = world.published(
        "select count(distinct last_name) from profile.customer_profiles"
        f" where last_name ilike '{MARK}%'"
    )
    assert count >= 1
    for part in ("lake/raw", "lake/quarantine", "warehouse", "profiles.sqlite"):
        path = world.home / part
        files = [path] if path.is_file() else [f for f in path.rglob("*") if f.is_file()]
        if part.startswith("lake"):
            with duckdb.connect() as connection:
                rows = connection.execute(f"from read_parquet('{path}/*/*/*/*', union_by_name = 1)")
                assert MARK in str(rows.fetchall()).lower(), part
        assert files, part


@pytest.mark.fault("F44")
def test_no_marked_value_and_no_secret_is_told_by_a_run(world: World) -> None:
    assert {"dagster", "dbt", "ledger.sqlite", "run.log", "said"} <= {
        p.name for p in world.home.iterdir()
    }
    assert find(world.home, MARKS, but=DATA) == []


@pytest.mark.fault("F44")
def test_no_marked_value_and_no_secret_is_told_by_a_run_that_fails(failures: World) -> None:
    constraint = failures.said["a run that breaks a constraint"]
    data_test = failures.said["a run whose data test fails"]
    assert constraint.returncode == data_test.returncode == 1
    told = (failures.home / "dbt").rglob("dbt.log")
    logs = "".join(path.read_text() for path in told)
    assert "Constraint Error: Duplicate key (a value)" in logs
    assert "configured to fail" in logs
    for done in (constraint, data_test):
        assert done.stderr.startswith("cdp: The run failed.")
        assert "Traceback" not in done.stdout + done.stderr
    assert find(failures.home, MARKS, but=DATA) == []


@pytest.mark.fault("F47")
def test_no_process_of_the_platform_tries_to_leave_the_machine(failures: World) -> None:
    # Of each run: itself, and dbt for each layer.
    assert guards(failures.log) >= 8
    assert attempts(failures.log) == []
