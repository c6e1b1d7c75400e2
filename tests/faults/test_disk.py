"""Faults of the disk at each operation on it, until none is left: by injection, and really full."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import count as numbers
from pathlib import Path

import pyarrow as pa
import pytest

from cdp_assets.errors import PlatformError
from cdp_assets.local import dagster_instance
from cdp_assets.resources.checkpoints import Batch, Shard, SQLiteCheckpoints
from cdp_assets.resources.object_ledger import SQLiteObjectLedger
from cdp_assets.resources.object_store import LocalObjectStore, S3ObjectStore, StoreError
from cdp_assets.resources.profile_store import Entry, Origin, SQLiteProfileStore
from cdp_assets.resources.secrets import FileSecrets, SecretError
from cdp_assets.resources.warehouse import DuckDBWarehouse
from cdp_assets.settings import Limits, load_settings
from cdp_assets.sources.contracts import contract_of
from tests.faults.counting import count
from tests.faults.disk import Disk
from tests.faults.extracting import CONTACTS, crm_lake, outcome
from tests.unit.resources.test_dynamodb_faults import entry
from tests.unit.sources.conftest import Lake, parquet
from tests.unit.sources.test_file_faults import lines

# Path, what the system said, what to do.
NAMED = r"/\S+ cannot be (read|written|used): .*[a-zA-Z]\. [A-Z].*, then run again\.$"
KEY = "landing/crm/contacts/dt=2026-03-01/a.csv"
RECEIPT_LINES = contract_of("pos", "receipt_lines")
# Not in `make test`.
HEAVY = (pytest.mark.slow, pytest.mark.faults)
SHARD = Shard("stream", "shard")


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home before an extract."""
    home = tmp_path_factory.mktemp("start")
    crm_lake(LocalObjectStore(home / "lake"), SQLiteObjectLedger(home / "ledger.sqlite"))
    return home


@pytest.fixture(scope="module")
def undisturbed(start: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list]:
    lake = lake_in(start, tmp_path_factory.mktemp("undisturbed") / "home")
    lake.extract_day()
    return outcome(lake)


def lake_in(start: Path, home: Path) -> Lake:
    """A copy of the home, with its lake."""
    shutil.copytree(start, home)
    store, ledger = LocalObjectStore(home / "lake"), SQLiteObjectLedger(home / "ledger.sqlite")
    return Lake(CONTACTS, store, ledger, Limits())


def scratch_left(folder: Path) -> list[Path]:
    return [
        path for path in folder.rglob("*") if path.name.endswith((".tmp", ".incoming", "-journal"))
    ]


def told(work: Callable[[], object]) -> str:
    """What the work failed of, in words for a user; empty when it did not fail."""
    try:
        work()
    except PlatformError as error:
        return str(error)
    return ""


def fail_each(
    disk: Disk, begin: Callable[[int], Callable[[], object]], places: Iterable[int], after: bool
) -> Iterator[tuple[int, Callable[[], object]]]:
    """Fail one operation after another of some work, and do it plainly again."""
    failed = 0
    for nth in places:
        work = begin(nth)
        with disk.failing_at(nth, after=after):
            error = told(work)
        if not disk.failed:
            break
        failed += 1
        # A folder that is there need not be made, and a copy may be made otherwise.
        is_absorbed = not error and disk.failed in ("mkdir", "sendfile")
        assert is_absorbed or re.search(NAMED, error), (nth, disk.failed, error)
        assert "\n" not in error
        yield nth, work
    count("nth-call runs", failed)
    count("lost responses", failed if after else 0)


@pytest.mark.fault("F29")
@pytest.mark.parametrize(
    ("step", "after"),
    [
        (7, False),
        pytest.param(1, False, marks=HEAVY),
        pytest.param(5, True, marks=HEAVY),
    ],
)
def test_an_extract_gives_the_same_whichever_operation_fails(
    start: Path, undisturbed: dict[str, list], tmp_path: Path, step: int, after: bool
) -> None:
    disk, lakes, nth = Disk(tmp_path), {}, 0

    def begin(nth: int) -> Callable[[], object]:
        lakes[nth] = lake_in(start, tmp_path / f"{nth}")
        return lakes[nth].extract_day

    for nth, again in fail_each(disk, begin, numbers(1, step), after):
        kept = [row["contact_id"] for row in outcome(lakes[nth])["raw"]]
        assert "4" in kept, "what was loaded before is not touched"
        again()
        assert outcome(lakes[nth]) == undisturbed, (nth, disk.failed)
        assert scratch_left(tmp_path / f"{nth}") == []
        shutil.rmtree(tmp_path / f"{nth}")
    assert nth > 60


