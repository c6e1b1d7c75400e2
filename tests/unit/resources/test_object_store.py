"""One set of promises, kept by a folder and by an S3 server over HTTP."""

from __future__ import annotations

import os
import time
from pathlib import Path

import boto3
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cdp_assets.resources.object_store import (
    KeyRefusedError,
    LocalObjectStore,
    ObjectChangedError,
    ObjectMissingError,
    ObjectStore,
    S3ObjectStore,
    seekable,
)
from tests.unit.s3 import REGION, new_bucket, s3_endpoint, s3_store

__all__ = ["s3_endpoint", "s3_store"]


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "s3":
        return request.getfixturevalue("s3_store")
    return LocalObjectStore(tmp_path / "lake")


def test_what_is_written_is_read(store: ObjectStore) -> None:
    store.write("landing/crm/a.csv", b"hello")
    assert store.read("landing/crm/a.csv") == b"hello"
    assert [info.key for info in store.list("landing")] == ["landing/crm/a.csv"]
    assert store.head("landing/crm/a.csv") == next(store.list("landing"))
    assert store.head("landing/crm/a.csv").size == 5


def test_a_folder_that_is_not_there_lists_nothing(store: ObjectStore) -> None:
    assert list(store.list("landing/nothing")) == []


def test_a_prefix_is_a_folder_and_not_the_start_of_a_name(store: ObjectStore) -> None:
    store.write("in/x", b"1")
    store.write("in2/x", b"1")
    assert [info.key for info in store.list("in")] == ["in/x"]


@pytest.mark.fault("F06")
def test_other_content_is_another_version(store: ObjectStore) -> None:
    store.write("a", b"one")
    first = store.head("a").version
    assert store.head("a").version == first
    store.write("a", b"two")
    assert store.head("a").version != first


def test_an_object_that_is_not_there_is_missing(store: ObjectStore) -> None:
    for call in (store.read, store.head):
        with pytest.raises(ObjectMissingError):
            call("nothing/here")
    with pytest.raises(ObjectMissingError), store.open_reader("nothing/here"):
        pass


def test_deleting_twice_is_no_error(store: ObjectStore) -> None:
    store.write("a", b"1")
    store.delete("a")
    store.delete("a")
    with pytest.raises(ObjectMissingError):
        store.head("a")


@pytest.mark.fault("F24", "F29")
def test_a_writer_that_fails_leaves_the_old_object(store: ObjectStore) -> None:
    store.write("folder/a", b"old")
    with pytest.raises(RuntimeError, match="stop"):
        write_half(store, "folder/a")
    assert store.read("folder/a") == b"old"
    assert [info.key for info in store.list("folder")] == ["folder/a"]


def test_a_reader_streams_blocks_and_can_be_made_seekable(store: ObjectStore) -> None:
    content = os.urandom(3 << 20)
    store.write("a", content)
    with store.open_reader("a") as (info, handle):
        assert info.size == len(content)
        assert handle.read(10) == content[:10]
        assert handle.read(1 << 20) == content[10 : 10 + (1 << 20)]
    with store.open_reader("a") as (_, handle), seekable(handle) as file:
        file.seek(-5, os.SEEK_END)
        assert file.read() == content[-5:]


@pytest.mark.fault("F10")
@pytest.mark.parametrize(
    "key", ["x.tmp", "x.part", "_temporary/0/x", ".hidden", ".folder/x", "x_$folder$"]
)
@pytest.mark.fault("F10")
def test_unfinished_objects_are_not_listed(store: ObjectStore, key: str) -> None:
    store.write(f"landing/{key}", b"1")
    store.write("landing/whole.csv", b"1")
    assert [info.key for info in store.list("landing")] == ["landing/whole.csv"]


@pytest.mark.parametrize(
    "key",
    ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/./b", "a/", "a\nb", "a\0b", "x" * 1025],
)
@pytest.mark.fault("F40")
def test_keys_that_could_leave_the_lake_are_refused(store: ObjectStore, key: str) -> None:
    for call in (store.read, store.delete, store.head):
        with pytest.raises(KeyRefusedError):
            call(key)
    with pytest.raises(KeyRefusedError):
        store.write(key, b"1")


@pytest.mark.parametrize("key", ["dt%3D2026-03-01", "sp ace", "ünïcode", "a'b", 'q"', "x=1&y"])
@pytest.mark.fault("F40")
def test_odd_names_are_only_names(store: ObjectStore, key: str) -> None:
    store.write(f"landing/{key}", b"1")
    assert [info.key for info in store.list("landing")] == [f"landing/{key}"]
    assert store.read(f"landing/{key}") == b"1"


