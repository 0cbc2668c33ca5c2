"""The command line.

Exit status: 0 fine, 1 what was looked at is not fine, 2 wrong use or configuration, 3 could not measure.

Each command imports what it needs when it runs: `thongsuot probe` must answer within 0.6 s of a cold start.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from monitor.cli_base import NOT_MEASURED, WRONG_USE, Config, Json, fail, load_inventory, run, say
from monitor.cli_db import db_app

app = typer.Typer(
    name="thongsuot",
    help="Thông Suốt: watches the connections that a country's public data runs on.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(db_app, name="db")


def main() -> None:
    """Run the command line. It speaks Vietnamese and JSON (RFC 8259, section 8.1): UTF-8, whatever the locale says."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8")
    app()


@app.command()
def up(config: Config) -> None:
    """Start the monitor and the web process, and keep both running."""
    from monitor.logs import set_up_logs
    from monitor.supervisor import monitor_program, supervise, web_program

    load_inventory(config)
    set_up_logs()
    raise typer.Exit(run(supervise((monitor_program(config), web_program(config)))))


@app.command("monitor")
def run_monitor(config: Config) -> None:
    """Start the monitor alone: probes, states, alerts. SIGHUP reloads, SIGTERM stops."""
    _serve(config)


@app.command()
def agent(config: Config) -> None:
    """Start a process that runs checks from a site. With the embedded store it is the monitor itself."""
    _serve(config)


def _serve(config: Path) -> None:
    import gc

    # Almost all that is made until the start stays: the collector would walk through it in vain. And the engine is
    # imported after the configuration is read, because it then fills the memory that the reading leaves behind.
    gc.disable()
    inventory = load_inventory(config)
    gc.collect()  # what was read stands in cycles: 20 MB with 10,000 checks that nobody would ever give back
    from monitor.app import serve
    from monitor.logs import set_up_logs
    from monitor.store import StoreError, StoreInUseError, StoreVersionError

    set_up_logs()
    try:
        run(serve(config, inventory))
    except (StoreInUseError, StoreVersionError) as error:
        fail(WRONG_USE, str(error))
    except (StoreError, OSError) as error:
        fail(NOT_MEASURED, str(error))


@app.command()
def web(config: Config) -> None:
    """Start the web process alone."""
    settings = load_inventory(config).settings
    # The store's address may hold a password: it goes by the environment, which other users cannot read.
    environ = {**os.environ, "THONGSUOT_STORE": settings.store}
    command = [sys.executable, "-m", "dashboards", "--listen", settings.web, "--language", settings.language]
    command += ["--timezone", settings.timezone]
    os.execve(sys.executable, command, environ)  # noqa: S606 - our own interpreter, no shell


@app.command()
def demo(
    directory: Annotated[Path, typer.Option("--directory", help="Where the simulation keeps its files.")] = Path(
        "data/demo"
    ),
    history: Annotated[
        str, typer.Option("--history", help="Build a past of that length first, such as 6h, 30d or 365d.")
    ] = "",
) -> None:
    """Start a simulated country on loopback, with faults that come and go, and the product watching it."""
    from monitor.logs import set_up_logs
    from monitor.supervisor import run_demo

    length_s = 0.0
    if history:
        from monitor.cli_history import parse_length

        length_s = parse_length(history)

    def ready(config: Path) -> None:
        say(f"Thông Suốt — dữ liệu mô phỏng / simulated data: http://{load_inventory(config).settings.web}")

    try:
        if length_s:
            from monitor.cli_history import build_history

            run(build_history(directory, length_s))
        set_up_logs()
        status = run(run_demo(directory, ready))
    except RuntimeError as error:
        fail(NOT_MEASURED, str(error))
    raise typer.Exit(status)


