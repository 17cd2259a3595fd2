"""A small random Show-o, and what its tests share. One letter is one id."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor

from acdc.compile.cache import PlanCache
from acdc.engine.engine import Engine
from acdc.engine.loading.fallbacks import FALLBACKS
from acdc.engine.models.show_o.family import ShowOArm
from acdc.engine.models.show_o.model import ShowO, ShowOConfig
from acdc.engine.models.tokenizers.magvit2 import MAGVIT2
from acdc.engine.models.tokenizers.magvit2_config import MAGVIT2Config
from acdc.engine.runtime.backends import parse_backends
from acdc.engine.scheduler.run import SlotModels
from acdc.engine.utils.rng import Purpose, make_keys
from tests.helpers.published import randomise
from tests.helpers.show_o_plain import Sizes

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


# As of a bundle that says more than the layout chosen by a user may have.
DEFAULTS = {**FALLBACKS, "guidance_scale": 3.0, "layout": "independent", "carry_over": 0.25, "context": "full"}


def small_engine(exact: Engine) -> Engine:
    """An engine in float64 whose ARM and tokenizer are Show-o's, small: 16 px, 4x4 codes of 32."""
    sizes = {"num_vq_tokens": 16, "codebook_size": 32, "llm_vocab_size": 256, "text_end": 255, "text_field": 40}
    config = replace(CONFIG, **sizes, max_position=400)
    arm = ShowOArm(small_model(torch.float64, config), lambda text: list(text.encode())[:37])
    blocks = {"channel_multipliers": (1, 1, 2), "encoder_blocks": (1, 1, 1), "decoder_blocks": (1, 1, 1)}
    tokenizer = MAGVIT2(MAGVIT2Config(16, 8, **blocks, z_channels=5, num_groups=4))
    randomise(tokenizer)
    engine = copy.copy(exact)
    engine.bundle = replace(engine.bundle, defaults=DEFAULTS)
    engine.models = engine.models._replace(arm=arm, tokenizer=tokenizer.double().requires_grad_(False))
    eager = parse_backends("eager", engine.device, torch.float64)
    engine.copies = SlotModels(engine.models, eager, PlanCache())
    return engine
