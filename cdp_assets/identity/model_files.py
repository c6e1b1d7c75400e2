"""Where identity models are kept, and which one is in use.

A trained model is one object of the lake, `models/identity/<version>.json`; nothing uses it until
the setting names its version. Not here: the format (`match_model.py`), training (`training.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pyarrow as pa

from cdp_assets.errors import PlatformError
from cdp_assets.identity.match_model import VERSION, MatchModel, from_json, load_default
from cdp_assets.identity.tables import MATCH_MODEL, TERM_FREQUENCIES
from cdp_assets.resources.object_store import ObjectMissingError, ObjectStore
from cdp_assets.resources.warehouse import Warehouse

PREFIX: Final = "models/identity/"


def load_model(name: str, store: ObjectStore) -> MatchModel:
    """The model of this name.

    Args:
        name: `default`, the version of a model in the lake, or the path of a JSON file.
        store: the lake.

    Raises:
        PlatformError: there is no such model, or its file is damaged.
    """
    if name == "default":
        return load_default()
    if name.endswith(".json"):
        path = Path(name)
        if not path.is_file():
            raise PlatformError(f"CDP_IDENTITY_MODEL: there is no file {name}.")
        return from_json(path.read_bytes(), path.name)
    if not VERSION.fullmatch(name):
        raise PlatformError(f"CDP_IDENTITY_MODEL is {name!r}: it takes a version or a JSON file.")
    try:
        return from_json(store.read(_key(name)), _key(name))
    except ObjectMissingError as error:
        raise PlatformError(
            f"CDP_IDENTITY_MODEL: the lake has no {_key(name)}; `cdp identity train` writes models."
        ) from error


def keep_model(model: MatchModel, store: ObjectStore) -> str:
    """Write a model into the lake; returns its key. The same model again changes nothing."""
    key = _key(model.version)
    store.write(key, model.dump())
    return key


def use_model(model: MatchModel, warehouse: Warehouse) -> int:
    """Put the model's term frequencies where the matching SQL reads them; returns their rows.

    Written only when another version is there: an ordinary run costs one look.
    """
    warehouse.execute(MATCH_MODEL.create_if_missing, TERM_FREQUENCIES.create_if_missing)
    there = warehouse.query(f"select version from {MATCH_MODEL.address}")["version"].to_pylist()
    if there != [model.version]:
        warehouse.execute(
            f"delete from {TERM_FREQUENCIES.address}",
            f"insert into {TERM_FREQUENCIES.address} select * from frequencies",
            f"delete from {MATCH_MODEL.address}",
            f"insert into {MATCH_MODEL.address} select * from model",
            inputs={
                "frequencies": term_frequency_table(model),
                "model": pa.table({"version": [model.version]}),
            },
        )
    return warehouse.query(f"select count(*) as n from {TERM_FREQUENCIES.address}")["n"][0].as_py()


def term_frequency_table(model: MatchModel) -> pa.Table:
    """The term frequencies of a model as the rows of `TERM_FREQUENCIES`."""
    rows = model.term_frequency_rows()
    fields, values, shares = zip(*rows, strict=True) if rows else ((), (), ())
    return pa.table(
        {
            "field": pa.array(fields, pa.string()),
            "value": pa.array(values, pa.string()),
            "frequency": pa.array(shares, pa.float64()),
        }
    )


def _key(version: str) -> str:
    return f"{PREFIX}{version}.json"
