"""``acdc info``: what is installed, what this machine offers, and why something is missing."""

import json
import os
import sys
from typing import Any

import click

from ..loading.bundle_place import embedded_names, published_names
from ..memory import MEMORY_NAMES
from ..options import SAMPLERS
from ..utils.versions import OPTIONAL, installed, versions

REFERENCES = ("SDXL", "SDXL-Lightning")  # models of reference pictures


@click.command(short_help="Show versions, devices and bundles.")
@click.option("--json", "as_json", is_flag=True, help="Print the information as JSON instead of tables.")
def info(as_json: bool) -> None:
    """Show versions, devices, bundles and memories; what is missing, and why."""
    found = collect()
    if as_json:
        click.echo(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        print_info(found)


def collect() -> dict[str, Any]:
    """Everything that ``acdc info`` shows; whatever is not available has its reason."""
    from ..loading.acdit import NAMES
    from ..loading.bundle import loras_by_bundle, names_per_sentence

    return {
        "versions": versions(),
        "optional": {name: optional(name, purpose) for name, purpose in OPTIONAL.items()},
        "devices": devices(),
        "backends": backends(),
        "attention": attentions(),
        "kernels": kernels(),
        "bundles": embedded_names(),
        "published": published_names(),
        "per_sentence": names_per_sentence(),
        "loras": loras_by_bundle(),
        "samplers": list(SAMPLERS),
        "reference": list(REFERENCES),
        "acdit": list(NAMES),
        "memories": list(MEMORY_NAMES),
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


def backends() -> dict[str, dict[str, Any]]:
    """Backend -> what it is, and for each stage every reason why it cannot serve (none: it can), in float32.

    Asked for the GPU where there is one, else for the CPU.
    """
    import torch

    from ...compile.backends import BACKENDS
    from ..runtime.backends import refusals

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    stages = refusals(device)
    return {
        name: {"about": about, "device": device.type, "stages": stages[name]} for name, (_, about) in BACKENDS.items()
    }


def attentions() -> dict[str, list[str]]:
    """Attention -> every reason why it cannot serve (none: it can), as :func:`backends` asks."""
    import torch

    from ...kernels.attention import ATTENTIONS, unsupported_reasons

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return {name: unsupported_reasons(name, device, torch.float32) for name in ATTENTIONS}


def kernels() -> dict[str, list[str]]:
    """Kernels -> every reason why they cannot serve (none: they can), as :func:`backends` asks."""
    import torch

    from ...kernels.jit import unsupported_reasons

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return {"torch": [], "triton": unsupported_reasons(device, torch.float32)}


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
        "backends": {name: _about(entry) for name, entry in found["backends"].items()},
        "attention": {name: _verdict(reasons) for name, reasons in found["attention"].items()},
        "kernels": {name: _verdict(reasons) for name, reasons in found["kernels"].items()},
        "choices": {
            "bundles": ", ".join(bundles),
            "with --models DIR": ", ".join(found["published"]),
            "per sentence": f"{', '.join(found['per_sentence'])}: as trained, a frame does not see those before it",
            "loras": _loras(found["loras"]),
            "samplers": ", ".join(found["samplers"]),
            "reference": f"{', '.join(found['reference'])} by acdc reference --model DIR [--unet FILE]",
            "acdit": f"{', '.join(found['acdit'])} by acdc acdit --model FILE --vae DIR or --random-weights NAME",
            "memories": ", ".join(found["memories"]),
        },
    }
    # Lines are folded for a terminal only: a log or a pipe gets them whole.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    for title, rows in sections.items():
        console.print(_table(title, rows))
        if title == "backends":
            console.print(_stages(found["backends"]))


def _verdict(reasons: list[str]) -> str:
    return f"not available: {'; '.join(reasons)}" if reasons else "available"


def _loras(found: dict[str, list[str]]) -> str:
    """The bundles' own LoRAs, and the way to others."""
    own = [f"{', '.join(loras)} in {bundle}" for bundle, loras in found.items()]
    return "; ".join([*own, "any safetensors file of the corrector's family by --lora FILE[=WEIGHT]"])


def _about(backend: dict[str, Any]) -> str:
    """The backend's description, or every reason why it serves no stage."""
    refused = list(backend["stages"].values())
    if not all(refused):
        return str(backend["about"])
    return _verdict(list(dict.fromkeys(reason for reasons in refused for reason in reasons)))


def _stages(backends: dict[str, Any]) -> Any:
    """Stages x backends: which can serve which."""
    from rich.table import Table

    table = Table(*("stage", *backends), box=None, padding=(0, 2, 0, 2))
    for stage in next(iter(backends.values()))["stages"]:
        table.add_row(stage, *("no" if entry["stages"][stage] else "yes" for entry in backends.values()))
    return table


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
