"""Do all ways of computing a story on this device give the same story?

A captured graph runs the kernels of the plain stage, so its story must be the plain one's, bit by bit; a row is
``right`` if it is. Our kernels and another device add in another order, where near ties may fall otherwise; of those a
row says how far the stories agree, and nothing is right or wrong. Codes are drawn one a pass throughout, since another
window is another order of sums, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ...engine.engine import Engine
from ...engine.loading.bundle_place import embedded_names
from ...engine.outputs import Frame
from .record import Output, Record
from .stages import fresh_peak
from .systems import SENTENCES, System

FRAMES, STEPS = 2, 10
WHOLE = ",".join(f"{name}=cudagraph" for name in ("arm_prefill", "arm_draw", "tokenizer_decoder", "correction"))
SYSTEMS = (
    System("storyworld, float32", "storyworld", {"dtype": "float32"}),
    System("Show-o 256 + SD 1.5, bfloat16", "show-o+sd15", {"dtype": "bfloat16"}),
    System("LWM + SD 1.5, bfloat16", "lwm+sd15", {"dtype": "bfloat16"}),
)


class Way(NamedTuple):
    """One way to compute a story: ``how`` for :meth:`Engine.from_pretrained`; ``like`` names the way that it is
    compared with, and must equal if it is ``exact``."""

    name: str
    how: Mapping[str, str]
    like: str
    exact: bool


PLAIN = "plain"
WAYS = (
    Way(PLAIN, {}, PLAIN, True),  # a second time: does the device repeat itself?
    Way("graphs", {"backend": "cudagraph"}, PLAIN, True),
    Way("one graph a correction", {"backend": WHOLE}, PLAIN, True),
    Way("kernels", {"kernels": "triton"}, PLAIN, False),
    Way("kernels in graphs", {"kernels": "triton", "backend": "cudagraph"}, "kernels", True),
    Way("CPU", {"device": "cpu"}, PLAIN, False),
)
HOW = {way.name: way.how for way in WAYS}


def run(systems: Sequence[System], device: str, output: Output) -> dict[str, Any]:
    """Compare, a row a system and way."""
    record = Record(output, device, {"frames": FRAMES, "num_inference_steps": STEPS})
    for system in systems:
        drawn: dict[str, list[Frame]] = {}  # by way, of those that others are compared with
        for way in WAYS:
            if "device" not in way.how or system.bundle in embedded_names():  # others have other noise on a CPU
                record.add({"system": system.name, "way": way.name}, partial(compare, system, way, device, drawn))
    return record.finish()


def compare(system: System, way: Way, device: str, drawn: dict[str, list[Frame]]) -> dict[str, Any]:
    """A row: how far two ways agree."""
    if device != "cuda" and way.how.keys() & {"backend", "kernels"}:
        return {"refused": [f"it runs on cuda, not on {device}"]}
    if way.like not in drawn:
        drawn[way.like] = draw(system, HOW[way.like], device)
    found = agreement(draw(system, way.how, device), drawn[way.like])
    return {"like": way.like, **({"right": found["equal"]} if way.exact else {}), **found}


def draw(system: System, how: Mapping[str, str], device: str) -> list[Frame]:
    """The first frames of a story, by an engine that lives no longer."""
    fresh_peak(device)
    noise = system.bundle not in embedded_names()
    engine = Engine.from_pretrained(
        system.bundle, random_weights=noise, **{"device": device, "backend": "eager", **system.options, **how}
    )
    options: dict[str, Any] = {"correction_size": 256} if noise else {}
    if not system.bundle.startswith("show-o"):  # which draws in steps of its own
        options["decoding"] = "sequential"
    return engine.generate(SENTENCES[:FRAMES], num_inference_steps=STEPS, **options).frames


def agreement(found: list[Frame], wanted: list[Frame]) -> dict[str, Any]:
    """Compare two stories: equal in every bit or not; equal codes of the first draft, as a share; and the largest
    difference of a pixel, in levels of 255, of the frames whose codes are equal."""
    alike = [(a, b) for a, b in zip(found, wanted, strict=True) if (a.draft_codes, a.codes) == (b.draft_codes, b.codes)]
    levels = [int(np.abs(a.image.astype(int) - b.image).max()) for a, b in alike]
    first = np.equal(found[0].draft_codes, wanted[0].draft_codes)
    return {
        "equal": len(alike) == len(wanted) and max(levels) == 0,
        "frames_of_equal_codes": len(alike),
        "first_codes_equal": float(first.mean()),
        "levels": max(levels, default=None),
    }
