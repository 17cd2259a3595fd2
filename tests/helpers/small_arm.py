"""A small random ARM, and sessions on it, for the tests of both."""

import torch
from torch import Tensor

from acdc.engine.models.causal.session import ArmSession
from acdc.engine.models.causal.stream import StreamConfig
from acdc.engine.models.lwm.family import Arm
from acdc.engine.models.lwm.model import LWM, LWMConfig
from acdc.engine.options import Context
from acdc.engine.utils.rng import Purpose, make_keys

SIZES = LWMConfig(layers=2, hidden=32, ffn=48, heads=4, text_vocab=32, vision_vocab=14, rope_theta=1e4, max_position=99)
STREAM = StreamConfig(6, 10, 10, bos=(1,), vision=(2,), max_text_tokens=8, context="full")
TEXTS = [["ab", "cdefg"], ["a", "xy"], ["bcd", "e"]]  # frame by frame, ragged across stories
CONTEXTS: list[Context] = ["full", "window"]
TIGHT = {"rtol": 0, "atol": 1e-11}


def encode(text: str) -> list[int]:
    return [3 + ord(letter) - ord("a") for letter in text]


def make_arm() -> Arm:
    """A random model of those sizes in float64."""
    torch.manual_seed(0)
    model = LWM(SIZES).double()
    torch.nn.init.normal_(model.vision_head.weight, std=0.8)
    return Arm(model, encode, STREAM)


def keys(chunk: int, seeds: tuple[int, ...] = (5, 6)) -> Tensor:
    return make_keys(seeds, chunk, Purpose.TOKEN)


def frame_of(seed: int, stories: int = 2) -> Tensor:
    return torch.randint(0, 10, (stories, 6), generator=torch.Generator().manual_seed(seed))


def session(arm: Arm, context: Context = "full", guided: bool = False, stories: int = 2) -> ArmSession:
    return ArmSession(arm, stories, frames=3, context=context, guided=guided)


def given(arm: Arm, frames: list[Tensor], context: Context, guided: bool = False) -> ArmSession:
    """A fresh session on a known history, ready for the next frame."""
    fresh = session(arm, context, guided)
    for texts, codes in zip(TEXTS, frames, strict=False):
        fresh.begin(texts)
        fresh.extend(codes)
    fresh.begin(TEXTS[len(frames)])
    return fresh


def last(of: ArmSession) -> Tensor:
    assert of.last_logits is not None
    return of.last_logits


def from_scratch(arm: Arm, texts: list[str], frames: list[Tensor], story: int) -> Tensor:
    """Logits after texts[0], frame 0, ..., texts[-1] without session or cache: ids laid out by hand."""
    ids, kinds = [1], [False]
    for number, text in enumerate(texts):
        ids += [*encode(text), 2]
        kinds += [False] * (len(text) + 1)
        if number < len(frames):
            ids += [*frames[number][story].tolist(), 10]
            kinds += [True] * 7
    hidden = arm.model(torch.tensor([ids]), torch.tensor([kinds]))
    return arm.model.vision_logits(hidden[0, -1])
