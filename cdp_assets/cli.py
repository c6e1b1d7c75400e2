"""The command line: `cdp demo | run | dev | hash | ...`; each command is thin.

Not here: what a command does; and no import that costs seconds, so that `--help` is quick.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cdp_assets.settings import Settings, export_settings, load_settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="An open customer data platform: land, cleanse, match, profile.",
)


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


@app.command(name="hash")
def hash_(
    tables: Annotated[bool, typer.Option(help="Also print one line per table.")] = False,
) -> None:
    """Print one hash of the published tables: equal content, ids included, has an equal hash."""
    from cdp_assets.fingerprint import overall_hash, table_hashes
    from cdp_assets.resources.build import build_warehouse

    with build_warehouse(_settings()).read_published() as connection:
        hashes = table_hashes(connection)
    if tables:
        for name, value in sorted(hashes.items()):
            typer.echo(f"{value}  {name}")
    typer.echo(f"{overall_hash(hashes)}  all {len(hashes)} tables")


@app.command()
def summary() -> None:
    """Print the summary of what is published."""
    from cdp_assets.summary import print_summary

    print_summary(_settings())


def _settings() -> Settings:
    settings = load_settings()
    export_settings(settings)
    return settings


def main() -> None:
    """Run the command line; a known fault is one line on stderr and exit code 1."""
    from cdp_assets.errors import PlatformError

    try:
        app()
    except PlatformError as error:
        typer.echo(f"cdp: {error}", err=True)
        sys.exit(1)
