"""What to load next: the landing folder compared with the ledger.

Here: a pure function over two listings, and how a folder is looked through with it, whole or a
stretch at a time. Not here: when to ask (`sensors`), loading (`extract`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

from cdp_assets.partitions import LANDING_DAYS
from cdp_assets.resources.object_ledger import ObjectLedger, Settled, UnknownObject
from cdp_assets.resources.object_store import (
    KeyRefusedError,
    ObjectInfo,
    ObjectStore,
    check_key,
    is_key,
)
from cdp_assets.settings import Settings
from cdp_assets.sources.contracts import Contract
from cdp_assets.sources.tables import LandingKey, LandingKeyError, landing_prefix, parse_landing_key

# A warning that lists thousands of keys is read by nobody.
_SHOWN: Final = 10
# Objects that are compared with the ledger at once: a page of S3's listing.
_PAGE: Final = 1_000


@dataclass(frozen=True)
class LandingObject:
    """A landing object that is to be loaded.

    Attributes:
        info: as the object store tells it.
        source: that its key names.
        entity: that its key names.
        dt: the landing day that its key names.
        contract_version: that it is to be judged by.
        replaces: the load id of what is loaded of it, or 0.
    """

    info: ObjectInfo
    source: str
    entity: str
    dt: str
    contract_version: int
    replaces: int = 0


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
        """A name for this work and no other: which objects, by which contract, in whose place.

        An object may become again what it once was, or be judged anew. Both are other work.
        """
        text = "\n".join(
            f"{one.info.key} {one.info.version} {one.contract_version} {one.replaces}"
            for one in self.objects
        )
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def problems(self) -> list[str]:
        """Sentences for the log: unknown objects are reported, never passed over."""
        shown = [f"{found.object_key!r} is not loaded: {found.reason}." for found in self.unknown]
        if len(shown) > _SHOWN:
            shown[_SHOWN:] = [f"{len(shown) - _SHOWN} more unknown objects are not loaded."]
        return shown


NOTHING: Final = LandingPlan((), (), 0)


def plan(
    listing: Iterable[ObjectInfo],
    contracts: Mapping[tuple[str, str], Contract],
    settled: Mapping[str, Settled],
    *,
    days: Collection[str],
    limit: int,
) -> LandingPlan:
    """Compare a listing with the ledger.

    Args:
        listing: complete objects below landing/, in any order.
        contracts: by (source, entity).
        settled: by key, what the ledger has of it.
        days: the landing days that can be loaded.
        limit: at most so many objects now; the oldest landing days go first.
    """
    waiting: list[LandingObject] = []
    unknown: list[UnknownObject] = []
    for info in listing:
        try:
            contract, dt = _landed(info, contracts, days)
        except (LandingKeyError, KeyRefusedError) as error:
            unknown.append(UnknownObject(_writable(info.key), str(error)))
            continue
        before = settled.get(info.key)
        if is_due(info, contract, before):
            replaces = before.load_id if before else 0
            waiting.append(
                LandingObject(
                    info, contract.source, contract.entity, dt, contract.version, replaces
                )
            )
    waiting.sort(key=_by_day)
    unknown.sort(key=lambda found: found.object_key)
    return LandingPlan(tuple(waiting[:limit]), tuple(unknown), max(len(waiting) - limit, 0))


def is_due(info: ObjectInfo, contract: Contract, settled: Settled | None) -> bool:
    """Whether an object is to be loaded, beside what is settled of it."""
    if settled is None:
        return True
    return (settled.object_version, settled.contract_version) != (info.version, contract.version)


def plan_source(
    source: str,
    contracts: Sequence[Contract],
    store: ObjectStore,
    ledger: ObjectLedger,
    settings: Settings,
) -> LandingPlan:
    """Plan one source's whole landing folder, and note its unknown objects in the ledger."""
    limit = settings.limits.objects_per_tick
    landing = Landing(contracts, store, ledger)
    made = NOTHING
    for _, found in landing.pages(landing_prefix(source)):
        made = _oldest([made, found], limit)
    ledger.replace_unknown(source, made.unknown)
    return made


@dataclass(frozen=True)
class Stretch:
    """What lies in one stretch of a folder.

    Attributes:
        plan: what is to be loaded of it.
        after: the key that the next stretch begins past; empty when the folder is through.
        listed: objects that were listed.
    """

    plan: LandingPlan
    after: str
    listed: int


