"""An ARM's directory: what is written is what loads, and what is wrong is named."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models

from acdc.engine.models.lwm.family import Arm
from tests.helpers.small_arm import SIZES, STREAM, TIGHT, frame_of, from_scratch, make_arm


@pytest.fixture(scope="module")
def arm() -> Arm:
    return make_arm()


def write(directory: Path, arm: Arm) -> None:
    vocab = {"<unk>": 0, "<s>": 1, "<vision>": 2, "f": 3, "o": 4, "x": 5}
    tokenizer = Tokenizer(models.BPE(vocab, merges=[], unk_token="<unk>"))
    tokenizer.add_special_tokens(["<s>", "<vision>"])
    tokenizer.save(str(directory / "tokenizer.json"))
    save_file(arm.model.state_dict(), directory / "model.safetensors")
    config = {"format": 1, "family": "lwm", "transformer": SIZES.__dict__, "stream": STREAM.__dict__}
    (directory / "config.json").write_text(json.dumps(config))


def test_a_directory_gives_the_same_model(arm: Arm, tmp_path: Path) -> None:
    write(tmp_path, arm)
    loaded = Arm.from_directory(tmp_path, dtype=torch.float64)
    assert loaded.stream == STREAM
    frames = [frame_of(1)]
    assert loaded.encode("fox") == [3, 4, 5]
    assert 2 not in loaded.encode("<vision>")  # a marker in a user's text is only text
    torch.testing.assert_close(from_scratch(loaded, ["a"], frames, 0), from_scratch(arm, ["a"], frames, 0), **TIGHT)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format 2 is unknown; this version reads 1"),
        ({"family": "gpt"}, "unknown ARM family 'gpt'; choose from lwm"),
        ({"stream": {**STREAM.__dict__, "context": "endless"}}, "unknown context 'endless'; choose from window, full"),
        ({"stream": {**STREAM.__dict__, "codes_per_frame": 0}}, "codes_per_frame is 0, expected a positive integer"),
        ({"stream": {**STREAM.__dict__, "max_text_tokens": "8"}}, "max_text_tokens is '8', expected a positive"),
        ({"stream": {**STREAM.__dict__, "recent_frames": -1}}, "recent_frames is -1, expected a positive integer or"),
        ({"stream": {**STREAM.__dict__, "bos": [-1]}}, "bos has the id -1; text ids are 0 to"),
        ({"stream": {**STREAM.__dict__, "vision": [SIZES.text_vocab]}}, "vision has the id .*; text ids are 0 to"),
        ({"stream": {**STREAM.__dict__, "eof": SIZES.vision_vocab}}, "eof is the id .*; vision ids are 0 to"),
        ({"stream": {**STREAM.__dict__, "codebook_size": 10**6}}, "codebook_size 1000000 is more than the"),
        ({"stream": {**STREAM.__dict__, "windows": {"cpu": [1]}}}, r"config\.json: "),
        ({"stream": None}, r"config\.json: "),
        ({"transformer": {**SIZES.__dict__, "hidden": 64}}, "model.safetensors: key '.*' has shape"),
    ],
)
def test_a_wrong_directory_is_named(arm: Arm, tmp_path: Path, change: dict[str, object], message: str) -> None:
    write(tmp_path, arm)
    config = json.loads((tmp_path / "config.json").read_text()) | change
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=message):
        Arm.from_directory(tmp_path)
