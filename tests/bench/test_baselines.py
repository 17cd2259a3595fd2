"""The baseline does the engine's work with the engine's weights."""

import pytest
import torch

from acdc.bench.baselines import Baseline, llama_of
from acdc.engine.engine import Engine
from acdc.engine.models.lwm.model import LWM, LWMConfig

pytestmark = pytest.mark.measuring


@torch.no_grad()
def test_transformers_llama_gives_the_same_hidden_states():
    torch.manual_seed(0)
    model = LWM(LWMConfig(2, 64, 96, 2, text_vocab=20, vision_vocab=12, rope_theta=1e4, max_position=64)).eval()
    text, vision = torch.tensor([[3, 7, 1]]), torch.tensor([[0, 5, 11, 2]])
    ids, kinds = torch.cat((text, vision), 1), torch.arange(7)[None] >= 3
    theirs = llama_of(model)(input_ids=torch.cat((text, vision + 20), 1)).last_hidden_state
    torch.testing.assert_close(model(ids, kinds), theirs, atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_it_draws_codes_as_the_engine_does():
    """The codes are those that our logits give to the same generator: cache, offset and head are right."""
    baseline = Baseline(Engine.from_pretrained("storyworld"))
    arm = baseline.arm
    prompt = [*arm.stream.bos, *arm.encode("Benny the beagle sat in a garden."), *arm.stream.vision]
    codes = baseline.draw(prompt, torch.Generator().manual_seed(0))
    ids = torch.tensor([[*prompt, *codes[0].tolist()]])
    kinds = torch.arange(ids.shape[1])[None] >= len(prompt)
    logits = arm.model.vision_logits(arm.model(ids, kinds))[0, len(prompt) - 1 : -1, : arm.stream.codebook_size]
    generator = torch.Generator().manual_seed(0)
    again = torch.cat([torch.multinomial(row.softmax(-1), 1, generator=generator) for row in logits])
    assert (again == codes[0]).float().mean() > 0.95  # a draw at the edge of a bin may fall to either side


def test_a_story_has_a_corrected_picture_for_each_sentence():
    pictures = Baseline(Engine.from_pretrained("storyworld")).generate(["Benny the beagle sat in a garden.", "He ran."])
    assert pictures.shape == (2, 3, 64, 64)
    assert 0 <= pictures.min() < 0.3
    assert 0.7 < pictures.max() <= 1
