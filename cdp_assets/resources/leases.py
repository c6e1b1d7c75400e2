"""Who may write a table of the warehouse: one writer at a time.

Here: the interface `Leases`, with nothing behind it for the laptop and one DynamoDB item per table
for AWS. Not here: which tables a step writes (its asset says so), the leases of shards of a
stream (`checkpoints.py`).

Athena locks nothing. Two deployments, or a run and the statements that a killed run left behind,
would write into one another: an Iceberg INSERT that commits late adds its rows a second time. So
a writer holds the lease of each table, and says again and again that it is still there. A lease
outlasts the longest statement of Athena: when it lapses, nothing of a killed writer runs any more.

| `pk` | `sk` | Holds |
|---|---|---|
| `T#LEASES` | `<layer>.<table>` | who holds it, where, since when, last renewed, for how long |

No lease keeps a writer from writing that slept longer than its lease; it is told afterwards, and
its step fails.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol, cast

from cdp_assets.errors import PlatformError
from cdp_assets.resources.dynamodb import TRANSACTION_ITEMS, DynamoDBError, Item, Table, Write
from cdp_assets.resources.warehouse import TableAddress

# The holder of a lease that was given back.
_NOBODY: Final = "-"
# A holder that cannot renew gives up this far into its lease, long before others may take it.
_GIVE_UP: Final = 0.8


class TableBusyError(PlatformError):
    """Another writer held a table for longer than this step would wait; the message names both."""


class TableTakenError(PlatformError):
    """A table went to another writer while this step wrote it; the message says what to do."""


class Hold:
    """What a step holds while its block runs."""

    def __init__(self) -> None:
        self._lost: TableTakenError | None = None

    @property
    def is_lost(self) -> bool:
        """Whether a lease was lost, so that a long step may stop early: it fails at its end."""
        return self._lost is not None

    def check(self) -> None:
        """Go on only as the one writer.

        Raises:
            TableTakenError: a lease was lost.
        """
        if self._lost is not None:
            raise self._lost

    def lose(self, error: TableTakenError) -> None:
        """Make `check` raise from now on; the first error stays."""
        self._lost = self._lost or error


class Leases(Protocol):
    """Leases of tables."""

    def hold(self, tables: Sequence[TableAddress]) -> AbstractContextManager[Hold]:
        """Be the only writer of these tables until the block ends.

        Raises:
            TableBusyError: another writer did not let go of one in time; none is held then.
            TableTakenError: when the block ends: one was lost on the way.
        """
        ...


class NoLeases:
    """The laptop's: it needs none.

    DuckDB locks its file for one writing process, the commands claim the home, and within a
    process the pool `warehouse` lets one step write at a time. All three end with the process.
    """

    @contextmanager
    def hold(self, tables: Sequence[TableAddress]) -> Iterator[Hold]:
        """Hold nothing."""
        yield Hold()


@dataclass(frozen=True)
class Pace:
    """Times of a lease, in seconds.

    Attributes:
        lease: how long a lease lasts unless it is renewed. Athena ends a statement after 30
            minutes, unless its quota was raised; the rest is for clocks.
        beat: between two renewals.
        patience: how long to wait for tables that others hold. More than `lease`, a step that is
            tried again after a kill gets its tables.
        poll: between two looks at a table that others hold.
    """

    lease: float = 2_100
    beat: float = 30
    patience: float = 3_600
    poll: float = 5


class DynamoDBLeases:
    """One tenant's leases in a DynamoDB table of `dynamodb.table_definition`: that of the ledger.

    Args:
        client: of boto3, for DynamoDB.
        table: its name.
        tenant: every key begins with it.
        pace: times of a lease.
    """

    def __init__(self, client: Any, table: str, tenant: str, pace: Pace | None = None) -> None:
        self._table = Table(client, table, "table leases")
        self._pk = f"{tenant}#LEASES"
        self._pace = pace or Pace()
        self._where = f"process {os.getpid()} on {socket.gethostname()}"

    @contextmanager
    def hold(self, tables: Sequence[TableAddress]) -> Iterator[Hold]:
        """Be the only writer of these tables until the block ends.

        Up to 100 tables are taken at once, all or none. More are taken in several such steps, in
        the order of their names, which all writers share: no two wait for each other.
        """
        names = sorted({f"{layer}.{name}" for layer, name in tables})
        mine = _Mine(uuid.uuid4().hex, time.time(), time.monotonic())
        hold = Hold()
        try:
            with _beating(lambda: self._beat(mine, hold), self._pace.beat):
                for start in range(0, len(names), TRANSACTION_ITEMS):
                    some = names[start : start + TRANSACTION_ITEMS]
                    self._take(some, mine)
                    mine.names += some
                yield hold
            # Asked of DynamoDB, not of the clock: only what nobody took meanwhile is still ours.
            self._renew(mine, hold)
            hold.check()
        finally:
            self._give_back(names, mine)

    def _take(self, names: Sequence[str], mine: _Mine) -> None:
        watch = _Watch()
        until = time.monotonic() + self._pace.patience
        while failed := self._table.transact(
            [self._taking(name, mine, watch.lapsed(name)) for name in names]
        ):
            busy = {str(write.item["sk"]) for write in failed}
            found = [
                item
                for item in self._table.query(self._pk)
                if item["sk"] in busy and item["holder"] != _NOBODY
            ]
            watch.see(found)
            if all(watch.lapsed(str(item["sk"])) for item in found):
                continue
            if time.monotonic() >= until:
                raise _busy(found, self._pace.patience)
            time.sleep(self._pace.poll)

    def _taking(self, name: str, mine: _Mine, lapsed: str | None) -> Write:
        item: Item = {
            "pk": self._pk,
            "sk": name,
            "holder": mine.token,
            "place": self._where,
            "taken_at": _milliseconds(mine.since),
            "renewal": uuid.uuid4().hex,
            "renewed_at": _milliseconds(time.time()),
            "lasts": _milliseconds(self._pace.lease),
        }
        # A transaction whose answer was lost is sent again, and finds its own token.
        free, values = "attribute_not_exists(pk) or holder = :nobody or holder = :me", {}
        if lapsed is not None:
            # Another who saw it lapse may have been first: then it is another renewal.
            free, values = f"{free} or renewal = :lapsed", {"lapsed": lapsed}
        return Write(item, free, values={"nobody": _NOBODY, "me": mine.token, **values})

    def _beat(self, mine: _Mine, hold: Hold) -> None:
        try:
            self._renew(mine, hold)
        except DynamoDBError as error:
            # The next beat tries again, as long as nobody else can have taken the table.
            if time.monotonic() - mine.renewed > self._pace.lease * _GIVE_UP:
                hold.lose(_taken(mine.names[0], mine, f"could not be renewed ({error})"))

    def _renew(self, mine: _Mine, hold: Hold) -> None:
        """Make the leases last from now on; of one that is lost, the hold is told."""
        began = time.monotonic()
        renewed = {"renewal": uuid.uuid4().hex, "renewed_at": _milliseconds(time.time())}
        change = "set renewal = :renewal, renewed_at = :renewed_at"
        lost = self._table.write_each(
            [self._mine(name, mine, change, renewed) for name in tuple(mine.names)]
        )
        mine.renewed = began
        if lost:
            hold.lose(_taken(str(lost[0].item["sk"]), mine, "went to another writer"))

    def _give_back(self, names: Sequence[str], mine: _Mine) -> None:
        """Let others have at once what is still ours, and what may have been taken unheard."""
        change = "set holder = :nobody"
        self._table.write_each(
            [self._mine(name, mine, change, {"nobody": _NOBODY}) for name in names]
        )

    def _mine(self, name: str, mine: _Mine, update: str, values: Mapping[str, str | int]) -> Write:
        return Write(
            {"pk": self._pk, "sk": name},
            "holder = :me",
            update,
            {"me": mine.token, **values},
        )


@dataclass
class _Mine:
    """What one block holds.

    Attributes:
        token: its own, no other block's.
        since: when it began, seconds since 1970.
        renewed: when the last renewal that went well began, by this process's own clock.
        names: of the tables that are held by now.
    """

    token: str
    since: float
    renewed: float
    names: list[str] = field(default_factory=list)


class _Watch:
    """Tells when leases of others lapse.

    The time left is read off the holder's clock and ours once, when a renewal is first seen, and
    is never more than a whole lease; from then on our own clock counts it down. So of two clocks
    that differ, a fast one of the holder's cannot make its lease last for ever; and ours would
    have to run ahead by nearly a whole lease to let a holder that renews look gone.
    """

    def __init__(self) -> None:
        self._lapses: dict[str, tuple[str, float]] = {}

    def see(self, items: Sequence[Item]) -> None:
        """Take note of leases as they are now."""
        for item in items:
            name, renewal = str(item["sk"]), str(item["renewal"])
            if self._lapses.get(name, ("", 0))[0] != renewal:
                lasts = cast(int, item["lasts"]) / 1000
                left = cast(int, item["renewed_at"]) / 1000 + lasts - time.time()
                self._lapses[name] = renewal, time.monotonic() + min(max(left, 0), lasts)

    def lapsed(self, name: str) -> str | None:
        """The renewal after which this lease lapsed; None while it may be alive."""
        renewal, lapses = self._lapses.get(name, ("", 0))
        return renewal if renewal and time.monotonic() >= lapses else None


@contextmanager
def _beating(beat: Callable[[], None], seconds: float) -> Iterator[None]:
    """Call `beat` every so many seconds, in a thread of its own, while the block runs."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(seconds):
            beat()

    thread = threading.Thread(target=run, daemon=True, name="leases")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _busy(items: Sequence[Item], patience: float) -> TableBusyError:
    last = max(items, key=lambda item: cast(int, item["renewed_at"]) + cast(int, item["lasts"]))
    lapses = cast(int, last["renewed_at"]) + cast(int, last["lasts"])
    return TableBusyError(
        f"{last['sk']} is being written by {last['place']} since {_clock(last['taken_at'])}, and"
        f" was for the {patience:.0f} seconds that this step waited: let that run end, then launch"
        f" this one again. If that process is dead, its lease lapses at {_clock(lapses)}."
    )


def _taken(name: str, mine: _Mine, what: str) -> TableTakenError:
    return TableTakenError(
        f"The lease of {name}, held since {_clock(_milliseconds(mine.since))}, {what}: another"
        " writer may have written the table at the same time. Let the other run end, then launch"
        " this one again; if a check then finds rows twice, build that table anew"
        " (docs/deployment.md, One writer per table)."
    )


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _clock(milliseconds: Any) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
