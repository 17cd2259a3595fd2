"""``acdc serve``: stories over HTTP, with events while they are drawn."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click
import cloup
from cloup import option, option_group

from ..utils.streams import report
from .engine_options import EXECUTION, models
from .flags import Given, with_options
from .options import CONCURRENCY, MEMORY, RARE, SAMPLING, SHOW_O, SLOTS, STRENGTH, TOKENS, choice_of_frames

if TYPE_CHECKING:
    from ..server.settings import Settings

SERVER = option_group(
    "Server",
    option("--host", help="Listen on this address; any but loopback needs a key.  [default: 127.0.0.1]"),
    option("--port", type=int, metavar="N", help="Listen on this port; 0 takes a free one.  [default: 8000]"),
    option("--data", metavar="DIR", help="Keep stories and the store of jobs in this directory.  [default: out/serve]"),
    option(
        "--api-key",
        "api_keys",
        multiple=True,
        metavar="KEY",
        help="Accept requests with this key only; repeat it for several. Other users can list arguments: "
        "prefer the variable ACDC_SERVE_API_KEYS, a JSON list.  [default: none on loopback]",
    ),
    option("--served-model-name", metavar="NAME", help="Call the model by this name.  [default: the bundle's]"),
    option(
        "--max-queue", type=int, metavar="N", help="Answer 429 while this number of requests waits.  [default: 256]"
    ),
    option(
        "--workers",
        type=int,
        metavar="N",
        help="Run this number of worker processes, each with an engine of its own; 0 leaves them to other machines.  "
        "[default: 1]",
    ),
    option(
        "--ray",
        is_flag=False,
        flag_value="auto",
        metavar="[ADDRESS]",
        help="Start the workers on the Ray cluster at ADDRESS, which shares --data and the database; without ADDRESS "
        "on the one that runs on this machine.",
    ),
    option(
        "--gpus-per-worker",
        type=click.FloatRange(min=0),
        metavar="G",
        help="Reserve G of the Ray cluster's GPUs for a worker; a fraction lets workers share one.  [default: 1 with "
        "--device cuda, else 0]",
    ),
    option(
        "--root-path", metavar="PATH", help="Expect this prefix, which a proxy removes from paths.  [default: none]"
    ),
    option(
        "--allowed-origin",
        "allowed_origins",
        multiple=True,
        metavar="ORIGIN",
        help="Let pages of this origin use the API (CORS); repeat it for several.  [default: none]",
    ),
    option(
        "--allowed-host",
        "allowed_hosts",
        multiple=True,
        metavar="NAME",
        help="Accept this name in the Host header as well; repeat it for several.  [default: loopback's names]",
    ),
    option("--ssl-certfile", metavar="FILE", help="Serve HTTPS with this certificate.  [default: none]"),
    option("--ssl-keyfile", metavar="FILE", help="Read the certificate's key from this file.  [default: none]"),
    option("--disable-access-log", is_flag=True, help="Log no line for each request."),
    option(
        "--log-level",
        type=click.Choice(["error", "warning", "info", "debug"]),
        help="Log from this level on.  [default: info]",
    ),
    option("--config", metavar="FILE", help="Read settings from this TOML file.  [default: none]"),
    option("--show-config", is_flag=True, help="Print the settings that are in force, without secrets, and stop."),
    option("--worker", is_flag=True, help="Run a worker alone, for servers that share its database and --data."),
)


@cloup.command(short_help="Serve stories over HTTP.")
@click.argument("bundle_or_directory", required=False, metavar="[BUNDLE]")
@with_options(
    SERVER,
    models(),
    EXECUTION,
    option_group("Sampling", *SAMPLING[1:], *TOKENS),
    option_group("Correction", *STRENGTH, *choice_of_frames("frames", "all")),
    MEMORY,
    SHOW_O,
    option_group("Scheduling", SLOTS, CONCURRENCY),
    RARE,
)
def serve(
    bundle_or_directory: str | None,
    config: str | None,
    show_config: bool,
    worker: bool,
    disable_access_log: bool,
    given: Given,
    **server: Any,
) -> None:
    """Serve stories over HTTP: submit sentences, follow drafts and corrected frames as they come.

    Options of stories are defaults, which a request may override. Each setting is also a variable (ACDC_SERVE_PORT) and
    a key of the TOML file.
    """
    try:
        from ..server.settings import read_settings
    except ModuleNotFoundError as error:
        raise ValueError(f"acdc serve needs the package {error.name!r}; pip install 'acdc-engine[serve]'") from None
    arguments = {name: value for name, value in server.items() if value not in (None, ())}
    if disable_access_log:
        arguments["access_log"] = False
    options = _options(given, bundle_or_directory)
    settings = read_settings(config, **arguments, **({"options": options} if options else {}))
    if show_config:
        report(settings.masked())
        return
    code = _work(settings) if worker else _serve(settings)
    if code:
        raise click.exceptions.Exit(code)


def _options(given: Given, bundle: str | None) -> Mapping[str, Any]:
    """Options by path, as JSON holds them."""
    values = dict(given.values)
    if "engine.loras" in values:
        values["engine.loras"] = [f"{lora.path}={lora.weight}" for lora in values["engine.loras"]]
    if bundle is None:
        return values
    if "engine.bundle" in given:
        raise ValueError(f"the bundle {bundle!r} is given together with --bundle; choose one of them")
    return {**values, "engine.bundle": bundle}


def _serve(settings: Settings) -> int:
    from ..server.serve import serve as run

    return run(settings)


def _work(settings: Settings) -> int:
    from ..server.logs import set_up_logs
    from ..server.store.database import Database
    from ..server.worker.kinds import EXECUTORS
    from ..server.worker.loading import load_engine
    from ..server.worker.process import run_worker

    set_up_logs(settings.log_level)
    database = Database(settings.database_url)
    database.create_tables()
    database.close()
    return run_worker(settings, uuid.uuid4().hex, load_engine, EXECUTORS)
