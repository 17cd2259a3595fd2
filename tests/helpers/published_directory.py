"""A small model as transformers saves it, its tokenizer, copies with other configs, and comparisons with ours."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

from acdc.engine.options import make_options
from acdc.engine.utils.rng import Purpose, make_keys

SENTENCES = ["A beagle sat in a garden.", "He ran."]


def byte_tokenizer(special: Iterable[str]) -> Tokenizer:
    """Bytes, a few merges, and the special tokens."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=280, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator(SENTENCES, trainer)
    made.add_special_tokens([AddedToken(name, normalized=False) for name in special])
    return made


def save(model: Any, tokenizer: Tokenizer, folder: Path) -> Path:
    """The directory of it."""
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def changed(folder: Path, tmp_path: Path, **changes: Any) -> Path:
    """A copy whose config has other values, by section."""
    made = tmp_path / "changed"
    shutil.copytree(folder, made)
    config = json.loads((folder / "config.json").read_text())
    for section, values in changes.items():
        config[section] = {**config[section], **values} if isinstance(values, dict) else values
    (made / "config.json").write_text(json.dumps(config))
    return made


@torch.no_grad()
def check_logits(peer: Any, logits_of: Callable[[Any], Tensor], ours: Callable[[torch.dtype], Tensor]) -> None:
    """Ours and those of the ``peer`` in float64 differ by at most 1e-5; ours in float32 by 1e-5 too, or by twice what
    the peer's own rounding in float32 is on this processor, where that is more."""
    expected = logits_of(peer)
    rounding = float((logits_of(deepcopy(peer).float()).double() - expected).abs().max())
    torch.testing.assert_close(ours(torch.float64), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours(torch.float32).double(), expected, rtol=0, atol=max(1e-5, 2 * rounding))


def greedy_codes(arm: Any, scale: float, decoding: str) -> Tensor:
    """Codes int64 [sentences, n] of the most likely pictures with guidance, drawn side by side."""
    options = make_options(arm_guidance_scale=scale, temperature=0, top_p=1.0, decoding=decoding)
    batch = arm.new_batch([arm.new_sequence([sentence]) for sentence in SENTENCES], options)
    batch.begin(SENTENCES)
    batch.start(make_keys([0, 1], 0, Purpose.TOKEN))
    assert batch.advance() == [True, True]
    return torch.stack([batch.pop(place) for place in range(2)])
