"""A small random Show-o, and what its tests share. One letter is one id."""

from __future__ import annotations

import torch
from torch import Tensor

from acdc.engine.models.arm.show_o import ShowO, ShowOConfig
from acdc.engine.models.arm.show_o_arm import ShowOArm
from acdc.engine.rng import Purpose, make_keys
from tests.published import randomise
from tests.show_o_plain import Sizes

CONFIG = ShowOConfig(
    layers=2, hidden=32, ffn=48, heads=4, max_position=200, llm_vocab_size=30, codebook_size=12, num_vq_tokens=9,
    text_field=12, text_end=29,
)  # fmt: skip
PLAIN = Sizes(layers=2, heads=4, text_vocab=30, codebook=12, slots=9, field=12, end=29)
TEXTS = [["ab", "cdefg"], ["a", "xy"], ["bcd", "e"]]  # frame by frame, ragged across stories


def encode(text: str) -> list[int]:
    return [ord(letter) - ord("a") for letter in text]


def small_model(dtype: torch.dtype = torch.float64, config: ShowOConfig = CONFIG) -> ShowO:
    model = ShowO(config)
    randomise(model)
    head = model.get_parameter("showo.lm_head.weight")
    with torch.no_grad():
        head.mul_(4)  # codes differ in probability
    return model.to(dtype).eval().requires_grad_(False)


def small_arm(dtype: torch.dtype = torch.float64, config: ShowOConfig = CONFIG) -> ShowOArm:
    return ShowOArm(small_model(dtype, config), encode)


def keys(chunk: int, seeds: tuple[int, ...] = (5, 6)) -> Tensor:
    return make_keys(seeds, chunk, Purpose.TOKEN)


def frame_of(seed: int, stories: int = 2) -> Tensor:
    return torch.randint(0, 12, (stories, 9), generator=torch.Generator().manual_seed(seed))
