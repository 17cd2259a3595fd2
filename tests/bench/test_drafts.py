"""Drafts for the diffusion model's training: the ARM's own faults, in the places of true frames."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tokenizers import Tokenizer

from acdc.bench.storyworld.train import arm
from acdc.bench.storyworld.train.arm import code_logits, hidden_states
from acdc.bench.storyworld.train.arm_data import CODE_LOSS, Layout, collate, read_stories, whole
from acdc.bench.storyworld.train.drafts import main, redraw
from acdc.engine.models.lwm.family import Arm
from tests.helpers.latent_drafts import check_drafts, part_flags

pytestmark = pytest.mark.training

SENTENCES = [["Benny the beagle sat.", "He ran to the gate."], ["A cat.", "It slept."], ["Luna ran.", "She sat by it."]]


def prepared(tiny_path, folder):
    """A data directory of three stories in the tiny bundle's codes."""
    layout = layout_of(tiny_path)
    shape = (len(SENTENCES), 2, layout.codes_per_frame)
    np.save(folder / "codes.npy", np.random.default_rng(0).integers(0, layout.codebook_size, shape).astype(np.int16))
    (folder / "texts.json").write_text(json.dumps({"sentences": SENTENCES}))
    return layout


def layout_of(tiny_path):
    stream = Arm.from_directory(tiny_path / "arm").stream
    return Layout(stream.codes_per_frame, stream.codebook_size)


def rows_of(tiny_path, folder, layout):
    stories = read_stories(folder, Tokenizer.from_file(str(tiny_path / "arm" / "tokenizer.json")))
    return [whole(stories.texts[0][i], stories.codes[0][i], layout) for i in range(len(stories))], stories.codes[0]


def draw(model, rows, layout, seed):
    return redraw(model, rows, layout, torch.Generator().manual_seed(seed), "cpu")


@torch.no_grad()
def test_a_share_of_the_codes_is_drawn_again(tiny_path, tmp_path):
    layout = prepared(tiny_path, tmp_path)
    model = Arm.from_directory(tiny_path / "arm").model
    rows, true = rows_of(tiny_path, tmp_path, layout)
    true = torch.from_numpy(true.astype(np.int64))
    first = draw(model, rows, layout, 1)
    assert torch.equal(first, draw(model, rows, layout, 1))
    assert first.shape == true.shape
    assert 0 <= int(first.min()) <= int(first.max()) < layout.codebook_size
    changed = torch.stack([(draw(model, rows, layout, seed) != true).float() for seed in range(60)])
    assert 0.35 < changed.mean() < 0.55, "half of them on average, of which some fall on the same code"
    by_frame = changed.mean(-1)
    assert by_frame.min() < 0.2 < 0.8 < by_frame.max(), "the share is each frame's own"


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_drawn_follows_the_arm(tiny_path, tmp_path, monkeypatch, dtype):
    """With its choice made certain, each redrawn code is the ARM's best one after the true codes before it."""
    monkeypatch.setattr(arm, "compute_dtype", lambda device: dtype)
    layout = prepared(tiny_path, tmp_path)
    model = Arm.from_directory(tiny_path / "arm").model
    model.vision_head.weight.mul_(1e6)
    rows, true = rows_of(tiny_path, tmp_path, layout)
    batch = collate(rows)
    hidden = hidden_states(model, batch.ids, batch.is_vision)
    assert hidden.dtype == dtype
    logits = code_logits(model, hidden[:, :-1][batch.loss[:, 1:] == CODE_LOSS], layout)
    best, true = logits.argmax(-1).view(true.shape), torch.from_numpy(true.astype(np.int64))
    drawn = draw(model, rows, layout, 3)
    assert ((drawn == best) | (drawn == true)).all()
    assert (drawn != true).any()


def test_latents_of_the_last_stories_are_written(tiny_path, tmp_path):
    prepared(tiny_path, tmp_path)
    result = CliRunner().invoke(main, ["--data", str(tmp_path), *part_flags(tiny_path), "--stories", "2"])
    assert result.exit_code == 0, result.output
    assert result.output.startswith("2 stories, ")
    check_drafts(tmp_path, 2, 2)