def test_duckdb_reads_a_glob_of_addresses(store: ObjectStore) -> None:
    for day in ("2026-03-01", "2026-03-02"):
        with store.open_writer(f"raw/t/dt={day}/a.parquet") as handle:
            pq.write_table(pa.table({"n": [1, 2]}), handle)
    with duckdb.connect() as connection:
        store.register(connection)
        sql = f"select count(*), count(distinct dt) from read_parquet('{store.url('raw/t/*/*')}')"
        assert connection.sql(sql).fetchall() == [(4, 2)]


KEY = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"


@pytest.mark.parametrize("key", [KEY, None])
def test_every_object_has_the_key_that_is_set_and_else_the_buckets_default(
    s3_endpoint: str, key: str | None
) -> None:
    bucket, default = new_bucket(s3_endpoint), "alias/of-the-bucket"
    client = boto3.client("s3", endpoint_url=s3_endpoint, region_name=REGION)
    rule = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": default}
    client.put_bucket_encryption(
        Bucket=bucket,
        ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": rule}]},  # pyright: ignore[reportArgumentType]
    )
    store = S3ObjectStore(bucket, "lake", REGION, s3_endpoint, key)
    store.write("put", b"1")
    in_parts = os.urandom(17 << 20)
    for name, content in (("small", b"1"), ("in parts", in_parts)):
        with store.open_writer(name) as handle:
            handle.write(content)
    for name in ("put", "small", "in parts"):
        head = client.head_object(Bucket=bucket, Key=f"lake/{name}")
        found = head.get("ServerSideEncryption"), head.get("SSEKMSKeyId")
        assert found == ("aws:kms", key or default), name
        assert ("-" in head["ETag"]) == (name == "in parts")
    assert store.read("in parts") == in_parts


def write_half(store: ObjectStore, key: str) -> None:
    with store.open_writer(key) as handle:
        handle.write(b"new, but only ha")
        raise RuntimeError("stop")


class TestLocalFolder:
    @pytest.mark.fault("F08")
    def test_ten_thousand_objects_are_listed_in_a_second(self, tmp_path: Path) -> None:
        store = LocalObjectStore(tmp_path)
        folder = tmp_path / "landing"
        folder.mkdir()
        for number in range(10_000):
            (folder / f"{number}").touch()
        started = time.perf_counter()
        assert sum(1 for _ in store.list("landing")) == 10_000
        assert time.perf_counter() - started < 1

    @pytest.mark.fault("F40")
    def test_symbolic_links_are_listed_as_such_and_not_followed(self, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("secret")
        landing = tmp_path / "lake" / "landing"
        landing.mkdir(parents=True)
        (landing / "file").symlink_to(tmp_path / "secret")
        (landing / "folder").symlink_to(tmp_path)
        store = LocalObjectStore(tmp_path / "lake")
        listed = {info.key for info in store.list("landing") if info.is_link}
        assert listed == {info.key for info in store.list("landing")}
        assert listed == {"landing/file", "landing/folder"}
        for key in ("landing/file", "landing/folder/secret"):
            with pytest.raises(KeyRefusedError):
                store.read(key)

    @pytest.mark.fault("F40")
    def test_a_name_that_breaks_lines_does_not_stop_the_listing(self, tmp_path: Path) -> None:
        (tmp_path / "landing").mkdir()
        for name in ("good", "bad\nname"):
            (tmp_path / "landing" / name).touch()
        keys = {info.key for info in LocalObjectStore(tmp_path).list("landing")}
        assert keys == {"landing/good", "landing/bad\nname"}

    @pytest.mark.fault("F10")
    def test_an_object_that_changes_while_it_is_read_says_so(self, tmp_path: Path) -> None:
        store = LocalObjectStore(tmp_path)
        store.write("a", b"one")
        reader = store.open_reader("a")
        reader.__enter__()
        (tmp_path / "a").write_bytes(b"more than one")
        with pytest.raises(ObjectChangedError):
            reader.__exit__(None, None, None)


class TestS3:
    @pytest.mark.fault("F40")
    def test_keys_that_no_lake_would_write_do_not_stop_the_listing(
        self, s3_store: S3ObjectStore
    ) -> None:
        keys = ["landing/a//b.csv", "landing/../c.csv", "landing/good.csv"]
        for key in keys:
            s3_store._client.put_object(Bucket=s3_store._bucket, Key=f"tenant/lake/{key}", Body=b"")
        assert {info.key for info in s3_store.list("landing")} == set(keys)

    @pytest.mark.fault("F10")
    def test_folder_markers_are_no_objects(self, s3_store: S3ObjectStore) -> None:
        s3_store._client.put_object(Bucket=s3_store._bucket, Key="tenant/lake/landing/a/", Body=b"")
        assert list(s3_store.list("landing")) == []