@pytest.mark.fault("F12", "F29")
def test_an_object_that_the_disk_cannot_read_is_no_object_that_is_broken(tmp_path: Path) -> None:
    disk, lakes = Disk(tmp_path), {}

    def begin(nth: int) -> Callable[[], object]:
        store = LocalObjectStore(tmp_path / f"{nth}")
        ledger = SQLiteObjectLedger(tmp_path / f"{nth}.sqlite")
        lakes[nth] = Lake(RECEIPT_LINES, store, ledger, Limits())
        key = lakes[nth].land("a.parquet", parquet(lines(2)))
        return lambda: lakes[nth].extract(key)

    undisturbed = begin(0)
    with disk.failing_at(0):
        undisturbed()
    reads = [place for place, name in enumerate(disk.done, 1) if name == "read"]
    for nth, again in fail_each(disk, begin, reads, after=False):
        assert disk.failed == "read"
        assert lakes[nth].quarantine() == []
        again()
        assert (len(lakes[nth].raw()), lakes[nth].quarantine()) == (2, [])
    assert len(reads) > 1


def sync_profiles(path: Path) -> object:
    store = SQLiteProfileStore(path)
    entries = [Entry("a", "profile", "2", "2", (b"x" * 32,)), Entry("b", "gone")]
    return store.write(Origin(store.begin_sync(), 1, "second"), entries)


def load_object(path: Path) -> object:
    ledger = SQLiteObjectLedger(path)
    reservation = ledger.begin(KEY, "v2")
    ledger.commit(entry(reservation.load_id, reservation.attempt, "v2"))
    return ledger.mark_published(reservation.load_id)


def land_batch(path: Path) -> object:
    checkpoints = SQLiteCheckpoints(path)
    assert checkpoints.claim(SHARD, "me", 100, 160) is not None
    checkpoints.intend(SHARD, "me", Batch("key", "7"))
    return checkpoints.advance(SHARD, "me", "7")


def profiles_in(path: Path) -> object:
    store = SQLiteProfileStore(path)
    found = [store.get("a"), store.get("b"), store.find(b"x" * 32)]
    return [hit.document if hit else None for hit in found]


def objects_in(path: Path) -> object:
    ledger = SQLiteObjectLedger(path)
    versions = [(row["object_version"], row["status"]) for row in ledger.rows().to_pylist()]
    return sorted({version for version in versions if version[1] == "loaded"})


def places_in(path: Path) -> object:
    return SQLiteCheckpoints(path).read(SHARD)


@pytest.mark.fault("F25", "F29")
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("work", "read"),
    [(sync_profiles, profiles_in), (load_object, objects_in), (land_batch, places_in)],
)
def test_a_file_of_sqlite_is_right_whichever_statement_fails(
    tmp_path: Path, work: Callable[[Path], object], read: Callable[[Path], object], after: bool
) -> None:
    work(tmp_path / "wanted")
    wanted, disk, nth = read(tmp_path / "wanted"), Disk(tmp_path), 0

    def begin(nth: int) -> Callable[[], object]:
        return lambda: work(tmp_path / f"{nth}")

    for nth, again in fail_each(disk, begin, numbers(1), after):
        again()
        assert read(tmp_path / f"{nth}") == wanted, nth
        assert scratch_left(tmp_path) == []
    assert nth > 8


def warehouse_in(home: Path) -> DuckDBWarehouse:
    return DuckDBWarehouse(home / "warehouse.duckdb", home / "published.duckdb", "1GB")


def published_in(home: Path) -> list[int]:
    with warehouse_in(home).published() as reader:
        return reader.query("select n from profile.t order by n")["n"].to_pylist()


def write_and_publish(home: Path, rows: int) -> None:
    warehouse_in(home).replace_table("profile", "t", pa.table({"n": list(range(rows))}))
    warehouse_in(home).publish()


@pytest.mark.fault("F27", "F29")
@pytest.mark.parametrize("after", [False, True])
def test_readers_keep_the_old_version_whichever_operation_of_a_publish_fails(
    tmp_path: Path, after: bool
) -> None:
    disk, nth, names = Disk(tmp_path), 0, set()

    def begin(nth: int) -> Callable[[], object]:
        write_and_publish(tmp_path / f"{nth}", 1)
        return lambda: write_and_publish(tmp_path / f"{nth}", 2)

    for nth, again in fail_each(disk, begin, numbers(1), after):
        names.add(disk.failed)
        is_new = len(published_in(tmp_path / f"{nth}")) == 2
        # Unless the failure was made good, or came after the swap.
        assert not is_new or disk.failed in ("mkdir", "sendfile") or after, disk.failed
        assert scratch_left(tmp_path) == []
        again()
        assert published_in(tmp_path / f"{nth}") == [0, 1]
    assert nth > 4
    assert {"fsync", "replace", "open"} <= names


