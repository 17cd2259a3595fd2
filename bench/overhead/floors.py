"""The least time that a frame can take on a device: what its phases compute and read, at the rates of that device.

Operations are counted by running the plain models once (matrix products, convolutions, attention); bytes are the
weights that a phase reads, once a pass, or once a launch where the device's cache holds all of them. Activations and
the cache of keys and values are left out, so the floor is a little below what is possible. Where a pass draws several
codes, some are drawn in vain, so operations are those of one code a pass, and bytes those of the fewer passes.

    one phase after another     sum over phases of max(operations / rate, bytes / rate)
    phases that overlap         max(sum of operations / rate, sum of bytes / rate)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ...engine.memory.none import NoMemory
from ...engine.models.layers.fused import Fused
from ...engine.models.layers.half_precision import product_dtype
from ...engine.options import StoryOptions
from ...engine.outputs import Phase
from ...engine.pipeline.phases import rewrite
from ...engine.request import StoryRequest
from ...engine.scheduler.policy import SchedulerConfig
from ...engine.scheduler.scheduler import frame_phases
from ...engine.scheduler.slot_phases import SlotPhases
from ...engine.scheduler.story_state import StoryState
from . import packed_flops

if TYPE_CHECKING:
    from ...engine.engine import Engine

REPEATS = 5
MATRIX = {"cpu": 1536, "cuda": 8192}  # on a side
COPY_BYTES = 2**28
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
SENTENCES = ("Benny the beagle sat in a garden.", "He jumped up and ran.")


class Rates(NamedTuple):
    """Measured: operations and bytes a second, on a CPU with torch's present number of threads."""

    flops: float
    bandwidth: float
    cache_bytes: int


class Operations(TorchDispatchMode):
    """Counts those of matrix products, convolutions and attention, as ``FlopCounterMode`` does, without its tables by
    module."""

    def __init__(self) -> None:
        super().__init__()
        packed_flops.register()
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if (count := flop_registry.get(func._overloadpacket)) is not None:
            self.flops += count(*args, **(kwargs or {}), out_val=out)
        return out


class Need(NamedTuple):
    """Needs of one launch of a phase."""

    flops: int
    bytes: int

    def seconds(self, rates: Rates) -> float:
        """Below which the device cannot do it."""
        return max(self.flops / rates.flops, self.bytes / rates.bandwidth)


Needs = Mapping[Phase, Need]  # of one frame


def measure_rates(engine: Engine) -> Rates:
    """As :func:`rates_of`, for an engine's device and number type."""
    return rates_of(engine.device, next(engine.models.tokenizer.parameters()).dtype)


