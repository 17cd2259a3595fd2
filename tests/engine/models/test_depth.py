"""Depth of drafts by a local model of transformers', a small DPT with random weights."""

import numpy as np
import pytest
import torch

from acdc.engine.constraints import Constraints
from acdc.engine.engine import Engine
from acdc.engine.models.depth import DepthModel
from acdc.engine.sdedit.pixels import from_array
from tests.helpers.tiny import tiny_controlnet

SENTENCES = ["Benny the beagle sat in a garden."]
WHOLE = {"num_inference_steps": 4}


@pytest.fixture(scope="module")
def depth_path(tmp_path_factory):
    """A small DPT with random weights, as transformers writes it."""
    from transformers import DPTConfig, DPTForDepthEstimation
    from transformers.models.dpt.image_processing_pil_dpt import DPTImageProcessorPil

    path = tmp_path_factory.mktemp("dpt")
    torch.manual_seed(0)
    config = DPTConfig(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8,
        backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8, 8, 8, 8], fusion_hidden_size=8, is_hybrid=False,
    )  # fmt: skip
    DPTForDepthEstimation(config).save_pretrained(path)
    DPTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(path)
    return path


@pytest.mark.long
def test_a_local_depth_model_steers_frames_without_a_map(tiny_path, tmp_path, depth_path):
    engine = Engine.from_pretrained(tiny_path, controlnet=tiny_controlnet(tmp_path), depth_model=depth_path)
    model = engine.models.corrector.depth_model
    pixels = torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(0)) * 2 - 1
    depth = model(pixels)
    assert depth.shape == (2, 3, 16, 24)
    assert depth.amin((1, 2, 3)).tolist() == [0, 0]
    assert torch.allclose(depth.amax((1, 2, 3)), torch.ones(2))
    assert torch.equal(depth[:, 0], depth[:, 2])
    torch.testing.assert_close(model(pixels[1:]), depth[1:], rtol=0, atol=1e-5)
    frame = engine.generate(SENTENCES, seed=5, **WHOLE).frames[0]
    drawn = model(from_array(frame.draft[None]))[0].mul(255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    given = engine.generate(SENTENCES, seed=5, constraints=Constraints(depth=drawn), **WHOLE).frames[0]
    assert np.abs(frame.image.astype(int) - given.image).max() <= 2, "up to the map's 256 levels"


def test_a_folder_that_holds_no_depth_model(tmp_path):
    with pytest.raises(ValueError, match=r"has no config\.json; give a transformers directory"):
        DepthModel.from_directory(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"cannot be loaded: [^\n]*$"):
        DepthModel.from_directory(tmp_path)
