"""dbt-athena's own functional tests, unchanged, on the local server.

    python -m tests.athena_local.conformance [-k EXPRESSION]

They come with dbt-athena's source distribution, of the version and hash in uv.lock; pip fetches it
from the index it is set to. Here: fetching and running them, and which of them need not pass, with
the reason. Not here: our own tests of the server, which `make test` runs.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from tests.athena_local.server import REGION, LocalAthena, running

# What fails, and may: by module, class and test. A name that passes has to leave the list.
_NO_ZONES: Final = "asks for a moment in a zone other than UTC, and DuckDB keeps no zone"
_NO_IPADDRESS: Final = "asks for IPADDRESS, which no column here has; DuckDB's is an extension"
_NO_EMPTY_SEED: Final = "asks for `dbt seed --empty`, which came with a later dbt than we use"
LEFT_OUT: Final[Mapping[str, str]] = {
    "test_connections.TestConnection.test__convert_timestamps": _NO_ZONES,
    "test_connections.TestConnection.test__convert_other_scalars": _NO_IPADDRESS,
    **dict.fromkeys(
        (
            "test_empty.TestAthenaEmptySeedFlag.test_seed_empty_creates_table_with_zero_rows",
            "test_empty.TestAthenaEmptySeedFlag.test_seed_empty_preserves_column_types",
            "test_empty.TestAthenaEmptySeedFlag.test_build_empty_with_seed",
        ),
        _NO_EMPTY_SEED,
    ),
}

_PACKAGE: Final = "dbt-athena"
_LOCK: Final = Path(__file__).parents[2] / "uv.lock"
# Two processes of tests; the server takes what is left of two cores.
_PROCESSES: Final = 2
_LONGEST_SECONDS: Final = 3_600


@dataclass
class Report:
    """What became of each test: `module.class.test`, and for some a reason."""

    passed: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def classes(self) -> set[str]:
        """Modules and classes that have a test here."""
        return {name.rpartition(".")[0] for name in [*self.passed, *self.failed, *self.skipped]}


def fetch(folder: Path) -> None:
    """Put the tests into a folder, as `tests/functional`.

    Raises:
        subprocess.CalledProcessError: pip does not find this very file.
    """
    locked = tomllib.loads(_LOCK.read_text())["package"]
    [package] = [one for one in locked if one["name"] == _PACKAGE]
    wanted = f"{_PACKAGE}=={package['version']} --hash={package['sdist']['hash']}\n"
    (folder / "requirements.txt").write_text(wanted)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    exactly = ["--no-deps", "--no-binary", ":all:", "--require-hashes", "-r", "requirements.txt"]
    subprocess.run([*pip, "download", *exactly], cwd=folder, check=True)
    [archive] = folder.glob("*.tar.gz")
    with tarfile.open(archive) as content:
        for member in content.getmembers():
            _, _, member.name = member.name.partition("/")
            if member.name == "tests/__init__.py" or member.name.startswith("tests/functional/"):
                content.extract(member, folder, filter="data")


def expected_classes(folder: Path) -> set[str]:
    """Modules and classes of tests that the files have: each must be in the report."""
    return {
        f"{path.stem}.{name}"
        for path in folder.glob("tests/functional/**/test_*.py")
        for name in re.findall(r"^class (Test\w+)", path.read_text(), re.MULTILINE)
    }


def environment(athena: LocalAthena) -> dict[str, str]:
    """What the tests' conftest asks for, and nothing of the machine's own AWS or dbt."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "DBT_", "PYTEST_"))
    }
    return {
        **kept,
        **athena.environment,
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DBT_TEST_ATHENA_S3_STAGING_DIR": f"{athena.lake}/staging/",
        "DBT_TEST_ATHENA_S3_TMP_TABLE_DIR": f"{athena.lake}/tables/",
        "DBT_TEST_ATHENA_REGION_NAME": REGION,
        "DBT_TEST_ATHENA_DATABASE": "awsdatacatalog",
        "DBT_TEST_ATHENA_SCHEMA": "conformance",
        "DBT_TEST_ATHENA_WORK_GROUP": "primary",
        "DBT_TEST_ATHENA_THREADS": "1",
        "DBT_TEST_ATHENA_POLL_INTERVAL": "0.1",
    }


