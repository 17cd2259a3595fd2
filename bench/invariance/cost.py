"""The cost of exactness: the same frames with noise that belongs to a position, and with noise of torch's generator.

Noise of a position is counter-based (Philox) and made in float64, so that a draw depends on nothing but seed, frame and
position; torch's generator hands out numbers in the order in which they are asked for. All else is the same work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from statistics import median, quantiles
from typing import Any

import torch
from torch import Tensor

from ...engine.engine import Engine
from ...engine.models.causal.session import ArmSession
from ...engine.models.decode import DecodeState, begun, draw
from ...engine.models.decode_pass import first_guesses
from ...engine.utils.rng import Purpose, gumbel, make_keys, normal
from ..decoding.frames import POLICY, Start, starts
from ..parts import arm_of, tokenizer_of
from .table import EQUAL_BITS

Draw = Callable[[ArmSession, Start, Sequence[int]], object]


def exact(session: ArmSession, start: Start, windows: Sequence[int]) -> Tensor:
    """The engine's own draw."""
    return start.draw_in(session, start.previous, windows)[0]


def in_order(session: ArmSession, start: Start, windows: Sequence[int]) -> Tensor:
    """The same passes, with Gumbel noise of torch's generator in float32."""
    arm, stories = session.arm, len(start.keys)
    params = replace(POLICY, allowed=(0, arm.stream.codebook_size), forced=arm.stream.forced)
    noise = torch.empty(stories, arm.stream.slots, arm.model.config.vision_vocab).exponential_().log_().neg_()
    assert session.last_logits is not None, "the frame was begun"
    known = session.last_logits, params, start.keys, noise, start.previous
    first = first_guesses(*known, arm.stream.slots, max(windows), use_triton=False)
    session.frame = DecodeState(params, *begun(first, max(windows)), noise, session.cache)
    draw(session.frame, partial(arm.draw_pass, params), arm.stream.slots, windows)
    return session.finish()


@torch.inference_mode()
def cost_of_draws(engine: Engine, stories: int, rounds: int) -> dict[str, Any]:
    """Frames drawn both ways, in rounds of A B B A; quartiles of the ratios of neighbours."""
    frames = starts(engine, stories)
    windows = arm_of(engine).tokens_per_pass("auto", stories)
    ways = (partial(_timed, way, frames, windows) for way in (exact, in_order))
    ratios, exact_ms = paired(rounds, *ways)
    shared = {"backend": arm_of(engine).draw_backend, "stories": stories, "codes_a_pass": max(windows)}
    return {**shared, "what": "draw", "ms_a_frame": exact_ms / len(frames) / stories, **percent(ratios)}


@torch.inference_mode()
def cost_of_frame(engine: Engine, steps: int, rounds: int) -> dict[str, Any]:
    """The noise of a whole frame, corrected in ``steps`` steps, or plain where 0: what the engine's takes more than
    torch's, in per cent of a frame with torch's."""
    options = {"num_inference_steps": steps} if steps else {"correction": False}
    sentences, ratios, frame_ms = ["Benny the beagle sat in a garden.", "He jumped."], [], []
    for turn in range(rounds + 1):
        ways = (_noise_of_positions, _noise_in_order)
        spent = {way: _seconds(partial(way, engine, steps > 0)) for way in (ways if turn % 2 == 0 else ways[::-1])}
        frame = _seconds(partial(engine.generate, sentences, **options)) / len(sentences)
        if turn:  # the first turn warms up
            ratios.append(frame / (frame - spent[ways[0]] + spent[ways[1]]))
            frame_ms.append(1e3 * frame)
    what = "corrected frame" if steps else "plain frame"
    row = {"backend": arm_of(engine).draw_backend, "stories": 1, "what": what, "ms_a_frame": median(frame_ms)}
    return {**row, **percent(ratios)}


def cost_of_equal_bits(engine: Engine, stories: int, rounds: int) -> dict[str, Any]:
    """The price of equal bits, not only equal codes, without kernels made for it: every story drawn alone, against
    ``stories`` side by side."""
    frames, alone = starts(engine, stories), [starts(engine, 1, first=100_000 + story) for story in range(stories)]
    arm = arm_of(engine)

    def one_by_one() -> float:
        return sum(_timed(exact, found, arm.tokens_per_pass("auto", 1)) for found in alone)

    together = partial(_timed, exact, frames, arm.tokens_per_pass("auto", stories))
    with torch.inference_mode():
        ratios, alone_ms = paired(rounds, one_by_one, together)
    row = {"backend": arm.draw_backend, "stories": stories, "what": EQUAL_BITS}
    return {**row, "ms_a_frame": alone_ms / len(frames) / stories, **percent(ratios)}


def paired(rounds: int, one: Callable[[], float], other: Callable[[], float]) -> tuple[list[float], float]:
    """Ratios one / other of neighbours over rounds A B B A after a warm-up, and the median of ``one`` in ms."""
    one(), other()
    ratios, times = [], []
    for turn in range(2 * rounds):
        first, second = (one, other) if turn % 2 == 0 else (other, one)
        seconds = {first: first(), second: second()}
        ratios.append(seconds[one] / seconds[other])
        times.append(1e3 * seconds[one])
    return ratios, median(times)


def percent(ratios: Sequence[float]) -> dict[str, float]:
    """Median and quartiles of what ratios are above 1, in per cent."""
    low, middle, high = quantiles(ratios, n=4, method="inclusive")
    return {"percent": 100 * (middle - 1), "low": 100 * (low - 1), "high": 100 * (high - 1)}


def _timed(way: Draw, frames: Sequence[Start], windows: Sequence[int]) -> float:
    """Processor seconds of all frames; copies of the caches are made before."""
    ready = [(start.session.fork(), start) for start in frames]
    began = time.process_time()
    for session, start in ready:
        way(session, start, windows)
    return time.process_time() - began


def _seconds(call: Callable[[], object]) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began


def _noise_of_positions(engine: Engine, corrected: bool) -> None:
    arm = arm_of(engine)
    slots = torch.arange(arm.stream.slots)
    gumbel(make_keys([0], 0, Purpose.TOKEN), slots, arm.model.config.vision_vocab)
    if corrected:
        normal(make_keys([0], 0, Purpose.NOISE), _latent_shape(engine))


def _noise_in_order(engine: Engine, corrected: bool) -> None:
    arm = arm_of(engine)
    torch.empty(1, arm.stream.slots, arm.model.config.vision_vocab).exponential_().log_().neg_()
    if corrected:
        torch.randn(1, *_latent_shape(engine))


def _latent_shape(engine: Engine) -> tuple[int, int, int]:
    vae, side = engine.models.corrector.vae, tokenizer_of(engine).config.resolution
    return vae.config.latent_channels, side // vae.downscale, side // vae.downscale