@pytest.mark.fault("F29")
def test_a_key_is_whole_or_not_there_whichever_operation_fails(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SecretError, match=r"/key cannot be used: Not a directory\. Choose"):
        FileSecrets(tmp_path / "file" / "home" / "key").hmac_key()
    with file_size(10), pytest.raises(SecretError, match="File too large"):
        FileSecrets(tmp_path / "key").hmac_key()
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]
    assert len(FileSecrets(tmp_path / "key").hmac_key()) == 32


@contextmanager
def file_size(limit: int) -> Iterator[None]:
    """No file of this process grows beyond so many bytes: the system's own answer is EFBIG."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def grow_until_it_fits(work: Callable[[], object], step: int) -> list[str]:
    """Do the work under one limit of file sizes after another; what it failed of."""
    errors: list[str] = []
    for times in numbers():
        with file_size(times * step):
            error = told(work)
        if not error:
            break
        errors.append(error)
        assert re.search(NAMED, error), error
        assert "\n" not in error
    count("nth-call runs", len(errors))
    return errors


@pytest.mark.fault("F29")
def test_an_extract_goes_on_where_files_may_grow_again(
    start: Path, undisturbed: dict[str, list], tmp_path: Path
) -> None:
    lake = lake_in(start, tmp_path / "home")
    assert len(grow_until_it_fits(lake.extract_day, 1 << 10)) > 4
    assert outcome(lake) == undisturbed
    assert scratch_left(tmp_path) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own of half a megabyte, where this user may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(place)]
    if (
        not shutil.which("mount")
        or subprocess.run(mount, capture_output=True, check=False).returncode
    ):
        pytest.skip("this user may mount no disk")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.fault("F29")
@pytest.mark.parametrize("is_ledger_too", [True, False])
def test_an_extract_goes_on_when_a_full_disk_has_room_again(
    start: Path,
    undisturbed: dict[str, list],
    small_disk: Path,
    tmp_path: Path,
    is_ledger_too: bool,
) -> None:
    lake, errors = lake_in(start, small_disk / "home"), []
    if not is_ledger_too:
        elsewhere = shutil.copy(start / "ledger.sqlite", tmp_path)
        lake = replace(lake, ledger=SQLiteObjectLedger(Path(elsewhere)))
    ballast = small_disk / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 12))
    # A page more at a time.
    while error := told(lake.extract_day):
        assert re.search(NAMED, error), error
        errors.append(error)
        os.truncate(ballast, ballast.stat().st_size - (1 << 12))
    assert len(errors) > 2
    assert any("Free space there, then run again." in error for error in errors)
    assert outcome(lake) == undisturbed
    assert scratch_left(small_disk) == []
    count("nth-call runs", len(errors))


@pytest.mark.fault("F29")
@pytest.mark.parametrize(
    ("work", "read"),
    [(sync_profiles, profiles_in), (load_object, objects_in), (land_batch, places_in)],
)
def test_a_file_of_sqlite_that_may_not_grow_is_named(
    tmp_path: Path, work: Callable[[Path], object], read: Callable[[Path], object]
) -> None:
    work(tmp_path / "wanted")
    assert len(grow_until_it_fits(lambda: work(tmp_path / "file"), 1 << 11)) > 4
    assert read(tmp_path / "file") == read(tmp_path / "wanted")


@pytest.mark.fault("F29")
def test_readers_keep_the_old_version_while_the_new_one_does_not_fit(tmp_path: Path) -> None:
    write_and_publish(tmp_path, 1)

    def work() -> None:
        assert published_in(tmp_path) == [0]
        write_and_publish(tmp_path, 200_000)

    assert len(grow_until_it_fits(work, 1 << 18)) > 2
    assert len(published_in(tmp_path)) == 200_000
    assert scratch_left(tmp_path) == []


@pytest.mark.fault("F29")
def test_a_scratch_file_of_s3_that_does_not_fit_is_told_by_its_folder(tmp_path: Path) -> None:
    store = S3ObjectStore("bucket", "", "eu-central-1", "http://127.0.0.1:1")
    with (
        file_size(1 << 20),
        pytest.raises(StoreError, match=r"/\S+ cannot be written: File too large\. Raise"),
        store.open_writer("raw/x") as handle,
    ):
        handle.write(bytes(2 << 20))


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.fault("F29")
def test_dagsters_own_storage_is_named_where_it_may_not_grow(tmp_path: Path) -> None:
    def keep_nothing() -> None:
        with dagster_instance(settings):
            pass

    settings = load_settings({"CDP_HOME": str(tmp_path)})
    assert len(grow_until_it_fits(keep_nothing, 1 << 16)) > 1


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.fault("F29")
def test_the_command_line_tells_of_a_home_that_cannot_be_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    run = subprocess.run(
        [str(Path(sys.executable).with_name("cdp")), "run"],
        env={**os.environ, "CDP_HOME": str(tmp_path / "file" / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    told = f"cdp: {tmp_path}/file/home: Not a directory. Choose another folder, then run again.\n"
    assert run.stderr == told