def run(folder: Path, athena: LocalAthena, only: str | None) -> Report:
    """Run the tests that are in a folder.

    Raises:
        RuntimeError: pytest did not come to an end of its own.
    """
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "tests/functional", "-c", "pytest.ini"]
    command += ["-q", "--tb=short", "-p", "no:cacheprovider", "--disable-warnings"]
    command += ["--numprocesses", str(_PROCESSES), "--dist", "loadscope"]
    command += ["--junitxml", "report.xml", *(["-k", only] if only else [])]
    ended = subprocess.run(
        command, cwd=folder, env=environment(athena), timeout=_LONGEST_SECONDS, check=False
    )
    if ended.returncode not in (0, 1):
        raise RuntimeError(f"pytest ended with {ended.returncode}")
    return read_report(folder / "report.xml")


def read_report(path: Path) -> Report:
    """Read pytest's JUnit file."""
    report = Report()
    for case in ElementTree.parse(path).iter("testcase"):
        module = case.attrib["classname"].removeprefix("tests.functional.adapter.")
        name = f"{'.'.join(module.split('.')[-2:])}.{case.attrib['name']}"
        wrong = [*case.iter("failure"), *case.iter("error")]
        if wrong:
            report.failed[name] = wrong[0].get("message", "").partition("\n")[0][:200]
        elif (skipped := case.find("skipped")) is not None:
            report.skipped[name] = " ".join(skipped.get("message", "").split())
        else:
            report.passed.append(name)
    return report


def problems(
    report: Report, expected: set[str], left_out: Mapping[str, str] = LEFT_OUT
) -> list[str]:
    """What must not be; empty if the server conforms.

    Args:
        report: of a whole run.
        expected: modules and classes that must be in it.
        left_out: tests that may fail, and must.
    """
    known = {*report.passed, *report.failed}
    return [
        *(f"failed: {one}: {why}" for one, why in report.failed.items() if one not in left_out),
        *(f"passes, but is left out: {one}" for one in report.passed if one in left_out),
        *(f"left out, but was not run: {one}" for one in left_out if one not in known),
        *(f"has no test in the report: {one}" for one in sorted(expected - report.classes)),
    ]


def main() -> None:
    """Run, and say what passed, what failed, and what is left out for which reason."""
    parser = argparse.ArgumentParser(prog="python -m tests.athena_local.conformance")
    parser.add_argument("-k", dest="only", help="only tests that pytest's expression names")
    only = parser.parse_args().only
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "suite").mkdir()
        fetch(folder / "suite")
        expected = expected_classes(folder / "suite")
        with running(folder / "objects") as athena:
            report = run(folder / "suite", athena, only)
    wrong = problems(report, expected)
    if only:
        wrong = [one for one in wrong if one.startswith(("failed", "passes"))]
    _tell(report, wrong, time.monotonic() - started)
    sys.exit(1 if wrong else 0)


def _tell(report: Report, wrong: list[str], seconds: float) -> None:
    print("\nLeft out by the suite itself:")
    for reason in sorted(set(report.skipped.values())):
        names = [one for one, why in report.skipped.items() if why == reason]
        print(f"  {reason}", *(f"    {name}" for name in names), sep="\n")
    left_out = [one for one in report.failed if one in LEFT_OUT]
    print("Left out here:", *(f"  {one}\n    {LEFT_OUT[one]}" for one in left_out), sep="\n")
    failed = len(report.failed) - len(left_out)
    print(
        f"{len(report.passed)} passed, {failed} failed, {len(left_out)} left out here, "
        f"{len(report.skipped)} by the suite itself, in {seconds:.0f} s"
    )
    if wrong:
        print("\nWrong:", *(f"  {one}" for one in wrong), sep="\n")


if __name__ == "__main__":
    main()
