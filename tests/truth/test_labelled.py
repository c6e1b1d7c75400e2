"""Reading labelled files: what a careful loader makes of what people write."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.labelled import Labelled, LabelledFileError, load, parse_mapping

Read = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(text: str, name: str = "people.csv") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def read(*files: Path, mapping: str, truth: str = "who", country: str | None = None):
    """The raw contacts that become of the files, as dictionaries in their order."""
    with duckdb.connect() as connection:
        load(Labelled(files, truth, parse_mapping(mapping), country), connection)
        rows = connection.sql("select * from contacts order by _line").to_arrow_table()
        return rows.to_pylist()


def column(name: str, *files: Path, **options: Any) -> list[str | None]:
    return [row[name] for row in read(*files, **options)]


def test_columns_become_the_fields_they_are_mapped_to(write):
    file = write("who,fn,Sur Name,e\n1,Ann,Lee,a@b.org\n")
    [contact] = read(file, mapping="first_name=fn, last_name=Sur Name, email=e")
    found = (contact["first_name"], contact["last_name"], contact["email"], contact["phone"])
    assert found == ("Ann", "Lee", "a@b.org", None)


def test_joined_columns_skip_what_is_empty(write):
    file = write("who,no,street,unit\n1,5,Elm St,\n2,,Oak St,7\n3,,,\n")
    found = column("mailing_street", file, mapping="address=no+street+unit")
    assert found == ["5 Elm St", "Oak St 7", None]


def test_several_files_are_stacked_by_the_names_of_their_columns(write, tmp_path):
    first = write("who,name,city\n1,Ann,Rome\n", "first.csv")
    pq.write_table(pa.table({"name": ["Bob"], "who": [2]}), tmp_path / "second.parquet")
    rows = read(first, tmp_path / "second.parquet", mapping="first_name=name,city=city")
    found = [(row["contact_id"], row["first_name"], row["mailing_city"]) for row in rows]
    assert found == [("1", "Ann", "Rome"), ("2", "Bob", None)]


def test_a_compressed_file_reads_like_one_that_is_not(tmp_path):
    with gzip.open(tmp_path / "people.csv.gz", "wt") as file:
        file.write("who,name\n1,Ann\n")
    assert column("first_name", tmp_path / "people.csv.gz", mapping="first_name=name") == ["Ann"]


def test_a_date_may_come_in_three_columns(write):
    file = write("who,d,m,y\n1,12,3,1980\n2,12.0,3.0,1980.0\n3,12,,1980\n")
    assert column("birth_date", file, mapping="dob=y+m+d") == ["1980-03-12", "1980-03-12", None]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_header_shows_the_delimiter_and_its_blanks_do_not_count(write, delimiter):
    file = write(f"who{delimiter} name{delimiter} city\n1{delimiter} Ann{delimiter} Rome\n")
    assert column("first_name", file, mapping="first_name=name") == ["Ann"]


def test_people_called_null_keep_their_name_and_nothing_is_nothing(write):
    file = write("who,name,loyalty\n1,Null,null\n2,NA,NaN\n3,nan,\n")
    assert column("last_name", file, mapping="last_name=name,loyalty_id=loyalty") == [
        "Null",
        "NA",
        None,
    ]
    assert column("loyalty_id", file, mapping="last_name=name,loyalty_id=loyalty") == [None] * 3


def test_numbers_lose_the_decimals_that_data_frames_add_and_keep_their_zeros(write):
    file = write("who,zip\n1,02019\n2,2019.0\n")
    assert column("mailing_postal_code", file, mapping="postcode=zip") == ["02019", "2019"]


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        ("1980-03-12", "1980-03-12"),
        ("1980/3/12", "1980-03-12"),
        ("1980-03-12 00:00:00", "1980-03-12"),
        ("19800312", "1980-03-12"),
        ("19800312.0", "1980-03-12"),
        ("12 Mar 1980", "1980-03-12"),
        ("1980", None),
        ("1980.0", None),
        ("1980-02-31", None),
        ("12/03/80", None),
        ("unknown", None),
    ],
)
def test_dates_of_birth_are_read_as_iso(write, written, read_as):
    file = write(f"who;born\n1;{written}\n")
    assert column("birth_date", file, mapping="dob=born") == [read_as]


def test_the_column_shows_whether_the_day_or_the_month_comes_first(write):
    days = write("who,born\n1,03/04/1990\n2,25/12/1990\n", "days.csv")
    months = write("who,born\n1,03/04/1990\n2,12/25/1990\n", "months.csv")
    assert column("birth_date", days, mapping="dob=born") == ["1990-04-03", "1990-12-25"]
    assert column("birth_date", months, mapping="dob=born") == ["1990-03-04", "1990-12-25"]


def test_eight_digits_are_a_date_from_either_end(write):
    file = write("who,born\n1,19900425\n2,04251990\n")
    assert column("birth_date", file, mapping="dob=born") == ["1990-04-25", "1990-04-25"]


def test_phones_of_a_known_country_become_international_numbers(write):
    file = write("who,tel\n1,(415) 555-2671\n2,+44 20 7946 0018\n3,0044 20 7946 0018\n4,5551\n")
    found = column("phone_e164", file, mapping="phone=tel", country="United States")
    assert found == ["+14155552671", "+442079460018", "+442079460018", None]


def test_phones_of_an_unknown_country_are_compared_by_their_digits(write):
    file = write("who,tel\n1,(415) 555-2671\n2,415.555.2671 x12\n3,4155552671.0\n4,12\n")
    assert column("phone_e164", file, mapping="phone=tel") == ["4155552671"] * 3 + [None]


def test_rows_without_a_truth_are_matched_and_not_judged(write):
    file = write("who,name\n1,Ann\n,Bob\n")
    with duckdb.connect() as connection:
        rows = load(Labelled([file], "who", {"first_name": "name"}), connection)
        assert rows == 2
        assert connection.execute("from truth").fetchall() == [("crm:contact:1", "1")]


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ("first_name", "not of the form field=COLUMN"),
        ("name=name", "'name' is no field of ours; they are record_id, source, first_name"),
        ("first_name=name,first_name=city", "'first_name' is mapped twice"),
        ("source=name", "no field that says who somebody is"),
        ("", "no field that says who somebody is"),
    ],
)
def test_a_mapping_that_makes_no_sense_is_refused(mapping, message):
    with pytest.raises(LabelledFileError, match=message):
        parse_mapping(mapping)


def test_a_column_that_is_not_there_is_named_with_those_that_are(write):
    file = write("who,name\n1,Ann\n")
    message = r"first_name: there is no column given in people.csv; the columns are name, who"
    with pytest.raises(LabelledFileError, match=message):
        read(file, mapping="first_name=given")
    with pytest.raises(LabelledFileError, match=r"--truth: there is no column entity"):
        read(file, mapping="first_name=name", truth="entity")


def test_a_truth_that_is_empty_is_refused(write):
    with pytest.raises(LabelledFileError, match="The truth column 'who' is empty in every row"):
        read(write("who,name\n,Ann\n"), mapping="first_name=name")


def test_a_file_that_is_no_table_is_refused(write, tmp_path):
    with pytest.raises(LabelledFileError, match="There is no file"):
        read(tmp_path / "none.csv", mapping="first_name=name")
    with pytest.raises(LabelledFileError, match="must name each column once"):
        read(write("who,name,name\n1,Ann,B\n"), mapping="first_name=name")
    with pytest.raises(LabelledFileError, match=r"broken.parquet cannot be read"):
        read(write("no parquet", "broken.parquet"), mapping="first_name=name")


def test_a_country_that_nobody_knows_is_refused(write):
    file = write("who,tel\n1,12\n")
    with pytest.raises(LabelledFileError, match="'Atlantis' is not in the list of countries"):
        read(file, mapping="phone=tel", country="Atlantis")
