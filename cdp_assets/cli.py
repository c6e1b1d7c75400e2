"""The command line: `cdp demo | run | dev | hash | ...`; each command is thin.

Not here: what a command does; and no import that costs seconds, so that `--help` is quick.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from cdp_assets.failpoints import arm
from cdp_assets.settings import Settings, export_settings, load_settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="An open customer data platform: land, cleanse, match, profile.",
)
review_app = typer.Typer(no_args_is_help=True)
app.add_typer(review_app, name="review", help="Answer what the identity model leaves to people.")
identity_app = typer.Typer(no_args_is_help=True)
app.add_typer(identity_app, name="identity", help="Preview a change of identity; train a model.")
profile_app = typer.Typer(no_args_is_help=True)
app.add_typer(profile_app, name="profile", help="Look profiles up.")

_Values = Annotated[
    bool, typer.Option("--show-values", help="Also show values of records: personal data.")
]
_All = Annotated[
    bool, typer.Option("--all", help="Also pairs that agree on little; few are one person.")
]
_By = Annotated[str, typer.Option(help="Who answers: a staff id; it is kept.")]


@app.command()
def demo() -> None:
    """Land a sample company, run the whole graph, and show what came of it."""
    from cdp_assets.demo import run_demo

    run_demo(_settings())


@app.command()
def run() -> None:
    """Load every landing object that is new, through to published profiles."""
    from cdp_assets.demo import run_waiting

    run_waiting(_settings())


@app.command()
def replay(
    source: Annotated[str, typer.Argument(help="For example crm.")],
    entity: Annotated[str, typer.Argument(help="For example contacts.")],
) -> None:
    """Extract again the objects with rows in quarantine, once they or the contract are mended."""
    from cdp_assets.demo import replay_quarantine

    replay_quarantine(_settings(), source, entity)


@app.command()
def doctor(
    rebuild: Annotated[
        bool, typer.Option(help="Set damaged state aside and build everything anew from landing.")
    ] = False,
) -> None:
    """Look over the state of this home: the ledger, the raw files, the warehouse."""
    from cdp_assets.doctor import diagnose, set_state_aside

    settings = _settings()
    faults = diagnose(settings)
    for fault in faults:
        typer.echo(f"! {fault}")
    if not faults:
        typer.echo("The ledger, the raw files and the warehouse are sound and agree.")
    elif rebuild:
        from cdp_assets.demo import run_waiting

        typer.echo(f"The old state is kept in {set_state_aside(settings)}.")
        run_waiting(settings)
    else:
        typer.echo("`cdp doctor --rebuild` sets the state aside and builds it anew from landing.")
        raise typer.Exit(1)


@app.command()
def dev(
    port: Annotated[int, typer.Option(help="Port of the UI, on the loopback address.")] = 3000,
    attended: Annotated[
        bool, typer.Option(help="Leave sensors and conditions off at first.")
    ] = False,
) -> None:
    """Open the Dagster UI and daemon on this machine; new landing objects load themselves."""
    from cdp_assets.local import serve

    serve(_settings(), port=port, unattended=not attended)


@app.command()
def look(
    port: Annotated[int, typer.Option(help="Port of the UI.")] = 3001,
    host: Annotated[str, typer.Option(help="Address it is bound to.")] = "127.0.0.1",
    behind_proxy: Annotated[
        bool, typer.Option(help="A proxy asks everybody who comes who they are.")
    ] = False,
) -> None:
    """Open the Dagster UI read-only, beside a `cdp dev` or a run: nothing can be launched."""
    from cdp_assets.local import look as show

    show(_settings(), host=host, port=port, is_behind_proxy=behind_proxy)


@app.command()
def stream(
    stream: Annotated[str, typer.Option(help="The name of a Kinesis stream.")],
    source: Annotated[str, typer.Option(help="What its records are, for example web.")],
    entity: Annotated[str, typer.Option(help="For example events.")],
    once: Annotated[bool, typer.Option(help="End when everything was read once.")] = False,
    seconds: Annotated[
        float | None, typer.Option("--for", help="End after so many seconds.")
    ] = None,
    buffer_seconds: Annotated[float, typer.Option(help="Write an object at least so often.")] = 60,
    buffer_mib: Annotated[int, typer.Option(help="Or when a shard has brought so much.")] = 16,
) -> None:
    """Land the records of a Kinesis stream until told to stop; the sensors load them."""
    from cdp_assets.resources.build import build_checkpoints, build_kinesis, build_object_store
    from cdp_assets.sources.contracts import contract_of
    from cdp_assets.sources.stream import Pace, StreamReader, stop_at_signal, told

    settings = _settings()
    reader = StreamReader(
        build_kinesis(settings),
        stream,
        contract_of(source, entity),
        build_object_store(settings),
        build_checkpoints(settings),
        Pace(buffer_mib * 2**20, buffer_seconds),
    )
    with stop_at_signal() as stop:
        _print(told(reader.run(stop, once=once, seconds=seconds)))


@app.command()
def put(
    file: Annotated[Path, typer.Argument(help="JSON objects, one a line.")],
    stream: Annotated[str, typer.Option(help="The name of a Kinesis stream.")],
    key: Annotated[
        str | None, typer.Option(help="The field whose records stay in order; else any shard.")
    ] = None,
) -> None:
    """Put the lines of a file into a Kinesis stream."""
    from cdp_assets.resources.build import build_kinesis
    from cdp_assets.sources.producer import lines_of, put_records

    with file.open("rb") as lines:
        count = put_records(build_kinesis(_settings()), stream, lines_of(lines, key))
    typer.echo(f"Put {count:,} records into {stream}.")


@app.command(name="hash")
def hash_(
    tables: Annotated[bool, typer.Option(help="Also print one line per table.")] = False,
) -> None:
    """Print one hash of the published tables: equal content, ids included, has an equal hash."""
    from cdp_assets.fingerprint import overall_hash, published_hashes

    hashes = published_hashes(_settings())
    if tables:
        for name, value in sorted(hashes.items()):
            typer.echo(f"{value}  {name}")
    typer.echo(f"{overall_hash(hashes)}  all {len(hashes)} tables")


@app.command()
def sweep(
    hours: Annotated[
        int, typer.Option(min=1, help="Leave alone what is younger: it may be at work.")
    ] = 24,
) -> None:
    """Remove what killed runs and replaced tables left on Athena and in the lake."""
    from datetime import timedelta

    from cdp_assets.resources.build import build_athena

    swept = build_athena(_settings()).sweep(timedelta(hours=hours))
    typer.echo(f"Removed {swept.tables} tables and {swept.files} files that nothing points at.")


@app.command()
def summary(show_values: _Values = False) -> None:
    """Print the summary of what is published."""
    from cdp_assets.summary import print_summary

    print_summary(_settings(), show_values=show_values)


@app.command()
def explain(
    first: Annotated[
        str, typer.Argument(help="A record id, a customer id old or new, or for example email:….")
    ],
    second: Annotated[str | None, typer.Argument(help="Another; without it: whose it is.")] = None,
    as_of: Annotated[
        str | None, typer.Option(help="Whose customer each record was: a date or time, UTC.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Also write one HTML page with charts.")] = None,
    show_values: _Values = False,
) -> None:
    """Say why two records are one customer, or what keeps them apart."""
    from cdp_assets.identity.console import explain_two, whose

    settings = _settings()
    if second is None and html is not None:
        raise typer.BadParameter("--html needs two to explain.")
    if second is None:
        _print(whose(settings, first, as_of))
    else:
        _print(
            explain_two(settings, first, second, as_of=as_of, page=html, show_values=show_values)
        )


@review_app.command(name="list")
def review_list(
    limit: Annotated[int, typer.Option(help="Pairs to show.")] = 10,
    show_values: _Values = False,
    show_all: _All = False,
) -> None:
    """Show the pairs that wait for an answer, the most probable first."""
    from cdp_assets.identity.console import queue_lines

    _print(queue_lines(_settings(), limit, show_values=show_values, show_all=show_all))


@review_app.command(name="answer")
def review_answer(
    left: Annotated[str, typer.Argument(help="A record id.")],
    right: Annotated[str, typer.Argument(help="Another record id.")],
    answer: Annotated[str, typer.Argument(help="yes, no or withdraw.")],
    by: _By,
    note: Annotated[str, typer.Option(help="Why; no personal data.")] = "",
) -> None:
    """Decide whether two records are one person; the next run applies it."""
    from cdp_assets.identity.console import give_answers
    from cdp_assets.identity.review import Answer

    typer.echo(give_answers(_settings(), [Answer((left, right), answer, note)], by))


@review_app.command(name="export")
def review_export(file: Path, show_values: _Values = False, show_all: _All = False) -> None:
    """Write the queue to a CSV file with an empty column for answers."""
    from cdp_assets.identity.console import export_queue

    typer.echo(export_queue(_settings(), file, show_values=show_values, show_all=show_all))


@review_app.command(name="import")
def review_import(file: Path, by: _By) -> None:
    """Take the answers of a file that `export` wrote."""
    from cdp_assets.identity.console import import_answers

    typer.echo(import_answers(_settings(), file, by))


@identity_app.command(name="preview")
def identity_preview(
    model: Annotated[
        str | None, typer.Option(help="default, the version of a trained model, or a JSON file.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="CSV: left_record_id, right_record_id, is_match.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say what the next run, another model or another rule would change; change nothing."""
    from cdp_assets.identity import preview

    found = preview.preview(_settings(), model, labels)
    _print([json.dumps(preview.as_json(found))] if as_json else preview.as_lines(found))


