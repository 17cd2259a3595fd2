"""A published system at full size, of noise, draws and corrects a frame: ``python -m acdc.bench.full_size --out FILE``.

It shows that the system fits and runs, with the seconds of each phase, the least that its layers could take at the
rates measured after it, and the process's peak memory. Steps are few by default, since a CPU takes minutes for each;
``bench.gpu systems`` measures on a GPU. ``--clip FRAMES`` loads the corrector alone and corrects a clip; ``--acdit
NAME`` draws a picture or clip with ACDiT, which no corrector follows, and ``--reference`` one with SDXL-Lightning.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import torch
from torch import nn

from ..engine.acdit.pipeline import ACDiTPipeline
from ..engine.corrector import Corrector
from ..engine.engine import Engine
from ..engine.loading.bundle import Bundle, find_bundle, parse_device, parse_dtype
from ..engine.loading.corrector import ROLE, find_corrector
from ..engine.loading.families.unified_io2_vqgan import SIZES as UNIFIED_IO2
from ..engine.models.layers.half_precision import emulated
from ..engine.models.tokenizers.coder import CoderConfig
from ..engine.models.tokenizers.emu3_vq import Emu3VQConfig
from ..engine.models.tokenizers.llamagen import LlamaGenConfig
from ..engine.models.tokenizers.vqgan import VQGANConfig
from ..engine.options import CorrectionOptions, make_options
from ..engine.utils.atomic import write_json
from ..engine.utils.versions import versions
from .acdit.draw import draw_one, floors
from .layer_needs import LayerNeeds
from .module_runs import Runs
from .overhead.cli import machine
from .overhead.floors import rates_of
from .reference_times import draw_reference, make_reference
from .roofline import Machine
from .steering import steering

CODERS: Mapping[str, type[CoderConfig]] = {  # that draw any size
    "janus": LlamaGenConfig,
    "emu3": Emu3VQConfig,
    "unified-io-2": VQGANConfig,
}
CODER_SIZES: Mapping[str, Mapping[str, Any]] = {"unified-io-2": UNIFIED_IO2}  # where they are not the class's own
SIDES = {"emu3": "side", "unified-io-2": "grid"}  # where codes are counted by side
SENTENCE = "Benny the beagle sat in a vibrant garden."


def peak_bytes() -> int:
    """The process's high-water mark of resident memory."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@click.command()
