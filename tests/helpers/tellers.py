"""Stories of a small ARM, of either family, that come together and part again; and the same, each drawn alone."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import torch
from torch import Tensor

from acdc.engine.options import StoryOptions, make_options
from acdc.engine.sampling import SamplingParams
from acdc.engine.utils.rng import Purpose, make_keys


def options_of(context: str, guided: bool) -> StoryOptions:
    return make_options(context=context, arm_guidance_scale=2.0 if guided else 1.0, top_p=1.0, temperature=1.0)


def policy_of(options: StoryOptions) -> SamplingParams:
    assert options.sampling.guidance_scale is not None
    return SamplingParams(guidance_scale=options.sampling.guidance_scale)


def corrected(arm: Any, codes: Tensor) -> Tensor:
    """The corrector's part."""
    return (codes + 3) % arm.stream.codebook_size


def alone(
    arm: Any, texts: Sequence[str], seed: int, fixes: Sequence[bool], options: StoryOptions
) -> list[tuple[int, ...]]:
    """A story's codes as they are drawn by a session of its own."""
    session, drawn = arm.session(1, len(texts), options), []
    for index, text in enumerate(texts):
        session.begin([text])
        codes = session.generate(policy_of(options), make_keys([seed], index, Purpose.TOKEN))
        drawn.append(tuple(codes[0].tolist()))
        if fixes[index]:
            session.replace(index, corrected(arm, codes))
    session.close()
    return drawn


@dataclass(eq=False)
class Teller:
    """A story among others: its frame and its drawn codes."""

    texts: Sequence[str]
    seed: int
    fixes: Sequence[bool]
    sequence: Any
    index: int = 0
    group: tuple[Any, int] | None = None
    drawn: list[tuple[int, ...]] = field(default_factory=list)

    @property
    def over(self) -> bool:
        return self.index == len(self.texts)


def prefill(arm: Any, tellers: Sequence[Teller], options: StoryOptions) -> None:
    group = arm.new_batch([one.sequence for one in tellers], options)
    group.begin([one.texts[one.index] for one in tellers])
    keys = make_keys([one.seed for one in tellers], [one.index for one in tellers], Purpose.TOKEN)
    group.start(keys)
    for place, one in enumerate(tellers):
        one.group = group, place


def with_windows(arm: Any, windows: Sequence[int]) -> Any:
    """The same LWM, whose table has this number of codes a pass."""
    other = copy(arm)
    other.stream = replace(arm.stream, windows={"cpu": {"eager": {"1": list(windows)}}})
    return other


def draw_on(arm: Any, tellers: Sequence[Teller], passes: int | None) -> list[Teller]:
    """A launch for all of them -> those that have their frame now."""
    members = [one.group for one in tellers if one.group is not None]
    group, places = members[0][0].merge(arm, members)
    for one, place in zip(tellers, places, strict=True):
        one.group = group, place
    ready = group.advance(passes)
    finished = []
    for one, place in zip(tellers, places, strict=True):
        if ready[place]:
            one.drawn.append(tuple(group.pop(place).tolist()))
            one.group = None
            finished.append(one)
    return finished


def fix(arm: Any, one: Teller, options: StoryOptions, at_once: bool) -> None:
    """Corrected or not, on to the next frame; corrected codes enter at once or with the next sentence."""
    if one.fixes[one.index]:
        one.sequence.replace(corrected(arm, torch.tensor(one.drawn[-1])))
        if at_once:
            arm.new_batch([one.sequence], options).write_cache()
    one.index += 1


def again(arm: Any, one: Teller, how: str) -> None:
    """Events that may befall a story between its frames, or in the middle of one."""
    if how == "interrupted":  # its process was killed: what it had finished is read from disk
        drop(one)
        images = [torch.tensor(codes) for codes in one.drawn]
        images = [corrected(arm, codes) if yes else codes for codes, yes in zip(images, one.fixes, strict=False)]
        one.sequence = arm.new_sequence(one.texts)
        one.sequence.restore(one.texts[: one.index], images)
    elif how == "failed":  # while it was drawn, or between that and the next frame
        if one.group is None and one.drawn:
            one.index -= 1
            one.drawn.pop()
        drop(one)
        one.sequence.forget(one.index)


def drop(one: Teller) -> None:
    if one.group is not None:
        one.group[0].release()
    one.group = None


def teller(arm: Any, seed: int, texts: Sequence[str] = ("ab", "cdefg", "b")) -> Teller:
    return Teller(texts, seed, [True] * len(texts), arm.new_sequence(texts))


def tell(
    arm: Any,
    tellers: Sequence[Teller],
    options: StoryOptions,
    chance: Random,
    passes: int | None = None,
    at_once: bool = False,
    trouble: bool = False,
) -> None:
    """All stories to their ends: begun, regrouped, corrected, failed and resumed in any order and any batches."""
    for _ in range(500):
        going = [one for one in tellers if not one.over]
        if not going:
            break
        if trouble and chance.random() < 0.1:
            again(arm, chance.choice(going), chance.choice(["interrupted", "failed"]))
            continue
        drawing = chance.random() < 0.6
        able = [one for one in going if (one.group is not None) == drawing]
        together = chance.sample(able, chance.randint(1, len(able))) if able else []
        if together and drawing:
            for one in draw_on(arm, together, passes):
                fix(arm, one, options, at_once)
        elif together:
            prefill(arm, together, options)
    assert all(one.over for one in tellers)
