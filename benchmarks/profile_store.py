"""How long a lookup in the profile store takes, and how many profiles a second are written.

Both back ends on made-up profiles of about 2 KB: SQLite in a folder for temporary files, and
DynamoDB as moto serves it over HTTP on this machine. Moto answers in milliseconds of its own, where
AWS has the network. It copies the whole table for each item of a transaction, so its writes say
nothing of AWS: there, look at the requests that a thousand profiles take.

    python -m benchmarks.profile_store [--profiles 2000] [--moto-profiles 100] [--lookups 1000]
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import EndpointConnectionError

from cdp_assets.activation.aliases import alias
from cdp_assets.resources.dynamodb import create_table
from cdp_assets.resources.dynamodb_profiles import DynamoDBProfileStore
from cdp_assets.resources.profile_store import Entry, Origin, ProfileStore, SQLiteProfileStore

_KEY = b"k" * 32
_ALIASES = 4
_AT_ONCE = 1_000


def main() -> None:
    """Measure both back ends, and print a line of JSON for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--profiles", type=int, default=2_000)
    parser.add_argument("--moto-profiles", type=int, default=100)
    parser.add_argument("--lookups", type=int, default=1_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = SQLiteProfileStore(Path(folder) / "profiles.sqlite")
        _print("sqlite", measure(store, given.profiles, given.lookups))
    with moto() as client:
        create_table(client, "profiles")
        store = DynamoDBProfileStore(client, "profiles", "main")
        requests: list[str] = []
        client.meta.events.register("before-send.*", lambda **_: requests.append("sent"))
        _write(store, [_profile(number) for number in range(given.moto_profiles)])
        sent = {"requests_per_1000_profiles": round(1000 * len(requests) / given.moto_profiles)}
        found = measure(store, given.moto_profiles, given.lookups)
        _print("dynamodb (moto, HTTP)", {**sent, **found})


def measure(store: ProfileStore, profiles: int, lookups: int) -> dict[str, float]:
    """Write profiles and redirects, then look them up in random order.

    Returns:
        Profiles written per second, and percentiles of lookups in milliseconds.
    """
    entries = [_profile(number) for number in range(profiles)]
    redirects = [Entry(f"old_{n}", "redirect", f"c_{n}", f"c_{n}") for n in range(profiles)]
    found = {"writes_per_second": round(profiles / _seconds(lambda: _write(store, entries)), 1)}
    _write(store, redirects)
    dice = random.Random(7)
    questions: dict[str, Callable[[int], object]] = {
        "customer_id": lambda number: store.get(f"c_{number}"),
        "old_id": lambda number: store.get(f"old_{number}"),
        "identifier": lambda number: store.find(alias(_KEY, "user_id", f"{number}-0")),
    }
    for name, ask in questions.items():
        numbers = [dice.randrange(profiles) for _ in range(lookups)]
        times = sorted(1000 * _seconds(lambda n=n, ask=ask: _ask(ask, n)) for n in numbers)
        found[f"{name}_p50_ms"] = round(_percentile(times, 50), 2)
        found[f"{name}_p95_ms"] = round(_percentile(times, 95), 2)
    return found


@contextmanager
def moto() -> Iterator[Any]:
    """A client of a server of moto's in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            yield _client(f"http://127.0.0.1:{port}")
        finally:
            server.terminate()


def _client(endpoint: str) -> Any:
    client = boto3.client(
        "dynamodb",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    for _ in range(100):
        try:
            client.list_tables()
        except EndpointConnectionError:
            time.sleep(0.1)
        else:
            break
    return client


def _profile(number: int) -> Entry:
    values = {f"trait_{i:02}": f"value {number} {i} of a customer" for i in range(40)}
    document = json.dumps({"customer_id": f"c_{number}", "traits": values})
    aliases = (alias(_KEY, "user_id", f"{number}-{place}") for place in range(_ALIASES))
    return Entry(f"c_{number}", "profile", f"hash {number}", document, tuple(aliases))


def _write(store: ProfileStore, entries: Sequence[Entry]) -> None:
    origin = Origin(store.begin_sync(), 1, "benchmark")
    for start in range(0, len(entries), _AT_ONCE):
        store.write(origin, entries[start : start + _AT_ONCE])


def _ask(ask: Callable[[int], object], number: int) -> None:
    if ask(number) is None:
        raise AssertionError(f"Customer {number} was written and is not found.")


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _percentile(ascending: Sequence[float], percent: int) -> float:
    return ascending[min(len(ascending) - 1, len(ascending) * percent // 100)]


def _print(name: str, found: dict[str, float]) -> None:
    sys.stdout.write(json.dumps({"store": name, **found}) + "\n")


if __name__ == "__main__":
    main()
