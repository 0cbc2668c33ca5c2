"""`thongsuot db …`: migrations and care of the store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monitor.cli_base import Config, load_inventory, run

db_app = typer.Typer(help="Migrations and care of the store.", no_args_is_help=True)


@db_app.command("upgrade")
def db_upgrade(config: Config) -> None:
    """Bring the store's schema up to date."""
    from monitor.cli_transfer import upgrade_store

    raise typer.Exit(run(upgrade_store(load_inventory(config).settings.store)))


@db_app.command("check")
def db_check(config: Config) -> None:
    """Check the store's schema and integrity, and its rollups against what they are made of."""
    from monitor.cli_transfer import check_store

    raise typer.Exit(run(check_store(load_inventory(config).settings.store)))


@db_app.command("rebuild")
def db_rebuild(
    config: Config,
    from_: Annotated[str | None, typer.Option("--from", help="Start; default: as far as raw results reach.")] = None,
    to: Annotated[str | None, typer.Option("--to", help="End; it does not belong to the period.")] = None,
) -> None:
    """Count rollups again from raw results."""
    from monitor.cli_transfer import rebuild_rollups

    raise typer.Exit(run(rebuild_rollups(load_inventory(config).settings, from_, to)))


@db_app.command("backup")
def db_backup(file: Annotated[Path, typer.Argument(help="Where to write the copy.")], config: Config) -> None:
    """Copy the store while it is in use."""
    from monitor.cli_transfer import backup_store

    raise typer.Exit(run(backup_store(load_inventory(config).settings.store, file)))


@db_app.command("restore")
def db_restore(file: Annotated[Path, typer.Argument(help="A copy that `db backup` made.")], config: Config) -> None:
    """Put a copy into the store, which must be empty."""
    from monitor.cli_transfer import restore_store

    raise typer.Exit(run(restore_store(load_inventory(config).settings.store, file)))


@db_app.command("copy")
def db_copy(
    source: Annotated[str, typer.Argument(help="Address of the store: sqlite:///path or postgresql://…")],
    target: Annotated[str, typer.Argument(help="Address of an empty database.")],
) -> None:
    """Copy a whole store into an empty database of either kind, and verify it."""
    from monitor.cli_transfer import copy_to

    raise typer.Exit(run(copy_to(source, target)))


@db_app.command("vacuum")
def db_vacuum(config: Config) -> None:
    """Give back the space of what was deleted."""
    from monitor.cli_transfer import vacuum_store

    raise typer.Exit(run(vacuum_store(load_inventory(config).settings.store)))
