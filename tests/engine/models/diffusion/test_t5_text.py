"""T5's encoder and tokenizer are transformers' with the same weights and pieces."""

import pytest
import torch
import transformers

from acdc.engine.models.diffusion.deepfloyd.t5_text import T5Text, T5TextConfig, bucket, current_key
from acdc.engine.models.diffusion.deepfloyd.t5_tokenizer import LENGTH, T5Tokenizer
from tests.helpers.small_if import PROMPTS, TEXT, largest, pieces, their_text


def ours() -> T5Text:
    network = T5Text(T5TextConfig.from_dict(TEXT))
    state = {current_key(name): value for name, value in their_text().state_dict().items()}
    network.load_state_dict(state, strict=True)
    return network.eval()


@torch.no_grad()
def test_the_states_are_theirs_and_those_of_padding_too():
    ids = torch.randint(2, 300, (3, LENGTH), generator=torch.Generator().manual_seed(0))
    for row, length in enumerate((LENGTH, 9, 1)):
        ids[row, length - 1], ids[row, length:] = 1, 0
    wanted = their_text()(input_ids=ids, attention_mask=(ids != 0).long()).last_hidden_state
    assert largest(ours()(ids), wanted) <= 1e-5


def test_buckets_are_theirs():
    from transformers.models.t5.modeling_t5 import T5Attention

    offsets = torch.arange(-300, 301)
    wanted = T5Attention._relative_position_bucket(offsets, bidirectional=True, num_buckets=32, max_distance=128)
    assert torch.equal(bucket(offsets, 32, 128), wanted)
    assert bucket(torch.tensor([-5, 5, 40]), 32, 128).tolist() == [5, 21, 28]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "spiece.model").write_bytes(pieces())
    return tmp_path


def test_ids_are_theirs_in_lower_case(folder):
    theirs = transformers.T5Tokenizer.from_pretrained(str(folder), extra_ids=0)
    prompts = [*PROMPTS, "", "Ünknown 9 letters"]
    given = [prompt.lower().strip() for prompt in prompts]
    wanted = theirs(given, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt").input_ids
    ids, kept = T5Tokenizer.from_directory(folder).encode(prompts)
    assert ids.tolist() == wanted.tolist()
    assert kept == [None] * 4


def test_what_is_cut_is_said(folder):
    ids, (kept, whole) = T5Tokenizer.from_directory(folder).encode(["garden " * 100, "garden"])
    assert ids.shape == (2, LENGTH)
    assert ids[0, -1] == 1
    assert (ids[1] == 1).sum() == 1
    assert whole is None
    assert kept is not None
    assert set(kept.split()) == {"garden"}


def test_another_file_than_a_model_is_named(folder):
    (folder / "spiece.model").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"spiece.model: not a SentencePiece model"):
        T5Tokenizer.from_directory(folder)
    (folder / "spiece.model").unlink()
    with pytest.raises(ValueError, match=r"spiece.model: no such file"):
        T5Tokenizer.from_directory(folder)


def test_another_text_encoder_is_refused():
    with pytest.raises(ValueError, match="feed_forward_proj='relu' is not supported"):
        T5TextConfig.from_dict({**TEXT, "feed_forward_proj": "relu"})
