"""Every setting of the platform, and the only reader of environment variables.

Here: one frozen `Settings` value, how it is read, and what a child process (dbt) is told.
Belongs here: a setting, its default, its valid range and the reason for it.
Not here: anything that opens a file, a connection or a socket; `resources/build.py` does that.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Literal, cast
from urllib.parse import unquote, urlsplit

from cdp_assets.errors import PlatformError

PROJECT_ROOT = Path(__file__).resolve().parent.parent
DBT_PROJECT_DIR = PROJECT_ROOT / "dbt_project"

Profile = Literal["local", "aws"]

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_SIZE: Final = re.compile(r"\d{1,9}(\.\d{1,3})? ?[KMGT]i?B", re.ASCII)
# An id, an alias, or the ARN of either; nothing that would end a quoted text.
_KMS_KEY: Final = re.compile(
    r"([A-Za-z0-9-]+|arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:(key|alias)/[\w/-]+|alias/[\w/-]+)",
    re.ASCII,
)


class SettingsError(PlatformError, ValueError):
    """A setting is missing or out of range; the message names it and what to do."""


@dataclass(frozen=True)
class Limits:
    """What one landing object may cost. Past a limit the object or record is quarantined.

    Attributes:
        object_bytes: decompressed bytes of one object (64 GiB: larger exports are split).
        gzip_ratio: decompressed / compressed, judged past 64 MiB. JSON and CSV stay below 60.
        record_bytes: one record. Firehose and Segment refuse records over 1 MiB.
        nesting: JSON depth. Deeper than 64 is an attack or a bug in the sender.
        chunk_bytes: what an extract holds in memory at once; resident size is a few times this.
        future_skew_hours: how far an event may lie after the end of its landing day.
        objects_per_tick: what one sensor tick may ask for.
        listed_per_tick: what one sensor tick may list, loaded before or not: 20 pages of S3. A
            listing that is longer goes on in the next tick.
        messages_per_tick: what one sensor tick takes from the queue of object events.
    """

    object_bytes: int = 64 * 2**30
    gzip_ratio: int = 200
    record_bytes: int = 16 * 2**20
    nesting: int = 64
    chunk_bytes: int = 16 * 2**20
    future_skew_hours: int = 24
    objects_per_tick: int = 1_000
    listed_per_tick: int = 20_000
    messages_per_tick: int = 1_000


@dataclass(frozen=True)
class GateBudget:
    """How much an ordinary run may change published identities before publish is stopped.

    Each is a share (0 to 1) of the customers published so far. New customers are never a fault.
    `floor` is the number of published customers under which the gate only reports.
    """

    merged: float = 0.10
    split: float = 0.02
    reidentified: float = 0.02
    floor: int = 1_000


@dataclass(frozen=True)
class Settings:
    """One tenant's configuration. See docs/running.md for the environment variables."""

    profile: Profile
    tenant: str
    home: Path
    lake_url: str
    dbt_target: str
    unattended: bool
    s3_endpoint_url: str | None
    region: str
    warehouse_memory: str
    work_group: str = "primary"
    identity_model: str = "default"
    ledger_table: str = ""
    profile_table: str = ""
    secret_name: str = ""
    alerts_topic_arn: str | None = None
    limits: Limits = field(default_factory=Limits)
    gate: GateBudget = field(default_factory=GateBudget)
    landing_queue_url: str | None = None
    listing_seconds: int = 900
    checkpoint_table: str = "cdp-main-checkpoints"
    kms_key: str | None = None
    lease_patience: int = 3_600
    lease_seconds: int = 2_100
    failpoint: str = ""

    @property
    def lake_folder(self) -> Path | None:
        """The lake's folder when its address is of this machine, else None."""
        url = urlsplit(self.lake_url)
        if url.scheme == "file" and url.netloc in ("", "localhost"):
            return Path(unquote(url.path))
        return None

    @property
    def raw_folder(self) -> Path | None:
        """The folder of raw files, all that SQL reads of the lake; None where that is a bucket."""
        return self.lake_folder / "raw" if self.lake_folder else None

    @property
    def warehouse_path(self) -> Path:
        """The DuckDB file that runs write."""
        return self.home / "warehouse" / "cdp.duckdb"

    @property
    def published_path(self) -> Path:
        """The DuckDB file that readers open: a whole version, swapped in by rename."""
        return self.home / "warehouse" / "published.duckdb"

    @property
    def ledger_path(self) -> Path:
        """The SQLite file that knows which landing objects were loaded."""
        return self.home / "ledger.sqlite"

    @property
    def profile_store_path(self) -> Path:
        """The SQLite file of the profile store."""
        return self.home / "profiles.sqlite"

    @property
    def hmac_key_path(self) -> Path:
        """The secret key of the hashes of identifiers; not in the lake, which others may read."""
        return self.home / "hmac.key"

    @property
    def checkpoints_path(self) -> Path:
        """The SQLite file that knows how far each shard of a stream was landed."""
        return self.home / "checkpoints.sqlite"

    @property
    def dagster_home(self) -> Path:
        """Dagster's own storage: runs, events, schedules."""
        return self.home / "dagster"

    @property
    def dbt_target_path(self) -> Path:
        """Where dbt keeps its manifest and what it compiled; one folder per run below it."""
        return self.home / "dbt"

    @property
    def sample_dir(self) -> Path:
        """The sample company's ground truth; the pipeline never reads it."""
        return self.home / "sample"


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment (or from `environ`, for tests).

    Raises:
        SettingsError: a variable holds a value outside its range, or the aws profile lacks one.
    """
    env = os.environ if environ is None else environ
    profile = env.get("CDP_PROFILE", "local")
    if profile not in ("local", "aws"):
        raise SettingsError(f"CDP_PROFILE is {profile!r}: it takes 'local' or 'aws'.")
    tenant = _tenant(env.get("CDP_TENANT", "main"))
    home = Path(env.get("CDP_HOME", PROJECT_ROOT / ".cdp")).resolve()
    if profile == "aws":
        for name in ("CDP_LAKE_URL", "AWS_REGION"):
            if not env.get(name):
                raise SettingsError(f"{name} is not set: the aws profile has no default for it.")
    tenant = _tenant(env.get("CDP_TENANT", "main"))
    return Settings(
        profile=cast(Profile, profile),
        tenant=tenant,
        home=home,
        lake_url=env.get("CDP_LAKE_URL", (home / "lake").as_uri()),
        dbt_target=profile,
        unattended=_switch(env, "CDP_UNATTENDED"),
        s3_endpoint_url=env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL"),
        region=env.get("AWS_REGION", "us-east-1"),
        warehouse_memory=_memory(env.get("CDP_WAREHOUSE_MEMORY", "4GB")),
        work_group=env.get("CDP_WORKGROUP", "primary"),
        identity_model=env.get("CDP_IDENTITY_MODEL", "default"),
        ledger_table=env.get("CDP_LEDGER_TABLE", f"cdp-{tenant}-ledger"),
        profile_table=env.get("CDP_PROFILE_TABLE", f"cdp-{tenant}-profiles"),
        secret_name=env.get("CDP_SECRET_NAME", f"cdp/{tenant}/hmac-key"),
        alerts_topic_arn=env.get("CDP_ALERTS_TOPIC_ARN"),
        gate=_gate(env.get("CDP_GATE_BUDGET", "")),
        landing_queue_url=env.get("CDP_LANDING_QUEUE_URL") or None,
        # Less is what a tick takes; more than a day would leave a lost event to the next but one.
        listing_seconds=_seconds(env, "CDP_LISTING_SECONDS", 900, at_least=10),
        checkpoint_table=env.get("CDP_CHECKPOINT_TABLE", f"cdp-{tenant}-checkpoints"),
        kms_key=_kms_key(env.get("CDP_KMS_KEY", "")),
        # Under 35 minutes, a step does not outwait the lease of a run that was killed.
        lease_patience=_seconds(env, "CDP_LEASE_PATIENCE", 3600, at_least=0),
        # Athena ends a statement after 30 minutes: a killed run's may outlast a shorter lease.
        lease_seconds=_seconds(env, "CDP_LEASE_SECONDS", 2100, at_least=1),
        failpoint=env.get("CDP_FAILPOINT", ""),
    )


def export_settings(settings: Settings) -> None:
    """Tell child processes (dbt, Dagster) where this tenant lives, and to phone nobody."""
    os.environ.update(
        {
            "CDP_HOME": str(settings.home),
            "CDP_LAKE_URL": settings.lake_url,
            "CDP_WAREHOUSE_PATH": str(settings.warehouse_path),
            "CDP_WAREHOUSE_MEMORY": settings.warehouse_memory,
            "CDP_TENANT": settings.tenant,
            "CDP_WORKGROUP": settings.work_group,
            "CDP_KMS_KEY": settings.kms_key or "",
            "DBT_TARGET_PATH": str(settings.dbt_target_path),
            "DAGSTER_DISABLE_TELEMETRY": "yes",
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            "DO_NOT_TRACK": "1",
        }
    )


def export_match_model(compact_json: str) -> None:
    """Tell dbt which identity model its matching SQL is compiled from."""
    os.environ["CDP_MATCH_MODEL"] = compact_json


def export_serving(settings: Settings, *, unattended: bool) -> None:
    """Tell the webserver and daemon where Dagster's storage is and whether work runs by itself."""
    os.environ["DAGSTER_HOME"] = str(settings.dagster_home)
    os.environ["CDP_UNATTENDED"] = "1" if unattended else "0"
    # By default a sensor on runs handles 5 a tick: after a bad night the last is heard of late.
    os.environ["DAGSTER_RUN_STATUS_SENSOR_PROCESS_LIMIT"] = "50"


