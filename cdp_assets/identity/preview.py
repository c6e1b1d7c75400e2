"""What the next run, or another model or rule, would change before anything is published.

Everything happens in a copy of the warehouse in a temporary folder: the identity models are built
anew there with the given model and the rules and seeds as they are in the repository, decisions
that wait are taken in, the candidate is judged by the gate and measured against labels.

Not here: any of these steps themselves; objects that wait in landing.
"""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from cdp_assets.dbt.project import build_dbt_resource, dbt_project
from cdp_assets.errors import PlatformError
from cdp_assets.identity.apply import apply_assignments
from cdp_assets.identity.decisions import CURRENT_DECISIONS, keep_decisions
from cdp_assets.identity.evaluate import Agreement, evaluate_sample
from cdp_assets.identity.evidence import ordered
from cdp_assets.identity.gate import ChangeCounts, Verdict, count_changes, judge
from cdp_assets.identity.model_files import load_model, use_model
from cdp_assets.identity.resolve import resolve
from cdp_assets.identity.tables import ASSIGNMENTS, CHANGES, MAP
from cdp_assets.local import HomeInUseError, claim_home
from cdp_assets.naming import IDENTITY
from cdp_assets.resources.build import build_duckdb, build_object_store
from cdp_assets.resources.warehouse import DuckDBWarehouse, NothingPublishedError
from cdp_assets.settings import Settings, export_match_model, export_settings

_EXAMPLES: Final = 3


class PreviewError(PlatformError):
    """The preview could not be made; nothing of the home was changed."""


@dataclass(frozen=True)
class Example:
    """One change: the event, the customer that lives on, the one that gave, one of its records.

    Attributes:
        event: merge, split, rename (re-identified), retire or create.
        customer_id: as in identity.customer_id_changes.
        other_customer_id: likewise.
        record_id: a record that would change hands.
        rule: what would bring it about, where one link does.
    """

    event: str
    customer_id: str
    other_customer_id: str | None
    record_id: str | None
    rule: str | None


@dataclass(frozen=True)
class Quality:
    """Agreement with known answers, now and with the change.

    Attributes:
        source: `truth` of the sample company, `labels` of a file, or `decisions` of people.
        size: labelled pairs, or records of the truth.
        before: None where only the model's own word is measured.
        after: with the change.
    """

    source: str
    size: int
    before: Agreement | None
    after: Agreement


@dataclass(frozen=True)
class Preview:
    """What would change.

    Attributes:
        model: version of the identity model.
        basis: `warehouse`, or `published` while another process works in the home.
        counts: of customers.
        verdict: of the gate.
        examples: a few of each kind.
        qualities: one per source of labels; may be empty.
    """

    model: str
    basis: str
    counts: ChangeCounts
    verdict: Verdict
    examples: Sequence[Example]
    qualities: Sequence[Quality]


def preview(
    settings: Settings, model_name: str | None = None, labels: Path | None = None
) -> Preview:
    """Find out what would change, in a copy.

    Args:
        settings: of the tenant; its home is read and left as it is.
        model_name: `default`, the version of a trained model or a JSON file; None for the one
            that the settings name.
        labels: CSV with left_record_id, right_record_id, is_match.

    Raises:
        NothingPublishedError: there is nothing to compare with.
        PreviewError: the models cannot be built, the labels cannot be read, or the profile has
            no DuckDB file to copy.
    """
    if settings.profile != "local":
        raise PreviewError(
            "A preview is made in a copy of a DuckDB file, and the aws profile has none: load the "
            "same landing objects into a home on one machine, with CDP_PROFILE=local, and preview "
            "there."
        )
    model = load_model(model_name or settings.identity_model, build_object_store(settings))
    labelled = read_labels(labels) if labels else None
    with tempfile.TemporaryDirectory(prefix="cdp-preview-") as folder:
        copy = replace(settings, home=Path(folder))
        basis = copy_warehouse(settings, copy)
        warehouse = build_duckdb(copy)
        with _exported(copy, settings):
            export_match_model(model.compact_json())
            use_model(model, warehouse)
            _build_models(copy)
        keep_decisions(warehouse, build_object_store(settings))
        resolve(warehouse)
        counts = count_changes(warehouse)
        examples = _examples(warehouse)
        truth = settings.sample_dir / "truth.parquet"
        before = _measure(warehouse, truth, labelled)
        apply_assignments(warehouse, "preview")
        after = _measure(warehouse, truth, labelled)
        qualities = [
            Quality(source, size, before[source][1], agreement)
            for source, (size, agreement) in after.items()
        ]
        qualities += _models_own_word(warehouse)
        return Preview(
            model.version, basis, counts, judge(counts, settings.gate), examples, qualities
        )


