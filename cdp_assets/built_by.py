"""Which code built the tables: an upgrade is noticed by itself, a downgrade refused.

An incremental table holds what older code made of older rows, maybe in other columns. So the
warehouse remembers per layer the release and a fingerprint of the code that built it. Where the
fingerprint is another, the next run builds the layer anew from the raw files: customer ids stay,
since they are a function of the data, and so does the history of ids and profiles.

Here: the fingerprint, where it is kept, what follows. Not here: the layouts of the ledger and of
the profile store, which have numbers of their own; contracts, whose versions make objects load
again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from typing import Final

import pyarrow as pa

from cdp_assets.errors import PlatformError
from cdp_assets.naming import CLEANSED, IDENTITY, PROFILE, SOURCES
from cdp_assets.resources.warehouse import TableAddress, Warehouse
from cdp_assets.settings import DBT_PROJECT_DIR

# In the layer that nobody publishes for its content, so that it does not count in `cdp hash`.
BUILT_BY: Final[TableAddress] = (SOURCES, "built_by")

_LAYERS: Final = (CLEANSED, IDENTITY, PROFILE)
_SCHEMA: Final = pa.schema(
    [("layer", pa.string()), ("release", pa.string()), ("fingerprint", pa.string())]
)
# What makes rows and columns; documentation and tests do not.
_CODE: Final = ("models/**/*.sql", "macros/**/*.sql", "seeds/**/*", "dbt_project.yml")


class NewerReleaseError(PlatformError):
    """A newer release built the tables; the message names both."""


def this_release() -> str:
    """The release of this code."""
    return version("cdp-assets")


@cache
def fingerprint() -> str:
    """Of the code that builds tables, as it is on this machine."""
    digest = hashlib.sha256()
    for path in sorted({path for some in _CODE for path in DBT_PROJECT_DIR.glob(some)}):
        if path.is_file():
            digest.update(f"{path.relative_to(DBT_PROJECT_DIR).as_posix()}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def refuse_newer(releases: Iterable[str]) -> None:
    """Go on only with tables of this release or an older one.

    Raises:
        NewerReleaseError: a newer one built some.
    """
    newest = max(releases, key=_order, default="0")
    if _order(newest) > _order(this_release()):
        raise NewerReleaseError(
            f"Release {newest} built the tables, and this is {this_release()}: use that release or "
            "a newer one, or build them anew by `cdp doctor --rebuild`, which sets the history of "
            "ids and profiles aside."
        )


def layers_of_other_code(warehouse: Warehouse) -> list[str]:
    """The layers that are there and that this code did not build.

    Raises:
        NewerReleaseError: a newer release built one.
    """
    there = warehouse.tables()
    rows = _recorded(warehouse) if BUILT_BY in there else []
    refuse_newer(row["release"] for row in rows)
    ours = {row["layer"] for row in rows if row["fingerprint"] == fingerprint()}
    return [layer for layer in _LAYERS if layer in {layer for layer, _ in there} - ours]


def mark_built(warehouse: Warehouse, layer: str) -> None:
    """Remember that this code built all of a layer. Who calls holds the lease of `BUILT_BY`."""
    rows = _recorded(warehouse) if BUILT_BY in warehouse.tables() else []
    mark = {"layer": layer, "release": this_release(), "fingerprint": fingerprint()}
    if mark not in rows:
        rows = [*(row for row in rows if row["layer"] != layer), mark]
        warehouse.replace_table(*BUILT_BY, pa.Table.from_pylist(rows, schema=_SCHEMA))


def _recorded(warehouse: Warehouse) -> list[dict[str, str]]:
    columns = ", ".join(_SCHEMA.names)
    return warehouse.query(f"select {columns} from {'.'.join(BUILT_BY)}").to_pylist()


def _order(release: str) -> tuple[int, ...]:
    """Releases in their order: 0.10.1 after 0.9."""
    return tuple(int(part) for part in release.split(".") if part.isdecimal())