@identity_app.command(name="train")
def identity_train() -> None:
    """Train a new identity model on the records as they are; nothing uses it by itself."""
    from cdp_assets.demo import train_model

    train_model(_settings())


@profile_app.callback()
def _profile() -> None:
    """Keep `get` a word of its own while it is the only one."""


@profile_app.command(name="get")
def profile_get(
    email: Annotated[str | None, typer.Option(help="An e-mail address.")] = None,
    phone: Annotated[str | None, typer.Option(help="A number with its country, +44….")] = None,
    loyalty_id: Annotated[str | None, typer.Option(help="Of the loyalty card.")] = None,
    user_id: Annotated[str | None, typer.Option(help="Of the login.")] = None,
    customer_id: Annotated[str | None, typer.Option(help="Old or living.")] = None,
    record: Annotated[str | None, typer.Option(help="A record id.")] = None,
) -> None:
    """Print the profile of one customer as JSON: personal data."""
    from cdp_assets.activation.console import look_up

    keys = {
        "email": email,
        "phone": phone,
        "loyalty_id": loyalty_id,
        "user_id": user_id,
        "customer_id": customer_id,
        "record": record,
    }
    given = [(kind, value) for kind, value in keys.items() if value is not None]
    if len(given) != 1:
        raise typer.BadParameter("give one of the options, and no second.")
    typer.echo(look_up(_settings(), *given[0]))


def _print(lines: Iterable[str]) -> None:
    from cdp_assets.printing import printable

    for line in lines:
        typer.echo(printable(line))


def _settings() -> Settings:
    settings = load_settings()
    arm(settings.failpoint)
    export_settings(settings)
    return settings


def main() -> None:
    """Run the command line; a known fault is one line on stderr and exit code 1."""
    from cdp_assets.errors import PlatformError, disk_fault

    try:
        app()
    except PlatformError as error:
        typer.echo(f"cdp: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        # Of a fault of ours there is no number of the system's.
        if error.errno is None:
            raise
        typer.echo(f"cdp: {error.filename or 'A file'}: {disk_fault(error)}", err=True)
        sys.exit(1)