def as_json(found: Preview) -> dict[str, Any]:
    """The preview as plain values."""
    return {
        "model": found.model,
        "basis": found.basis,
        "customers": asdict(found.counts),
        "gate": asdict(found.verdict),
        "examples": [asdict(example) for example in found.examples],
        "quality": {
            quality.source: {
                "records" if quality.source == "truth" else "pairs": quality.size,
                "before": _agreement(quality.before) if quality.before else None,
                "after": _agreement(quality.after),
            }
            for quality in found.qualities
        },
    }


def as_lines(found: Preview) -> Iterator[str]:
    """The preview as text."""
    counts = found.counts
    if found.basis == "published":
        yield "Another process works in this home: this is about the published version."
    yield f"With model {found.model} and the rules as they are, of {counts.before:,} customers:"
    for event, label, count in (
        ("create", "would begin", counts.created),
        ("merge", "would be merged into another", counts.merged),
        ("split", "would lose records to another", counts.split),
        ("rename", "would get another id", counts.reidentified),
        ("retire", "would end", counts.retired),
    ):
        yield f"  {count:>9,}  {label}"
        for example in found.examples:
            if example.event == event:
                yield f"             {_example(example)}"
    for quality in found.qualities:
        yield _quality_line(quality)
    if found.verdict.passed:
        yield "The gate would let it pass."
    else:
        yield "The gate would stop it:"
        yield from (f"  {reason}" for reason in found.verdict.reasons)
    yield "Nothing was changed."


def read_labels(path: Path) -> pa.Table:
    """Labelled pairs of records: left_record_id, right_record_id, is_match.

    Raises:
        PreviewError: the file is no CSV with these columns; the message names the line.
    """
    if not path.is_file():
        raise PreviewError("There is no such file of labels.")
    rows: list[dict[str, Any]] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            lines = csv.DictReader(handle, strict=True)
            for line in lines:
                verdict = _YES_NO.get((line.get("is_match") or "").strip().lower())
                left, right = line.get("left_record_id"), line.get("right_record_id")
                if verdict is None or not left or not right:
                    raise PreviewError(
                        f"Labels, line {lines.line_num}: left_record_id, right_record_id and "
                        "is_match (true or false) must be given."
                    )
                left, right = ordered(left.strip(), right.strip())
                rows.append({"left_id": left, "right_id": right, "is_match": verdict})
    except (UnicodeDecodeError, csv.Error) as error:
        raise PreviewError("The labels are not readable as UTF-8 CSV.") from error
    return pa.Table.from_pylist(rows, _LABELS)


_YES_NO: Final = {
    **dict.fromkeys(("true", "1", "yes"), True),
    **dict.fromkeys(("false", "0", "no"), False),
}
_LABELS: Final = pa.schema(
    [("left_id", pa.string()), ("right_id", pa.string()), ("is_match", pa.bool_())]
)


def copy_warehouse(settings: Settings, copy: Settings) -> str:
    """Copy a version that nobody is writing into the home `copy`.

    Returns:
        `warehouse`, or `published` while another process works in the home.

    Raises:
        NothingPublishedError: there is nothing to compare with.
    """
    target = copy.warehouse_path
    target.parent.mkdir(parents=True)
    if not settings.published_path.exists():
        raise NothingPublishedError(
            "Nothing is published yet, so there is nothing to compare with."
        )
    try:
        with claim_home(settings, "cdp identity preview"):
            shutil.copyfile(settings.warehouse_path, target)
            log = settings.warehouse_path.with_name(f"{settings.warehouse_path.name}.wal")
            if log.exists():
                shutil.copyfile(log, target.with_name(f"{target.name}.wal"))
    except HomeInUseError:
        # Published versions are whole files that nobody writes to.
        shutil.copyfile(settings.published_path, target)
        return "published"
    return "warehouse"


@contextmanager
def _exported(copy: Settings, settings: Settings) -> Iterator[None]:
    """Children write into the copy, for as long as the block lasts."""
    export_settings(copy)
    try:
        yield
    finally:
        export_settings(settings)


def _build_models(copy: Settings) -> None:
    dbt = build_dbt_resource(dbt_project, copy.dbt_target)
    arguments = ["build", "--full-refresh", "--select", f"config.schema:{IDENTITY}"]
    arguments += ["--resource-type", "model", "--resource-type", "seed"]
    # What dbt prints may hold values of records; it goes with the folder.
    with (copy.home / "dbt.log").open("w") as log, redirect_stdout(log):
        invocation = dbt.cli(arguments, raise_on_error=False, target_path=copy.dbt_target_path)
        invocation.wait()
    if not invocation.is_successful():
        raise PreviewError(
            f"dbt could not build {_failed(invocation.target_path)} in the copy; "
            "`cdp run` would fail there, too. Nothing was changed."
        )


