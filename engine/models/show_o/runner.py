"""Show-o as sessions use it: transformer, text ids, the passes; and how a published directory is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...utils.weights import load_into, read_json, skeleton
from ..interfaces import ArmStage, CompileStage
from ..kv_cache import KVCache
from .feed_pass import FeedPass
from .maskgit import MaskGitStep
from .maskgit_pass import MaskGitPass
from .model import NEW_TOKENS, ShowO, ShowOConfig
from .text import caption_ids, read_encoder

WEIGHTS = "pytorch_model.safetensors"
TEXT_MODEL = "microsoft/phi-1_5"
WIDTH = 32  # captions are padded to a multiple, so that one compiled shape serves many
STEPS = ((256, 18), (1024, 50))  # codes of a frame: steps of the published examples at that size
SIZES = ("codebook_size", "llm_vocab_size", "num_vq_tokens")


@dataclass(frozen=True)
class FrameCodes:
    """Number of codes of a frame, and size of the codebook."""

    codes_per_frame: int
    codebook_size: int


class ShowORunner:
    """A transformer, the function that turns a sentence into text ids, and the passes that draw."""

    def __init__(self, model: ShowO, encode: Callable[[str], list[int]]) -> None:
        self.model, self.config = model.eval().requires_grad_(False), model.config
        self.stream = FrameCodes(model.config.num_vq_tokens, model.config.codebook_size)
        self._encode = encode
        # A backend may put its own in place of each.
        self.wrap_draw: Callable[[MaskGitPass], MaskGitStep] = _as_it_is
        self.wrap_feed: Callable[[FeedPass], Callable[..., tuple[Tensor, Tensor]]] = _as_it_is
        self.draw_backend = "eager"
        self._draws: dict[tuple[int, float, float], MaskGitStep] = {}
        self._feeds: dict[bool, Callable[..., tuple[Tensor, Tensor]]] = {}
        self._null: tuple[Tensor, Tensor] | None = None

    @classmethod
    def from_directory(
        cls,
        directory: Path | str,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        tokenizer: Path | str | None = None,
    ) -> Self:
        """Read ``config.json`` and ``pytorch_model.safetensors`` as ``showlab/show-o`` has them.

        ``tokenizer`` is the directory of ``microsoft/phi-1_5``'s tokenizer files: where None, ``directory`` itself, a
        folder ``phi-1_5`` in it, or one next to it. Raises ``ValueError`` (one line, names the file) for what is
        missing or does not fit.
        """
        directory = Path(directory)
        config = read_config(directory / "config.json")
        encode = read_encoder(_text_folder(directory) if tokenizer is None else Path(tokenizer), config)
        path = directory / WEIGHTS
        if not path.is_file() and path.with_suffix(".bin").is_file():
            said = "a pickle can run code when it is read"
            raise ValueError(f"{path.with_suffix('.bin')}: not read ({said}); give {WEIGHTS} in its place")
        with skeleton():
            model = ShowO(config)
        load_into(model, path, dtype)
        model.drop_projector()
        return cls(model.to(device, dtype), encode)

    def encode(self, sentence: str) -> list[int]:
        """Text ids of one sentence, of which the model can see the first 126: the others are cut off."""
        return self._encode(sentence)[: self.config.max_prompt]

    def stages(self) -> Mapping[str, ArmStage]:
        """The pass over a known segment and MaskGIT's step."""
        return {"arm_prefill": ArmStage(), "arm_draw": ArmStage("the bit operations of Show-o's draws")}

    def with_stages(self, compile_stage: CompileStage, backends: Mapping[str, str]) -> Self:
        """The same model, whose stages run as ``compile_stage`` puts them."""
        other = copy(self)
        other._draws, other._feeds, other.draw_backend = {}, {}, backends["arm_draw"]
        other.wrap_draw = partial(compile_stage, stage="arm_draw")
        other.wrap_feed = partial(compile_stage, stage="arm_prefill")
        return other

    @property
    def blocks(self) -> nn.Module:
        """The transformer's layers, without embeddings and heads."""
        return self.model.get_submodule("showo.model.layers")

    @property
    def default_steps(self) -> int:
        """MaskGIT steps of a frame: 18 up to 256 codes, 50 above."""
        return next((steps for codes, steps in STEPS if self.config.num_vq_tokens <= codes), STEPS[-1][1])

    def draw_pass(self, steps: int, temperature: float, guidance_scale: float) -> MaskGitStep:
        """A step of ``steps`` with these settings; made once."""
        key = (steps, temperature, guidance_scale)
        if key not in self._draws:
            self._draws[key] = self.wrap_draw(MaskGitPass(self.model, *key))
        return self._draws[key]

    def feed(self, ids: Tensor, cache: KVCache | None, causal: bool) -> tuple[Tensor, Tensor]:
        """Keys and values [layers, R, H, T, head_dim] of a segment ``ids`` [R, T] after what the cache holds, which is
        not written, or after nothing."""
        if causal not in self._feeds:
            self._feeds[causal] = self.wrap_feed(FeedPass(self.model, causal))
        width, padding = ids.shape[1], -ids.shape[1] % WIDTH if causal else 0
        held = () if cache is None else (cache.keys, cache.values, cache.lengths)
        ids = F.pad(ids, (0, padding), value=self.config.marker("pad"))
        keys, values = self._feeds[causal](ids, *held)
        return keys[:, :, :, :width], values[:, :, :, :width]

    def null_prefix(self) -> tuple[Tensor, Tensor]:
        """Keys and values [layers, 1, H, 3, head_dim] of the empty prompt, computed once."""
        if self._null is None:
            ids = torch.tensor([caption_ids([], self.config)]).to(self.model.device)
            keys, values = self.feed(ids, None, causal=True)
            self._null = keys.clone(), values.clone()
        return self._null


def read_config(path: Path) -> ShowOConfig:
    """The published ``config.json``; ``ValueError`` names the file and the field that is missing or does not fit.

    The file says nothing of the transformer's sizes, which are Phi-1.5's. Our own smaller models have them under
    "transformer".
    """
    values = read_json(path)
    sizes = {**{name: values.get(name) for name in SIZES}, "w_clip_vit": values.get("w_clip_vit", False)}
    try:
        config = ShowOConfig.from_dict({**values.get("transformer", {}), **sizes})
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None
    _check_rest(path, values, config)
    return config


def _check_rest(path: Path, values: Mapping[str, Any], config: ShowOConfig) -> None:
    fixed = {
        "_class_name": "Showo",
        "llm_model_path": TEXT_MODEL,
        "num_new_special_tokens": NEW_TOKENS,
        "mask_token_id": config.mask,
        "vocab_size": config.vocab_size,
    }
    free = (*SIZES, "w_clip_vit", "load_from_showo", "_diffusers_version", "transformer")
    for name, value in values.items():
        if name in fixed and value != fixed[name]:
            raise ValueError(f"{path}: {name} is {value!r}, expected {fixed[name]!r}")
        if name not in fixed and name not in free:
            raise ValueError(f"{path}: unknown field {name!r}; the fields are {', '.join((*fixed, *free))}")


def _text_folder(directory: Path) -> Path:
    name = TEXT_MODEL.rpartition("/")[2]
    places = (directory, directory / name, directory.parent / name)
    known = ("tokenizer.json", "vocab.json")
    return next((place for place in places if any((place / file).is_file() for file in known)), directory)


def _as_it_is(run: nn.Module) -> Any:
    return run
