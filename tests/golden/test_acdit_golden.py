"""Our ACDiT against the published modules (thunlp/ACDiT, commit 135ff064) on made-up weights.

The weights are read from a file as the authors' training writes it. Bounds are four times what an independent
restatement reached on a CPU.
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from acdc.engine.loading.acdit import load_acdit
from acdc.engine.models.acdit.context import CleanContext
from acdc.engine.models.acdit.network import ACDiT
from acdc.engine.models.acdit.sampler import BlockSampler
from tests.golden.conftest import normals

NOISE, KEYS = 4 * 3.9e-6, 4 * 2.0e-6
Fill = Callable[[str, tuple[int, ...]], Tensor]
ARGUMENTS = Namespace(
    model="ACDiT-S", vae_latent_size=4, patch_size=2, block_size=1024, ar_len=4, num_frames=16, image_size=256,
    vae_patch_pixels=8, nd_split=None,
)  # fmt: skip


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    return json.loads((Path(__file__).parent / "acdit_small_video.json").read_text())


@pytest.fixture(scope="module")
def model(written: dict[str, Any], fill: Fill, tmp_path_factory: pytest.TempPathFactory) -> ACDiT:
    path = tmp_path_factory.mktemp("acdit") / "ACDiT-S-vid.pt"
    weights = {name: fill(name, tuple(found["shape"])) for name, found in written["keys"].items()}
    torch.save({"model": weights, "args": ARGUMENTS}, path)
    return load_acdit(path, torch.device("cpu"), torch.float32)


def near(found: Tensor, wanted: Tensor, bound: float) -> None:
    torch.testing.assert_close(found, wanted, rtol=0, atol=bound)


def test_weights_are_rebuilt_and_names_and_shapes_are_the_references(
    written: dict[str, Any], fill: Fill, model: ACDiT
) -> None:
    keys = {name: tuple(found["shape"]) for name, found in written["keys"].items()}
    for name, probe in written["weight_probe"].items():
        near(fill(name, keys[name]).flatten()[: len(probe["first"])], torch.tensor(probe["first"]), 0)
    assert {name: tuple(value.shape) for name, value in model.state_dict().items()} == keys


@torch.inference_mode()
def test_noise_of_every_block_and_keys_of_the_finished_ones(
    written: dict[str, Any], model: ACDiT, vectors: Callable[[str], dict[str, Tensor]]
) -> None:
    golden, shape = vectors("acdit_small_video"), (1, 4, 1024, 16)
    clean, noisy = normals("input/clean", shape)[0], normals("input/noisy", shape)[0]
    sampler = BlockSampler(model, 25, 1.0)
    state = sampler.new_state(written["inputs"]["label"], 0)
    for number, timestep in enumerate(written["inputs"]["timesteps_per_block"]):
        sampler.prefill([state])
        modulations = tuple(part[0] for part in sampler.modulations([timestep], [state]))
        found = sampler.predict([state], noisy[number][None], modulations, CleanContext([state.cache]))[0]
        near(found[::8], golden["eps_every_8th_token"][number], NOISE)
        state.blocks.append(clean[number])
    near(state.cache.keys[-1, 0, :, ::64], golden["cached_key_last_layer"], KEYS)