def _failed(products: Path) -> str:
    results = products / "run_results.json"
    if not results.exists():
        return "the identity models"
    failed = [
        result["unique_id"].rsplit(".", 1)[-1]
        for result in json.loads(results.read_bytes())["results"]
        if result["status"] == "error"
    ]
    return ", ".join(failed) or "the identity models"


def _examples(warehouse: DuckDBWarehouse) -> list[Example]:
    """A few changes of each kind, by a stable rule."""
    rows = warehouse.query(
        f"""
        with changed as (
            select event, customer_id, other_customer_id, rule from {CHANGES.address}
            union all
            select 'create', customer_id, null, null
            from (
                select distinct customer_id from {ASSIGNMENTS.address}
                where customer_id is not null
                except
                select customer_id from {MAP.address}
            ) as begun
        ),
        chosen as (
            select * from changed
            qualify row_number() over (
                partition by event order by customer_id, other_customer_id
            ) <= {_EXAMPLES}
        )
        select
            chosen.event, chosen.customer_id, chosen.other_customer_id,
            min(moved.record_id) as record_id, chosen.rule
        from chosen
        left join {ASSIGNMENTS.address} as moved
            on case
                when chosen.event = 'retire' then moved.previous_customer_id = chosen.customer_id
                when chosen.event = 'create' then moved.customer_id = chosen.customer_id
                else
                    moved.customer_id = chosen.customer_id
                    and moved.previous_customer_id = chosen.other_customer_id
            end
        group by all
        order by all
        """
    )
    return [Example(**row) for row in rows.to_pylist()]


def _measure(
    warehouse: DuckDBWarehouse, truth: Path, labels: pa.Table | None
) -> dict[str, tuple[int, Agreement]]:
    """Agreement of the customer map with what is known, by source, with how much is known."""
    found: dict[str, tuple[int, Agreement]] = {}
    if truth.exists():
        evaluation = evaluate_sample(warehouse, truth)
        found["truth"] = (evaluation.records, evaluation.pairs)
    if labels is not None:
        rows = warehouse.query(
            f"""
            select labels.is_match, a.customer_id = b.customer_id as is_found
            from labels
            inner join {MAP.address} as a on labels.left_id = a.record_id
            inner join {MAP.address} as b on labels.right_id = b.record_id
            """,
            {"labels": labels},
        )
        found["labels"] = (len(rows), _agree(rows))
    return found


def _models_own_word(warehouse: DuckDBWarehouse) -> list[Quality]:
    """What the model alone says of the pairs that people decided; the map obeys them anyway."""
    rows = warehouse.query(
        f"""
        select
            decisions.decision = 'must_link' as is_match,
            coalesce(pairs.band = 'auto', false) as is_found
        from ({CURRENT_DECISIONS}) as decisions
        left join identity.match_pairs as pairs
            on decisions.left_record_id = pairs.left_record_id
            and decisions.right_record_id = pairs.right_record_id
        where decisions.decision <> 'withdrawn'
        """
    )
    return [Quality("decisions", len(rows), None, _agree(rows))] if len(rows) else []


def _agree(rows: pa.Table) -> Agreement:
    pairs = [(row["is_match"], row["is_found"]) for row in rows.to_pylist()]
    right = sum(is_match and is_found for is_match, is_found in pairs)
    found = sum(is_found for _, is_found in pairs)
    true = sum(is_match for is_match, _ in pairs)
    return Agreement(right / found if found else 1.0, right / true if true else 1.0)


def _agreement(agreement: Agreement) -> Mapping[str, float]:
    return {**asdict(agreement), "f1": agreement.f1}


def _quality_line(quality: Quality) -> str:
    after = f"precision {quality.after.precision:.4f}, recall {quality.after.recall:.4f}"
    if quality.before is None:
        return f"The model alone on {quality.size} decided pairs: {after}."
    before = f"{quality.before.precision:.4f} and {quality.before.recall:.4f}"
    unit = "records of the truth" if quality.source == "truth" else "labelled pairs"
    return f"On {quality.size:,} {unit}: {after} (now {before})."


def _example(example: Example) -> str:
    other = f" from {example.other_customer_id}" if example.other_customer_id else ""
    record = f", with {example.record_id}" if example.record_id else ""
    rule = f", by {example.rule}" if example.rule else ""
    return f"{example.customer_id}{other}{record}{rule}"