@app.command()
def reflector(
    listen: Annotated[str, typer.Option("--listen", help="Address and port.")] = "127.0.0.1:862",
    allow: Annotated[list[str] | None, typer.Option("--allow", help="Network that may ask (repeat).")] = None,
    rate: Annotated[int, typer.Option("--rate", min=1, help="Packets per second and source.")] = 1000,
    stateless: Annotated[bool, typer.Option("--stateless", help="Do not count: no loss by direction.")] = False,
    key_file: Annotated[
        Path | None, typer.Option("--key-file", help="Key of authenticated STAMP; or THONGSUOT_STAMP_KEY.")
    ] = None,
    throughput: Annotated[
        str, typer.Option("--throughput", help="Address and TCP port for throughput tests, such as 127.0.0.1:8620.")
    ] = "",
    throughput_key_file: Annotated[
        Path | None, typer.Option("--throughput-key-file", help="Their key; or THONGSUOT_THROUGHPUT_KEY.")
    ] = None,
    tests: Annotated[int, typer.Option("--tests", min=1, max=16, help="Throughput tests at once.")] = 1,
    test_duration: Annotated[str, typer.Option("--test-duration", help="Of each direction, at the most.")] = "30s",
    test_size: Annotated[str, typer.Option("--test-size", help="Of each direction, at the most.")] = "10GB",
) -> None:
    """Answer STAMP test packets (RFC 8762), and throughput tests: the other end of `stamp` and `throughput`."""
    from monitor.cli_reflector import Request, serve_until_stopped

    allowed = allow or ["127.0.0.0/8", "::1/128"]
    serve_until_stopped(
        Request(
            *(listen, allowed, rate, stateless, key_file),
            *(throughput, throughput_key_file, tests, test_duration, test_size),
        ),
        os.environ,
    )


@app.command()
def init(directory: Annotated[Path, typer.Argument(help="A directory; it is made if it is not there.")]) -> None:
    """Write a commented starter configuration."""
    from config.starter import write

    try:
        written = write(directory)
    except FileExistsError as error:
        fail(WRONG_USE, f"{error}: nothing was written")
    for path in written:
        say(str(path))


@app.command()
def validate(config: Config, as_json: Json = False) -> None:
    """Check the configuration and list all problems, with file and line."""
    from monitor.cli_config import validate_config

    raise typer.Exit(validate_config(config, as_json=as_json))


@app.command()
def schema() -> None:
    """Print the JSON Schema of a configuration file."""
    import orjson

    from config.schema import json_schema

    say(orjson.dumps(json_schema(), option=orjson.OPT_INDENT_2).decode())


@app.command()
def probe(
    kind: Annotated[str, typer.Argument(help="Probe kind, such as http, tcp, icmp.")],
    address: Annotated[str, typer.Argument(help="What the kind calls its address.")],
    parameters: Annotated[
        list[str] | None, typer.Option("-p", metavar="NAME=VALUE", help="A parameter; the value is read as YAML.")
    ] = None,
    timeout: Annotated[str, typer.Option("--timeout", help="Deadline of the whole run.")] = "5s",
    watch: Annotated[bool, typer.Option("--watch", help="Again and again, a line each; Ctrl-C sums up.")] = False,
    every: Annotated[str, typer.Option("--every", help="With --watch: time between two starts.")] = "1s",
    count: Annotated[int, typer.Option("--count", min=0, help="With --watch: how many runs; 0 for no end.")] = 0,
    language: Annotated[str, typer.Option("--language", help="vi or en; default: the environment's.")] = "",
    as_json: Json = False,
) -> None:
    """Run one probe once and explain what it found."""
    import gc

    gc.disable()  # while everything is imported the collector would walk through it in vain, a sixth of the start
    from monitor.cli_probe import Request
    from monitor.cli_probe import probe as run_probe
    from probes.units import parse_duration

    try:
        every_s = parse_duration(every) if watch else None
    except ValueError as error:
        fail(WRONG_USE, str(error))
    if every_s is not None and every_s <= 0:
        fail(WRONG_USE, "--every is longer than nothing")
    if language not in ("", "vi", "en"):
        fail(WRONG_USE, f"{language!r} is not a language: write vi or en")
    request = Request(kind, address, parameters or [], timeout, as_json, every_s, count, language)
    raise typer.Exit(run_probe(request))


@app.command()
def status(config: Config, as_json: Json = False) -> None:
    """Say what is not up, and why."""
    from monitor.cli_status import show_status

    raise typer.Exit(run(show_status(load_inventory(config).settings.store, as_json=as_json)))


@app.command()
def availability(
    from_: Annotated[
        str | None, typer.Option("--from", help="Start, such as 2026-11-01 or 2026-11-01T08:00:00+07:00.")
    ] = None,
    to: Annotated[str | None, typer.Option("--to", help="End; it does not belong to the period.")] = None,
    month: Annotated[str | None, typer.Option("--month", help="A month, such as 2026-10, instead of both.")] = None,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="Directory of the configuration.")] = None,
    target: Annotated[str | None, typer.Option("--target", help="One target only.")] = None,
    agency: Annotated[str | None, typer.Option("--agency", help="The targets of one agency only.")] = None,
    by: Annotated[
        str, typer.Option("--by", help="target, or together by group, agency, province or programme.")
    ] = "target",
    results: Annotated[Path | None, typer.Option("--results", help="A file of results instead of the store.")] = None,
    now: Annotated[str | None, typer.Option("--now", help="With --results: the moment to judge from.")] = None,
    signed: Annotated[bool, typer.Option("--signed", help="Only what was signed off.")] = False,
    compare: Annotated[bool, typer.Option("--compare", help="What was signed off beside what is counted now.")] = False,
    outages: Annotated[bool, typer.Option("--outages", help="With --target: each outage, and what it cost.")] = False,
    loss: Annotated[bool, typer.Option("--loss", help="Of links: the availability by loss as well.")] = False,
    as_json: Json = False,
) -> None:
    """Say how available targets were over a period. What was signed off is what was signed."""
    from monitor.cli_availability import Request, show_availability

    request = Request(
        from_, to, month, config, target, agency, by, results, now, signed, compare, outages, loss, as_json
    )
    raise typer.Exit(run(show_availability(request)))


