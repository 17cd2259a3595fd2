"""``acdc info``: what is installed, what this machine offers, and why something is missing."""

import json
import os
import sys
from typing import Any

import click

from ..memory import MEMORIES
from ..versions import OPTIONAL, installed, versions


@click.command(short_help="Show versions, devices and bundles.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def info(as_json: bool) -> None:
    """Show versions, devices, bundles and memories; what is missing, and why."""
    found = collect()
    if as_json:
        click.echo(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        print_info(found)


def collect() -> dict[str, Any]:
    """Everything that ``acdc info`` shows; a reason stands where something is not available."""
    from ..bundle import embedded_names
    from ..plans import availability

    return {
        "versions": versions(),
        "optional": {name: optional(name, purpose) for name, purpose in OPTIONAL.items()},
        "devices": devices(),
        "backends": availability(),
        "bundles": embedded_names(),
        "memories": list(MEMORIES),
    }


def optional(name: str, purpose: str) -> dict[str, Any]:
    """An optional distribution: its version, or what to do about its absence."""
    found = installed(name)
    if found is not None:
        return {"version": found, "available": True, "note": purpose}
    return {"version": None, "available": False, "note": f"not installed ({purpose}): pip install {name}"}


def devices() -> dict[str, str]:
    """Device name -> what it is, or why it is not available."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = {"cpu": f"{torch.get_num_threads()} threads on {cores} cores"}
    for number in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(number)
        gib = properties.total_memory / 2**30
        found[f"cuda:{number}"] = f"{properties.name}, {gib:.0f} GiB, sm_{properties.major}{properties.minor}"
    if len(found) == 1:
        found["cuda"] = f"not available: {_no_cuda_reason()}"
    return found


def print_info(found: dict[str, Any]) -> None:
    """Plain tables on standard output."""
    from rich.console import Console

    bundles = found["bundles"] or ["none found: this installation holds no weights; give --bundle DIR"]
    sections = {
        "versions": found["versions"],
        "optional": {
            n: f"{o['version']}, {o['note']}" if o["available"] else o["note"] for n, o in found["optional"].items()
        },
        "devices": found["devices"],
        "backends": found["backends"],
        "choices": {"bundles": ", ".join(bundles), "memories": ", ".join(found["memories"])},
    }
    # Lines are folded for a terminal only: a log or a pipe gets them whole.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    for title, rows in sections.items():
        console.print(_table(title, rows))


def _table(title: str, rows: dict[str, str]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 2))
    table.add_column(min_width=14)
    table.add_column(overflow="fold")
    for name, text in rows.items():
        table.add_row(name, Text(text))
    return table


def _no_cuda_reason() -> str:
    import torch

    if torch.version.cuda is None:
        return f"torch {torch.__version__} is built without CUDA"
    if os.environ.get("CUDA_VISIBLE_DEVICES", None) == "":
        return "CUDA_VISIBLE_DEVICES is empty"
    return "no NVIDIA driver or no GPU is visible"
