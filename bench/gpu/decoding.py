"""Time of a pass of W codes for a large autoregressive model with random weights, and so the cost of a frame.

Time does not depend on the weights' values, so an LWM of published size needs no download. A pass is the engine's own
(``DrawPass``: transformer, guidance none, sampling over all codes, comparison), plain and as a captured graph. With p
passes a frame takes p times as long; how many there are is a matter of the trained weights, which are not here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...compile.backends import compile_stage, unsupported_reasons
from ...compile.cache import PlanCache
from ...compile.spec import StageSpec
from ...engine.loading.bundle import parse_dtype
from ...engine.loading.random_weights import fill
from ...engine.models.causal.decode_pass import DrawPass, pass_noise
from ...engine.models.layers.fused import fuse
from ...engine.models.lwm.model import LWM, LWMConfig
from ...engine.sampling import SamplingParams
from ...engine.utils.rng import Purpose, make_keys
from ...engine.utils.weights import skeleton
from ..roofline import Cost, Machine
from .record import Output, Record, one_line
from .stages import fresh_peak, spread, timed

CONTEXT = 300  # slots that a frame's draw finds filled: a prompt and a frame before it
SIZES = {  # with codes a frame, and the codebook
    "lwm-7b": (LWMConfig(layers=32, hidden=4096, ffn=11008, heads=32, text_vocab=32000, vision_vocab=8448), 256, 8192),
    "tiny": (LWMConfig(layers=2, hidden=32, ffn=48, heads=2, text_vocab=16, vision_vocab=40, max_position=512), 64, 32),
}


def run(size: str, device: str, dtype: str, windows: Sequence[int], output: Output) -> dict[str, Any]:
    """Measure, a row a window."""
    (config, num_codes, codebook), kind = SIZES[size], parse_dtype(dtype)
    settings = {"size": size, "dtype": dtype, "codes_per_frame": num_codes, "context": CONTEXT}
    record = Record(output, device, settings)
    machine = Machine(**record.rates(lambda: Machine.measure(kind, device)._asdict()))
    model = random_model(config, device, kind)
    for window in windows:
        draw = DrawPass(model, SamplingParams(allowed=(0, codebook)), window, num_codes)
        record.add({"window": window}, partial(measure, draw, machine, device))
    return record.finish()


def random_model(config: LWMConfig, device: str, dtype: torch.dtype) -> LWM:
    """The transformer on the device, of noise in that type; fused as a loaded one is."""
    with skeleton():
        model = LWM(config)
    fuse(fill(model, device, dtype), device)
    return model


@torch.no_grad()
def measure(draw: DrawPass, machine: Machine, device: str) -> dict[str, Any]:
    """A row: seconds of a pass, plain and captured, with the roofline."""
    fresh_peak(device)
    inputs = example(draw, device)
    cost = Cost.of(draw, inputs)
    row: dict[str, Any] = {"floor": cost.floor(machine), **cost._asdict()}
    spec = StageSpec.of("arm_draw", inputs)
    for backend in ("eager", "cudagraph"):
        if reasons := unsupported_reasons(spec, backend):
            row[backend] = {"refused": reasons}
            continue
        try:
            row[backend] = spread(timed(compile_stage(draw, spec, backend, PlanCache()), inputs, device))
        except Exception as failure:  # the next row may still be measured
            row[backend] = {"failed": one_line(failure)}
    if device == "cuda":
        row["peak_bytes"] = torch.cuda.max_memory_allocated()
    return row


def example(draw: DrawPass, device: str) -> list[Tensor]:
    """Inputs of a pass in the middle of a frame, for one story."""
    config, num_codes = draw.model.config, draw.codes_per_frame
    cache = draw.model.new_cache(1, min(config.max_position, CONTEXT + 2 * num_codes))
    cache.lengths.fill_(CONTEXT)
    codes = torch.zeros(1, num_codes + draw.window, dtype=torch.int64, device=device)
    noise = pass_noise(draw.model, draw.params, make_keys([0], 0, Purpose.TOKEN, device), num_codes)
    assert noise is not None, "temperature 1 draws"
    accepted = torch.ones(1, dtype=torch.int64, device=device)
    return [codes, accepted, cache.lengths, cache.keys, cache.values, noise]