class Landing:
    """The landing folder beside the ledger, a page at a time: memory does not grow with either.

    Args:
        contracts: of the sources that are looked at.
        store: the lake.
        ledger: what was loaded of it.
    """

    def __init__(
        self, contracts: Iterable[Contract], store: ObjectStore, ledger: ObjectLedger
    ) -> None:
        self._contracts = {(contract.source, contract.entity): contract for contract in contracts}
        self._store = store
        self._ledger = ledger
        self._days = frozenset(LANDING_DAYS.get_partition_keys())

    def pages(self, prefix: str, after: str = "") -> Iterator[tuple[list[ObjectInfo], LandingPlan]]:
        """One page of the folder's listing after another, and what is to be loaded of it."""
        infos = iter(self._store.list(prefix, after))
        while page := list(islice(infos, _PAGE)):
            yield page, self.plan(page)

    def plan(self, infos: Sequence[ObjectInfo]) -> LandingPlan:
        """What is to be loaded of these objects."""
        settled = self._settled(info.key for info in infos)
        return plan(infos, self._contracts, settled, days=self._days, limit=len(infos))

    def loaded(self, keys: Iterable[str]) -> dict[str, str]:
        """Which version of these keys is loaded, under the contract as it is."""
        found = {}
        for key, settled in self._settled(keys).items():
            place = parse_landing_key(key)
            contract = self._contracts.get((place.source, place.entity))
            if contract and contract.version == settled.contract_version:
                found[key] = settled.object_version
        return found

    def folder(self, key: str) -> str | UnknownObject:
        """The folder of a landing day that an object lies in, if it can be loaded."""
        try:
            place = _place(key, self._contracts, self._days)
        except (LandingKeyError, KeyRefusedError) as error:
            return UnknownObject(_writable(key), str(error))
        return landing_prefix(place.source, place.entity, place.dt)

    def _settled(self, keys: Iterable[str]) -> dict[str, Settled]:
        # What is no key cannot be in the ledger, and may hold what is no text.
        return self._ledger.settled([key for key in keys if is_key(key)])

    def stretch(self, prefix: str, after: str, *, listed: int, objects: int) -> Stretch:
        """Look at a folder, past a key, until it ends or enough was seen.

        Args:
            prefix: the folder.
            after: a key, or empty for the beginning.
            listed: about how many objects to list, at most (whole pages).
            objects: how many objects to ask for, at most.
        """
        count, made = 0, NOTHING
        for page, found in self.pages(prefix, after):
            count, last = count + len(page), page[-1].key
            over = len(made.objects) + len(found.objects) - objects
            if over > 0:
                kept = sorted(found.objects, key=lambda landed: landed.info.key)[:-over]
                last = kept[-1].info.key
                unknown = tuple(u for u in found.unknown if u.object_key <= last)
                found = LandingPlan(tuple(kept), unknown, 0)
            made = _oldest([made, found], objects)
            after = last
            if count >= listed or len(made.objects) >= objects:
                return Stretch(made, after, count)
        return Stretch(made, "", count)


def joined(plans: Iterable[LandingPlan]) -> LandingPlan:
    """Several plans as one."""
    made = list(plans)
    return _oldest(made, sum(len(one.objects) for one in made))


def _oldest(plans: Sequence[LandingPlan], limit: int) -> LandingPlan:
    """Several plans as one, of at most so many objects: the oldest landing days go first."""
    objects = sorted(chain.from_iterable(one.objects for one in plans), key=_by_day)
    unknown = sorted(
        chain.from_iterable(one.unknown for one in plans), key=lambda found: found.object_key
    )
    waiting = len(objects) + sum(one.remaining for one in plans)
    return LandingPlan(tuple(objects[:limit]), tuple(unknown), waiting - len(objects[:limit]))


def _by_day(landed: LandingObject) -> tuple[str, str]:
    return landed.dt, landed.info.key


def _writable(key: str) -> str:
    """A key as it can be stored: a file name may hold bytes that are no text."""
    return key.encode("utf-8", "backslashreplace").decode()


def _landed(
    info: ObjectInfo, contracts: Mapping[tuple[str, str], Contract], days: Collection[str]
) -> tuple[Contract, str]:
    """The contract of an object, and its landing day."""
    if info.is_link:
        raise LandingKeyError("it is a symbolic link, and those are not followed: copy the file")
    place = _place(info.key, contracts, days)
    return contracts[place.source, place.entity], place.dt


def _place(
    key: str, contracts: Mapping[tuple[str, str], Contract], days: Collection[str]
) -> LandingKey:
    place = parse_landing_key(check_key(key))
    if (place.source, place.entity) not in contracts:
        raise LandingKeyError(f"no contract speaks of {place.source}/{place.entity}")
    if place.dt not in days:
        raise LandingKeyError(f"{place.dt} is no landing day (too early, or still to come)")
    return place
