"""A process that holds contenders and times them as it is asked: ``python -m acdc.bench.real_size.worker SETUP``.

SETUP is JSON: ``folder``, ``size``, ``steps``, ``names``. Each line on stdin is JSON, each answer a line on stdout:

    {"do": "pass" | "correction", "name": NAME, "save": PATH | null}    -> seconds and what they cost the machine
    {"do": "rates"}                                                      -> products and bytes a second
    {"do": "count"}                                                      -> operations and bytes of our UNet pass
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...engine.loading.families.stable_diffusion import SIZES
from ...engine.models.diffusion.unet import UNet, UNetConfig
from ...engine.runtime.compiled import UNetPass
from ...engine.utils.malloc import keep_freed_memory
from ...engine.utils.weights import skeleton
from ..roofline import Cost, Machine
from .contenders import CONTENDERS, Contender, Inputs

MIB = 2**20
TICKS = os.sysconf("SC_CLK_TCK")


def busy_seconds() -> float:
    """CPU seconds that all processes of this machine have used, where the kernel says so."""
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()
    except OSError:
        return 0.0
    user, nice, system = (int(field) for field in fields[1:4])
    return (user + nice + system) / TICKS


def resident() -> dict[str, int]:
    """This process's memory now and at most, in MiB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    kib = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.startswith(("VmRSS", "VmHWM"))}
    return {"mib": kib["VmRSS"] // 1024, "peak_mib": kib["VmHWM"] // 1024}


def timed(work: Callable[[], Tensor], save: str | None) -> dict[str, float]:
    """Seconds of one call; CPU seconds of this process and of others meanwhile; page faults."""
    before, machine = resource.getrusage(resource.RUSAGE_SELF), busy_seconds()
    began = time.perf_counter()
    found = work()
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF)
    own = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if not torch.isfinite(found).all():
        raise ValueError("a result is not finite")
    if save is not None:
        torch.save(found, save)
    others = max(0.0, busy_seconds() - machine - own)
    faults = after.ru_minflt - before.ru_minflt
    return {"seconds": seconds, "cpu_seconds": own, "others_cpu_seconds": others, "page_faults": faults, **resident()}


def rates() -> dict[str, float]:
    """The best of some runs: a rate that is reached at all is a bound that holds."""
    half, single = Machine.measure(torch.bfloat16), Machine.measure(torch.float32)
    source = torch.ones(2**28, dtype=torch.uint8).view(torch.int64)
    read = source.nbytes / min(_seconds(source.sum) for _ in range(5))
    return {"bf16_flops": half.flops, "float32_flops": single.flops, "bandwidth": max(read, single.bandwidth)}


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def count(size: int) -> dict[str, int]:
    """Operations of our pass with both branches, and the bytes that it reads with weights of two bytes: on the meta
    device, which computes nothing."""
    with skeleton():
        unet = UNet(UNetConfig.from_dict(SIZES["unet"])).bfloat16().requires_grad_(False)
        inputs = Inputs(size, unet.config.cross_attention_dim, device="meta")
        kv = unet.context_kv(inputs.context.bfloat16())
        shifts = unet.time_shifts(torch.zeros(1))
    cost = Cost.of(UNetPass(unet), [inputs.latents.bfloat16(), shifts, *(value for pair in kv for value in pair)])
    return {"flops": cost.flops, "bytes": cost.bytes}


def main() -> None:
    """Answer until stdin ends. Memory is kept as the commands keep it, for every contender."""
    keep_freed_memory()
    setup = json.loads(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes to stderr
    held: dict[str, Contender] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["do"] in ("pass", "correction"):
            name = asked["name"]
            if name not in held:
                began = time.perf_counter()
                held[name] = CONTENDERS[name](Path(setup["folder"]), setup["size"], setup["steps"])
                print(f"{name}: made in {time.perf_counter() - began:.1f} s", file=sys.stderr)
            work = held[name].unet_pass if asked["do"] == "pass" else held[name].correct
            found: Mapping[str, float] = timed(work, asked.get("save"))
        else:
            found = rates() if asked["do"] == "rates" else count(setup["size"])
        print(json.dumps(found), file=answers, flush=True)


if __name__ == "__main__":
    main()