@app.command("sign-off")
def sign_off(
    by: Annotated[str, typer.Option("--by", help="Who signs.")],
    config: Config,
    from_: Annotated[str | None, typer.Option("--from", help="Start.")] = None,
    to: Annotated[str | None, typer.Option("--to", help="End; it does not belong to the period.")] = None,
    month: Annotated[str | None, typer.Option("--month", help="A month, such as 2026-10, instead of both.")] = None,
) -> None:
    """Sign a period's report off: its availability stays as it is counted now, for good."""
    from monitor.cli_sign_off import sign_period_off

    raise typer.Exit(run(sign_period_off(from_, to, month, by, load_inventory(config))))


@app.command()
def replay(
    results: Annotated[Path, typer.Argument(help="Results as JSON Lines, .gz and .zst too.")],
    config: Config,
    until: Annotated[str | None, typer.Option("--until", help="Let time pass until then.")] = None,
    as_json: Json = False,
) -> None:
    """Run the rules over recorded results and print what would have happened, as JSON Lines."""
    from monitor.cli_replay import replay_file

    raise typer.Exit(replay_file(results, config, until, as_json=as_json))


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="Results as JSON Lines, .gz and .zst too.")], config: Config
) -> None:
    """Import results into the store; importing twice changes nothing."""
    from monitor.cli_transfer import import_file

    raise typer.Exit(run(import_file(file, load_inventory(config))))


@app.command("export")
def export(
    from_: Annotated[str, typer.Option("--from", help="Start.")],
    to: Annotated[str, typer.Option("--to", help="End; it does not belong to the period.")],
    config: Config,
    out: Annotated[
        Path | None, typer.Option("--out", help="File (.gz and .zst compress); default: standard output.")
    ] = (None),
) -> None:
    """Export results as JSON Lines."""
    from monitor.cli_transfer import export_file

    settings = load_inventory(config).settings
    raise typer.Exit(run(export_file(from_, to, settings, out)))


@app.command()
def discover(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="host, url, wsdl, openapi, xroad or snmp.")],
    address: Annotated[str, typer.Argument(help="The host, the URL or the file.")],
    parameters: Annotated[
        list[str] | None, typer.Option("-p", metavar="NAME=VALUE", help="How to be let in; the value is read as YAML.")
    ] = None,
    timeout: Annotated[str, typer.Option("--timeout", help="Deadline of each thing that is tried.")] = "3s",
    language: Annotated[str, typer.Option("--language", help="vi or en; default: the environment's.")] = "",
    as_json: Json = False,
) -> None:
    """Look at something once and propose checks for it, as YAML to paste."""
    from monitor.cli_discover import Request
    from monitor.cli_discover import discover as look

    if language not in ("", "vi", "en"):
        fail(WRONG_USE, f"{language!r} is not a language: write vi or en")
    raise typer.Exit(look(Request(what, address, parameters or [], timeout, as_json, language)))


@app.command("import-config")
def import_config(
    format_: Annotated[str, typer.Argument(metavar="FORMAT", help="blackbox, gatus or uptime-kuma.")],
    file: Annotated[Path, typer.Argument(help="Its configuration: YAML, or the JSON backup.")],
    out: Annotated[Path | None, typer.Option("--out", help="File to write; default: standard output.")] = None,
    as_json: Json = False,
) -> None:
    """Translate another monitor's configuration, and list what could not be carried over."""
    from monitor.cli_config import import_foreign

    raise typer.Exit(import_foreign(format_, file, out, as_json=as_json))


@app.command()
def reload(config: Config) -> None:
    """Make the running monitor read its configuration again."""
    from monitor.cli_config import reload_monitor

    raise typer.Exit(reload_monitor(load_inventory(config).settings.listen))
