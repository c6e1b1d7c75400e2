"""Homes of tests: folders in which the real command line works.

Not here: fixtures (`conftest.py` of each folder), a platform that goes on running (`stacks.py`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import duckdb

BIN = Path(sys.executable).parent
SEED = 11

# Set for a whole run of tests that are about other things than dbt's own tests.
WITHOUT_DBT_TESTS = {"DBT_RESOURCE_TYPES": "model seed"}

# As a shell starts what a script sends to the background: with SIGINT ignored.
IN_BACKGROUND = ("sh", "-c", 'trap "" INT; exec "$@"', "sh")

# Somebody whom the sample company does not know.
NEW_CUSTOMER, NEW_EMAIL = "Oxenstierna", "berenike@oxenstierna.example"
_CONTACTS = f"""\
Id,FirstName,LastName,Email,Phone,MobilePhone,MailingStreet,MailingCity,MailingState,\
MailingPostalCode,MailingCountry,Birthdate,GenderIdentity,Loyalty_Id__c,HasOptedOutOfEmail,\
DoNotCall,IsDeleted,CreatedDate,SystemModstamp
003000000000001AAA,Berenike,{NEW_CUSTOMER},{NEW_EMAIL},,,,,,,SE,,,,false,\
false,false,2026-08-31T08:00:00.000Z,2026-08-31T08:00:00.000Z
"""


@dataclass(frozen=True)
class Home:
    """One CDP_HOME and the commands that run in it."""

    path: Path

    @property
    def landing(self) -> Path:
        return self.path / "lake" / "landing"

    @property
    def ledger(self) -> Path:
        return self.path / "ledger.sqlite"

    @property
    def profile_store(self) -> Path:
        return self.path / "profiles.sqlite"

    @property
    def hmac_key(self) -> Path:
        return self.path / "hmac.key"

    @property
    def warehouse(self) -> Path:
        return self.path / "warehouse" / "cdp.duckdb"

    @property
    def published(self) -> Path:
        return self.path / "warehouse" / "published.duckdb"

    @property
    def environment(self) -> dict[str, str]:
        """That of its commands: settings that a test of this process exported must not leak in."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("CDP_", "DBT_", "DAGSTER_")) or name in WITHOUT_DBT_TESTS
        }
        return {**inherited, "CDP_HOME": str(self.path)}

    def command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            arguments,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"{arguments} exited {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done

    def cdp(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.command(str(BIN / "cdp"), *arguments, check=check)

    def land_new_customer(self) -> None:
        """Put an object into landing as a whole: a sensor must not see half of it."""
        folder = self.landing / "crm" / "contacts" / "dt=2026-08-31"
        folder.mkdir(parents=True)
        arriving = self.path / "arriving.csv"
        arriving.write_text(_CONTACTS)
        arriving.rename(folder / "Contact-delta-2026-08-31-0001.csv")

    def copy(self, path: Path) -> Home:
        """The same home elsewhere, to change it."""
        # What SQLite keeps beside an open file comes and goes while other tests read.
        shutil.copytree(self.path, path, ignore=shutil.ignore_patterns("*-wal", "*-shm"))
        for file in (path / "warehouse").glob("*.duckdb"):
            _point_views(file, self.path, path)
        return Home(path)

    def hashes(self) -> dict[str, str]:
        lines = self.cdp("hash", "--tables").stdout.splitlines()
        return {name: value for value, name in (line.split(maxsplit=1) for line in lines)}


def new_home(path: Path, sample: Path, *, landed: bool = True) -> Home:
    """A home with the sample's truth, and with its objects in landing if `landed`."""
    home = Home(path)
    (path / "sample").mkdir(parents=True)
    shutil.copyfile(sample / "truth.parquet", path / "sample" / "truth.parquet")
    if landed:
        shutil.copytree(sample / "landing", home.landing)
    return home


def _point_views(file: Path, old: Path, new: Path) -> None:
    """Let the views of raw files read those of the copy: no others may be read from it."""
    with duckdb.connect(str(file)) as connection:
        for (sql,) in connection.execute(
            "select sql from duckdb_views() where schema_name = 'sources'"
        ).fetchall():
            moved = sql.replace(f"{old}/", f"{new}/").replace(
                "CREATE VIEW", "CREATE OR REPLACE VIEW"
            )
            connection.execute(moved)