@click.option("--bundle", default="show-o+sd15", show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--dtype", default="bfloat16", show_default=True)
@click.option("--arm-steps", type=int, help="MaskGIT steps, where the ARM takes such.")
@click.option("--steps", default=2, show_default=True, help="N: DDIM steps, of which half are run.")
@click.option("--size", default=256, show_default=True, help="Pixels of the shorter side at which it is corrected.")
@click.option("--drawn", type=click.IntRange(16), help="Pixels a side of the drawn frame, to shorten a long run.")
@click.option(
    "--clip", type=click.IntRange(1), metavar="FRAMES", help="Correct a clip of this length and nothing else."
)
@click.option(
    "--t5-layers", type=click.IntRange(1), help="Layers of the clip's T5 encoder, to leave memory for the rest."
)
@click.option("--acdit", metavar="NAME", help="Draw with this ACDiT (XL-img, H-vid, ...), N steps a block.")
@click.option("--reference", is_flag=True, help="Draw with SDXL-Lightning, N of Euler's steps.")
@click.option("--width", type=click.IntRange(1), help="Pixels of the clip's longer side.  [default: as --size]")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A JSON file.")
def main(
    bundle: str, device: str, dtype: str, arm_steps: int | None, steps: int, size: int, drawn: int | None,
    clip: int | None, acdit: str | None, reference: bool, width: int | None, t5_layers: int | None,
    out: Path,
) -> None:  # fmt: skip
    """Make the system, draw a frame and correct it."""
    if acdit is not None:
        found = drawn_blocks(acdit, device, dtype, steps)
    elif reference:
        found = drawn_reference(device, dtype, steps, size)
    elif clip is None:
        found = drawn_frame(bundle, device, dtype, arm_steps, steps, (size, drawn))
    else:
        found = corrected_clip(bundle, device, dtype, steps, (clip, size, width or size), t5_layers)
    widened = emulated(parse_device(device), parse_dtype(dtype))
    found |= {
        "versions": versions(),
        # widened: to float32 for products, where units for the dtype are missing
        "machine": {**machine(), "threads": torch.get_num_threads(), "widened": widened},
        "peak_bytes": peak_bytes(),
    }
    write_json(out, found)
    times = "  ".join(f"{name} {seconds:.1f}" for name, seconds in found["seconds"].items())
    click.echo(f"{times} s, {found['peak_bytes'] / 2**30:.1f} GiB at most; {out}")


def made_in(began: float) -> float:
    """Seconds since ``began``, said with the memory so far."""
    made = time.perf_counter() - began
    click.echo(f"made in {made:.0f} s, {peak_bytes() / 2**30:.1f} GiB", err=True)
    return made


def drawn_frame(
    name: str, device: str, dtype: str, arm_steps: int | None, steps: int, sizes: tuple[int, int | None]
) -> dict[str, Any]:
    """A frame drawn and corrected: settings, seconds and codes. ``sizes`` are the pixels of the correction, and those
    of the frame where they are not the system's."""
    began, bundle, (size, drawn) = time.perf_counter(), find_bundle(name, random_weights=True), sizes
    if drawn is not None:
        bundle = smaller(bundle, drawn)
    engine = Engine.from_pretrained(bundle, device=device, dtype=dtype, backend="eager")
    made = made_in(began)
    options: dict[str, Any] = {"num_inference_steps": steps, "correction_size": size}
    if arm_steps is not None:
        options["arm_steps"] = arm_steps
    needs = LayerNeeds([*engine.models.networks, engine.models.corrector.text_encoder])
    with needs.counting():
        (frame,) = engine.stream([SENTENCE], on_phase=needs.begin, constraints=steering(engine), **options)
    seconds = {phase: ms / 1e3 for phase, ms in frame.phases_ms.items()}
    rates = Machine.measure(parse_dtype(dtype), device)
    return {
        "settings": engine.settings(make_options(**options)),
        "seconds": {"made": made, **seconds},
        "rates": rates._asdict(),
        "layers": needs.shares(seconds, rates),
        "changed_codes": sum(one != other for one, other in zip(frame.codes, frame.draft_codes, strict=True)),
        "codes": len(frame.codes),
    }


def smaller(bundle: Bundle, pixels: int) -> Bundle:
    """The same system for frames of that many pixels a side; ``ValueError`` where it draws one size only."""
    arm, tokenizer = bundle.parts["arm"], bundle.parts["tokenizer"]
    if arm.kind not in CODERS:
        raise ValueError(f"drawn {pixels} is for ARMs of kind {', '.join(CODERS)}, not {arm.kind}; leave it out")
    coder = CODERS[arm.kind].from_dict({**CODER_SIZES.get(arm.kind, {}), **tokenizer.config})
    side = pixels // coder.downsampling
    own = {SIDES[arm.kind]: side} if arm.kind in SIDES else {"codes_per_frame": side**2}
    resolution = {"resolution": side * coder.downsampling}
    parts = {
        "arm": replace(arm, config={**arm.config, **own}),
        "tokenizer": replace(tokenizer, config={**tokenizer.config, **resolution}),
    }
    return replace(bundle, parts={**bundle.parts, **parts})


def drawn_blocks(name: str, device: str, dtype: str, steps: int) -> dict[str, Any]:
    """A picture or clip drawn block by block: settings, seconds by phase, and the share of them that operations and
    weights take at the rates of this machine, measured in the same run."""
    rates, began = rates_of(parse_device(device), parse_dtype(dtype)), time.perf_counter()
    pipeline = ACDiTPipeline.from_pretrained(random_weights=name, device=device, dtype=dtype)
    made = made_in(began)
    drawn = draw_one(pipeline, steps, lambda: click.echo(f"block in {time.perf_counter() - began:.0f} s", err=True))
    least = floors(pipeline, steps, 1, rates)
    return {
        "settings": {"model": name, **pipeline.settings(steps)},
        "seconds": {"made": made, **{phase.value: seconds for phase, seconds in drawn.phases.items()}},
        "processor_seconds": drawn.processor_seconds,  # less than the phases' where others use the machine
        "frames": drawn.frames,
        "blocks": [{phase.value: seconds for phase, seconds in block.items()} for block in drawn.blocks],
        "rates": rates._asdict(),
        "floors": {
            phase.value: {**floor._asdict(), "share": floor.seconds / drawn.phases[phase]}
            for phase, floor in least.items()
        },
    }


def drawn_reference(device: str, dtype: str, steps: int, size: int) -> dict[str, Any]:
    """A picture drawn with SDXL-Lightning: settings, passes, and the seconds of each network."""
    began = time.perf_counter()
    painter = make_reference(device, dtype, steps)
    made = made_in(began)
    times = draw_reference(painter, size)
    return {
        "settings": {"model": "SDXL-Lightning", **painter.settings(size)},
        "seconds": {"made": made, **{name: sum(seconds) for name, seconds in times.items()}},
        "unet_passes": [round(taken, 3) for taken in times["unet"]],
    }


def corrected_clip(
    name: str, device: str, dtype: str, steps: int, shape: tuple[int, int, int], t5_layers: int | None = None
) -> dict[str, Any]:
    """A clip of ``shape`` (frames, height, width) corrected: settings, passes, and the seconds of each network."""
    began, bundle = time.perf_counter(), find_corrector(name, random_weights=True)
    if t5_layers is not None:
        part = bundle.parts[ROLE]
        text = {**part.config.get("text_encoder", {}), "num_layers": t5_layers}
        part = replace(part, config={**part.config, "text_encoder": text})
        bundle = replace(bundle, parts={ROLE: part})
    corrector = Corrector.from_pretrained(bundle, device=device, dtype=dtype, backend="eager")
    made, networks = made_in(began), corrector.corrector
    frames = torch.rand(shape[0], 3, *shape[1:], generator=torch.Generator().manual_seed(0))
    options = CorrectionOptions(num_inference_steps=steps, size=shape[1])
    assert isinstance(networks.unet, nn.Module)
    parts: dict[str, nn.Module] = {"text": networks.text_encoder, "encode": networks.vae.encoder, "unet": networks.unet}
    if networks.stage_one is not None:
        assert isinstance(networks.stage_one.unet, nn.Module)
        parts["stage_one"] = networks.stage_one.unet
    parts["decode"] = networks.vae.decoder
    runs = {name: Runs(module) for name, module in parts.items()}
    began = time.perf_counter()
    shown = corrector.clip(frames, SENTENCE, options=options)
    seconds = {"made": made, "correct": time.perf_counter() - began}
    return {
        "settings": {**corrector.settings(options), "frames": shape[0], "height": shape[1], "width": shape[2]}
        | ({} if t5_layers is None else {"t5_layers": t5_layers}),
        "start": corrector.start(options),
        "seconds": seconds | {name: sum(run.amounts) for name, run in runs.items()},
        "unet_passes": [round(taken, 3) for taken in runs["unet"].amounts],
        "mean_change": float((shown - frames).abs().mean()),
    }


if __name__ == "__main__":
    main()
