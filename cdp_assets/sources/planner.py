"""What to load next: the landing folder compared with the ledger.

Here: a pure function over two listings, and its caller for one source. Not here: when to ask
(`sensors.landing`), loading (`extract`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cdp_assets.partitions import LANDING_DAYS
from cdp_assets.resources.object_ledger import ObjectLedger, UnknownObject
from cdp_assets.resources.object_store import (
    KeyRefusedError,
    ObjectInfo,
    ObjectStore,
    check_key,
)
from cdp_assets.settings import Settings
from cdp_assets.sources.contracts import Contract
from cdp_assets.sources.tables import LandingKeyError, landing_prefix, parse_landing_key

# A warning that lists thousands of keys is read by nobody.
_SHOWN: Final = 10


@dataclass(frozen=True)
class LandingObject:
    """A landing object that is to be loaded, and what its key says."""

    info: ObjectInfo
    source: str
    entity: str
    dt: str


@dataclass(frozen=True)
class LandingPlan:
    """What one tick asks for.

    Attributes:
        objects: to load now, by landing day and key.
        unknown: objects that no contract speaks of.
        remaining: how many more wait for a later tick.
    """

    objects: tuple[LandingObject, ...]
    unknown: tuple[UnknownObject, ...]
    remaining: int

    @property
    def days(self) -> list[str]:
        """The landing days of the objects, oldest first."""
        return sorted({landed.dt for landed in self.objects})

    @property
    def digest(self) -> str:
        """A name for exactly these versions of these objects."""
        text = "\n".join(f"{landed.info.key} {landed.info.version}" for landed in self.objects)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def problems(self) -> list[str]:
        """Sentences for the log: unknown objects are reported, never passed over."""
        shown = [f"{found.object_key!r} is not loaded: {found.reason}." for found in self.unknown]
        if len(shown) > _SHOWN:
            shown[_SHOWN:] = [f"{len(shown) - _SHOWN} more unknown objects are not loaded."]
        return shown


def plan(
    listing: Iterable[ObjectInfo],
    contracts: Mapping[tuple[str, str], Contract],
    loaded: Mapping[str, tuple[str, int]],
    *,
    days: Collection[str],
    limit: int,
) -> LandingPlan:
    """Compare a listing with the ledger.

    Args:
        listing: complete objects below landing/, in any order.
        contracts: by (source, entity).
        loaded: key -> (object version, contract version) that the ledger has settled.
        days: the landing days that can be loaded.
        limit: at most so many objects now; the oldest landing days go first.
    """
    waiting: list[LandingObject] = []
    unknown: list[UnknownObject] = []
    for info in listing:
        try:
            landed = _landed(info, contracts, days)
        except (LandingKeyError, KeyRefusedError) as error:
            unknown.append(UnknownObject(_writable(info.key), str(error)))
            continue
        contract = contracts[landed.source, landed.entity]
        if loaded.get(info.key) != (info.version, contract.version):
            waiting.append(landed)
    waiting.sort(key=lambda landed: (landed.dt, landed.info.key))
    unknown.sort(key=lambda found: found.object_key)
    return LandingPlan(tuple(waiting[:limit]), tuple(unknown), max(len(waiting) - limit, 0))


def plan_source(
    source: str,
    contracts: Sequence[Contract],
    store: ObjectStore,
    ledger: ObjectLedger,
    settings: Settings,
) -> LandingPlan:
    """Plan one source's landing folder, and note its unknown objects in the ledger."""
    made = plan(
        store.list(landing_prefix(source)),
        {(contract.source, contract.entity): contract for contract in contracts},
        ledger.loaded_versions(source),
        days=frozenset(LANDING_DAYS.get_partition_keys()),
        limit=settings.limits.objects_per_tick,
    )
    ledger.replace_unknown(source, made.unknown)
    return made


def _writable(key: str) -> str:
    """A key as it can be stored: a file name may hold bytes that are no text."""
    return key.encode("utf-8", "backslashreplace").decode()


def _landed(
    info: ObjectInfo, contracts: Mapping[tuple[str, str], Contract], days: Collection[str]
) -> LandingObject:
    key = parse_landing_key(check_key(info.key))
    if (key.source, key.entity) not in contracts:
        raise LandingKeyError(f"no contract speaks of {key.source}/{key.entity}")
    if key.dt not in days:
        raise LandingKeyError(f"{key.dt} is no landing day (too early, or still to come)")
    return LandingObject(info, key.source, key.entity, key.dt)
