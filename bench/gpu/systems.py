"""The published systems at full size with random weights: milliseconds of every phase, each with its floor.

Time does not depend on the weights' values, so nothing need be downloaded. ``plain`` is eager PyTorch, one code a pass,
as a loop over transformers and diffusers is; ``ours`` are captured graphs and our kernels, ``int8`` and ``fp8`` the
same with the ARM's weights in a byte. A phase's floor is counted
while the plain engine runs it: its products at the measured rate of matrix products, or the weights of every module
call at the measured rate of copies, whichever is longer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ...engine import engine as engine_module
from ...engine.engine import Engine
from ...engine.loading.bundle import parse_dtype
from ...engine.loading.bundle_place import embedded_names
from ...engine.outputs import Frame, Phase
from ...engine.pipeline.clock import Clock
from ..overhead.floors import weight_bytes
from ..overhead.run import VIDEO_FRAMES
from ..roofline import Cost, Machine
from ..steering import steering
from . import blocks, reference
from .record import Output, Record, alive
from .stages import fresh_peak, spread

SENTENCES = ("Benny the beagle sat in a vibrant garden.", "He ran to the gate.", "He barked.", "Benny lay down.")
COUNTED = 2  # frames of a story whose operations are counted: the first, and one like all later ones
WAYS: Mapping[str, Mapping[str, Any]] = {
    "plain": {"backend": "eager", "kernels": "torch"},
    "ours": {"backend": "cudagraph", "kernels": "triton"},
    "int8": {"backend": "cudagraph", "kernels": "triton", "quantization": "int8"},  # lossy, as fp8
    "fp8": {"backend": "cudagraph", "kernels": "triton", "quantization": "fp8"},
}


class System(NamedTuple):
    """A bundle with the options that make it one row; with ``frames``, a video of one chunk of that many."""

    name: str
    bundle: str
    options: Mapping[str, Any]
    frames: int = 0

    @property
    def corrects(self) -> bool:
        """Is it a bundle, whose frames are drawn and corrected?"""
        return not self.bundle.startswith((blocks.PREFIX, reference.BUNDLE))


ACDIT = ("XL-img", "H-img", "XL-vid", "H-vid")  # weights were published of these
SYSTEMS = (
    System("storyworld", "storyworld", {}),
    System("Show-o 256 + SD 1.5 at 256", "show-o+sd15", {"correction_size": 256}),
    System("Show-o 256 + SD 1.5 at 512", "show-o+sd15", {"correction_size": 512}),
    System("Show-o 512 + SD 1.5 at 512", "show-o-512+sd15", {"correction_size": 512}),
    System("Show-o 256 + SD 1.5 inpainting at 512", "show-o+sd15-inpainting", {"correction_size": 512}),
    System("Show-o 256 + SD 1.5 with a depth ControlNet at 512", "show-o+sd15-depth", {"correction_size": 512}),
    System("Show-o 256 + DeepFloyd IF I-XL and II-L at 256", "show-o+if", {}),
    System("Show-o 256 + DeepFloyd IF II-L at 256", "show-o+if-ii", {}),
    System("Show-o 256 + SD-Turbo at 512", "show-o+sd-turbo", {}),
    System("Show-o 256 + LCM at 512", "show-o+lcm", {}),
    System("Show-o 256 + SD 1.5 with LCM-LoRA at 512", "show-o+sd15-lcm-lora", {}),
    System("Unified-IO 2 large + SD 1.5 at 512", "uio2-large+sd15", {}),
    System("Unified-IO 2 XL + SD 1.5 at 512", "uio2-xl+sd15", {}),
    System("Unified-IO 2 XXL + SD 1.5 at 512", "uio2-xxl+sd15", {}),
    System("Unified-IO 2 XXL + DeepFloyd IF I-XL and II-L at 256", "uio2-xxl+if", {}),
    System("LWM + SD 1.5 at 256", "lwm+sd15", {"correction_size": 256}),
    System("LWM + SD 1.5 at 512", "lwm+sd15", {"correction_size": 512}),
    System("Janus-Pro-1B + SD 1.5 at 512", "janus-pro-1b+sd15", {}),
    System("Janus-Pro-1B + SD-Turbo at 512", "janus-pro-1b+sd-turbo", {}),
    System("Janus-Pro-7B + SD 1.5 at 512", "janus-pro-7b+sd15", {}),
    System("Janus-Pro-7B + SD-Turbo at 512", "janus-pro-7b+sd-turbo", {}),
    System("Emu3 + SD 1.5 at 512", "emu3+sd15", {}),
    System("Emu3 + SD-Turbo at 512", "emu3+sd-turbo", {}),
    System("LWM + AnimateDiff, 16 frames", "lwm+animatediff", {}, frames=VIDEO_FRAMES),
    System("LWM + VideoCrafter2 at 320, 16 frames", "lwm+videocrafter2", {}, frames=VIDEO_FRAMES),
    System("SDXL-Lightning at 1,024, a reference picture", reference.BUNDLE, {}),
    *(System(f"ACDiT {name}, without a corrector", f"{blocks.PREFIX}{name}", {}) for name in ACDIT),
)


def run(systems: Sequence[System], ways: Sequence[str], device: str, dtype: str, output: Output) -> dict[str, Any]:
    """Measure, a row a system and way."""
    record = Record(output, device, {"dtype": dtype, "sentences": len(SENTENCES)})
    machine = Machine(**record.rates(lambda: Machine.measure(parse_dtype(dtype), device)._asdict()))
    for system in systems:
        costs = counted_before(record, system)
        for way in ways:
            what = {"system": system.name, "way": way}
            if system.bundle.startswith(blocks.PREFIX):
                if way in blocks.WAYS:
                    record.add(what, partial(blocks.measure, system.bundle, device, dtype, machine))
                continue
            if system.bundle == reference.BUNDLE:
                if way in reference.WAYS:
                    record.add(what, partial(reference.measure, device, dtype, machine))
                continue
            record.add(what, partial(measure, system, way, device, dtype, machine, costs))
    return record.finish()


def counted_before(record: Record, system: System) -> dict[Phase, Cost]:
    """Needs of the plain way of this system, where the file has them already."""
    rows = (row for row in record.found["rows"] if (row["system"], row["way"]) == (system.name, "plain"))
    phases: dict[str, Any] = next((row.get("phases", {}) for row in rows), {})
    return {Phase(name): Cost(row["flops"], row["bytes"]) for name, row in phases.items() if "flops" in row}


def measure(
    system: System, way: str, device: str, dtype: str, machine: Machine, costs: dict[Phase, Cost]
) -> dict[str, Any]:
    """A row, after a run that is not timed. The first frame of a story has other shapes and does not count. The
    plain way counts the ``costs``, which are the others', too."""
    fresh_peak(device)
    random_weights = system.bundle not in embedded_names()
    engine = Engine.from_pretrained(
        system.bundle, random_weights=random_weights, device=device, dtype=dtype, **WAYS[way]
    )
    options = dict(system.options)
    if way == "plain" and not system.bundle.startswith("show-o"):
        options["decoding"] = "sequential"
    if way == "plain":
        costs |= count(engine, system, options)
    else:
        draw(engine, system, options)
    drawn = draw(engine, system, options)[0 if system.frames else 1 :]
    row: dict[str, Any] = {"phases": {}}
    for phase in Phase:
        times = [span.duration_ms / 1e3 for frame in drawn for span in frame.spans if span.phase == phase]
        if times:
            cost = costs.get(phase)
            floor = {} if cost is None else {"floor": cost.floor(machine), **cost._asdict()}
            row["phases"][phase.value] = {**(spread(times) if len(times) > 1 else {"median": times[0]}), **floor}
    if device == "cuda":
        row["peak_bytes"] = torch.cuda.max_memory_allocated()
    return row