def rates_of(device: torch.device, dtype: torch.dtype) -> Rates:
    """The best of some products, copies and sums: a rate that is reached at all is a bound that holds. Products are
    those of models in ``dtype``, in float32 where a CPU has no units for it.

    Weights are only read. A copy reads and writes, and many a CPU also reads every line that it is about to write,
    which is in no count: there a sum, which reads alone, is the faster of the two. The faster one is taken.
    """
    side = MATRIX[device.type]
    a, b = torch.ones(2, side, side, device=device, dtype=product_dtype(device, dtype))
    product = torch.empty_like(a)
    source = torch.ones(COPY_BYTES // 4, dtype=torch.float32, device=device)
    target = torch.empty_like(source)
    flops = 2 * side**3 / _best(lambda: torch.mm(a, b, out=product), device)
    copied = 2 * COPY_BYTES / _best(lambda: target.copy_(source), device)
    return Rates(flops, max(copied, COPY_BYTES / _best(source.sum, device)), cache_bytes(device))


def cache_bytes(device: torch.device, caches: Path = CACHES) -> int:
    """The largest cache of the device; 0 where it is unknown."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).L2_cache_size)
    units = {"K": 2**10, "M": 2**20}
    sizes = [path.read_text().strip() for path in caches.glob("index*/size")]
    return max((int(size[:-1]) * units[size[-1]] for size in sizes if size[-1:] in units), default=0)


def count(engine: Engine, options: StoryOptions, stories: int, cache: int) -> list[Needs]:
    """The phases of the first and of the second frame of that number of concurrent stories, as ``options`` (resolved)
    say. Later frames need no less than the second."""
    phases = _plain(engine, options, stories)
    drawn = _frames(phases, stories, cache)
    if not phases.models.arm.computes_in_vain(options, stories):
        return drawn
    one_by_one = options.replace(decoding="sequential", correction=False)
    single = _frames(_plain(engine, one_by_one, stories), stories, cache)
    draw = Phase.SAMPLE
    return [{**a, draw: Need(*map(min, a[draw], b[draw]))} for a, b in zip(drawn, single, strict=True)]


def floor(launches: Iterable[Need], rates: Rates, overlapped: bool) -> float:
    """Seconds for these launches, one after another or overlapping."""
    needs = list(launches)
    if not overlapped:
        return sum(need.seconds(rates) for need in needs)
    return Need(sum(need.flops for need in needs), sum(need.bytes for need in needs)).seconds(rates)


def _plain(engine: Engine, options: StoryOptions, stories: int) -> SlotPhases:
    """Phases of the models without plans, which draw as many codes a pass as the engine does with its own."""
    loaded = engine.copies.loaded
    eager = dict.fromkeys(loaded.arm.stages(), "eager")
    arm = loaded.arm.with_stages(lambda run, stage: run, {**eager, "arm_draw": engine.models.arm.draw_backend})
    config = SchedulerConfig(slots=1, stories=stories, draw_batch=stories, correct_batch=stories)
    return SlotPhases(loaded._replace(arm=arm), options, config)


def _frames(phases: SlotPhases, stories: int, cache: int) -> list[Needs]:
    """Draw two frames, and count. Corrected codes of the first enter with the second sentence."""
    options, correction = phases.options, phases.correction
    if options.correction.enabled:
        _ = correction.null_context, correction.table  # made once for all frames, so no frame's
    requests = [StoryRequest(f"story-{k}", SENTENCES, seed=k) for k in range(stories)]
    works = [StoryState.of(request, NoMemory(), phases.models.arm.new_sequence(SENTENCES)) for request in requests]
    found: list[Needs] = []
    for index in range(len(SENTENCES)):
        for work in works:
            work.rewrites[index] = rewrite(work.memory, work.request.sentences, index)
        ran = frame_phases(options.corrects(index), options.correction.feed_back, False, True)
        found.append({phase: _count(phases, phase, works, cache) for phase in ran})
        for work in works:
            work.next_frame()
    return found


def _count(phases: SlotPhases, phase: Phase, works: list[StoryState], cache: int) -> Need:
    """Run a phase, and count. Not in inference mode, in which products come as wholes that the registry lacks."""
    with torch.no_grad(), weights_read(phases.models.networks) as calls, Operations() as operations:
        phases.run_phase[phase](works)
    sizes = {module: weight_bytes(module) for module in calls}
    once = sum(sizes.values())
    return Need(operations.flops, once if once <= cache else sum(sizes[m] * calls[m] for m in calls))


@contextmanager
def weights_read(networks: Iterable[nn.Module]) -> Iterator[dict[nn.Module, int]]:
    """Count the calls of each module in this block."""
    calls: dict[nn.Module, int] = {}

    def note(module: nn.Module, inputs: Any) -> None:
        calls[module] = calls.get(module, 0) + 1

    modules = {module for network in networks for module in network.modules()}
    hooks = [module.register_forward_pre_hook(note) for module in modules]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


def weight_bytes(module: nn.Module) -> int:
    """Bytes of the weights that the module itself multiplies by; of a table of embeddings few rows are read."""
    if isinstance(module, nn.Embedding):
        return 0
    own = [module.weight] if isinstance(module, Fused) else module.parameters(recurse=False)
    return sum(value.nbytes for value in own)


def _best(work: Callable[[], Any], device: torch.device) -> float:
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - began)
    return min(times)