def _switch(env: Mapping[str, str], name: str) -> bool:
    value = env.get(name, "0").lower()
    if value in ("1", "true", "yes"):
        return True
    if value in ("0", "false", "no", ""):
        return False
    raise SettingsError(f"{name} is {value!r}: it takes 1 or 0.")


def _seconds(env: Mapping[str, str], name: str, default: int, *, at_least: int) -> int:
    """A whole number of seconds, a day at most."""
    text = env.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and at_least <= int(text) <= 86_400):
        raise SettingsError(f"{name} is {text!r}: it takes {at_least} to 86400 seconds.")
    return int(text)


def _memory(text: str) -> str:
    # It becomes part of a statement.
    if not _SIZE.fullmatch(text):
        raise SettingsError(f"CDP_WAREHOUSE_MEMORY is {text!r}: it takes a size such as 4GB.")
    return text


def _kms_key(text: str) -> str | None:
    if text and not _KMS_KEY.fullmatch(text):
        raise SettingsError(
            f"CDP_KMS_KEY is {text!r}: it takes the id, the ARN or the alias (alias/name) of a key."
        )
    return text or None


def _gate(text: str) -> GateBudget:
    """The default budget with what `merged=0.2,floor=500` changes of it."""
    budget: dict[str, float | int] = asdict(GateBudget())
    for part in filter(None, text.split(",")):
        name, _, value = part.strip().partition("=")
        try:
            budget[name] = type(budget[name])(value)
        except (KeyError, ValueError) as error:
            raise SettingsError(
                f"CDP_GATE_BUDGET: {part.strip()!r} is none of {', '.join(budget)} with a number."
            ) from error
    if not all(0 <= value <= 1 for name, value in budget.items() if name != "floor"):
        raise SettingsError("CDP_GATE_BUDGET: merged, split and reidentified are shares, 0 to 1.")
    return GateBudget(**budget)  # pyright: ignore[reportArgumentType]


def _tenant(name: str) -> str:
    # Tenant names become database and folder names: a closed alphabet keeps `../b` out.
    if not _NAME.fullmatch(name):
        raise SettingsError(
            "CDP_TENANT takes a lower-case letter, then such letters, digits and _, at most 63."
        )
    return name