def draw(
    engine: Engine, system: System, options: Mapping[str, Any], sentences: Sequence[str] = SENTENCES
) -> list[Frame]:
    """The row's frames: of a story, or of a video whose first chunk is corrected."""
    if not system.frames:
        return list(engine.stream(sentences, on_phase=alive, constraints=steering(engine), **options))
    lengths: dict[str, Any] = {"num_frames": system.frames, "chunk_frames": system.frames}
    chunks = engine.stream_video(SENTENCES[0], on_phase=alive, **lengths, **options)
    return [frame for chunk in chunks for frame in chunk]


def count(engine: Engine, system: System, options: Mapping[str, Any]) -> dict[Phase, Cost]:
    """Needs of a frame's phases, the mean over those that ran: products, and bytes of weights at every call. The
    first run of a phase counts only if it is the only one."""
    means = {}
    for phase, runs in counted(engine, system, options).items():
        later = runs[1:] or runs
        means[phase] = Cost(*(sum(values) // len(later) for values in zip(*later, strict=True)))
    return means


def counted(engine: Engine, system: System, options: Mapping[str, Any]) -> dict[Phase, list[Cost]]:
    """Needs of each run of a phase while the row's frames are drawn."""
    counting = Counting(engine)
    original, engine_module.Clock = engine_module.Clock, lambda *_: counting  # type: ignore[assignment,misc]
    try:
        draw(engine, system, options, SENTENCES[:COUNTED])
    finally:
        engine_module.Clock = original  # type: ignore[misc]
    return counting.counted


class Counting(Clock):
    """In the place of the engine's clock: counts instead of timing."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine.device)
        self.networks = [*engine.models.networks, engine.models.corrector.text_encoder]
        self.counted: dict[Phase, list[Cost]] = defaultdict(list)

    @contextmanager
    def __call__(self, index: int, phase: Phase) -> Iterator[None]:
        touched = [0]
        alive()

        def touch(module: nn.Module, _inputs: tuple[Tensor, ...]) -> None:
            touched[0] += weight_bytes(module)

        modules = [module for network in self.networks for module in network.modules()]
        hooks = [module.register_forward_pre_hook(touch) for module in modules]
        try:
            with FlopCounterMode(display=False) as counter, super().__call__(index, phase):
                yield
        finally:
            for hook in hooks:
                hook.remove()
        self.counted[phase].append(Cost(counter.get_total_flops(), touched[0]))
