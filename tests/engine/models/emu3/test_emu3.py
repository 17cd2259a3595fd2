"""Emu3 against transformers' own modules at a small random size: logits, greedy codes, pictures, names and prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from acdc.engine.cli.info import collect
from acdc.engine.loading.families import ComponentSpec, emu3, emu3_vq
from acdc.engine.models.emu3.family import Emu3Arm
from acdc.engine.models.emu3.model import Emu3, Emu3Config
from acdc.engine.models.emu3.text import BOS, IMAGE, NEGATIVE, START, STYLE
from acdc.engine.models.tokenizers.emu3_vq import Emu3VQ, Emu3VQConfig
from acdc.engine.utils.weights import skeleton
from tests.helpers import small_emu3
from tests.helpers.published_directory import SENTENCES, changed, check_logits, greedy_codes
from tests.helpers.small_emu3 import CODES, SIDE

CLOSE = {"rtol": 0, "atol": 1e-5}


@pytest.fixture(scope="module")
def peer() -> Any:
    pytest.importorskip("transformers")
    return small_emu3.peer()


@pytest.fixture(scope="module")
def folder(peer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_emu3.save(peer, tmp_path_factory.mktemp("emu3"))


def load(kind: str, folder: Path, dtype: torch.dtype = torch.float64, **config: Any) -> Any:
    return ComponentSpec(kind, {"path": folder}, config).load(torch.device("cpu"), dtype)


@pytest.fixture(scope="module")
def arm(folder: Path) -> Emu3Arm:
    found: Emu3Arm = load("emu3", folder, side=SIDE)
    return found


def prompt(arm: Emu3Arm, sentence: str | None) -> list[int]:
    text = arm.null_text([]) if sentence is None else arm.encode(sentence)
    return [*arm.stream.bos, *text, *arm.stream.vision]


@torch.no_grad()
def test_logits_are_those_of_transformers(peer: Any, folder: Path, arm: Emu3Arm) -> None:
    """Text, codes and ends of rows in one causal pass, of codes alone, in float64 and in float32."""
    codes = torch.randint(CODES, (1, SIDE**2), generator=torch.Generator().manual_seed(0))
    ids, first, eol = prompt(arm, SENTENCES[0]), arm.model.config.first_code, arm.model.config.eol
    rows = torch.cat((codes.view(SIDE, SIDE) + first, torch.full((SIDE, 1), eol)), 1).flatten()[:-1]
    slots = arm.stream.to_slots(codes)
    assert torch.equal(arm.stream.to_codes(slots), codes)
    assert slots.shape[1] == arm.stream.slots == SIDE**2 + SIDE - 1

    def theirs(peer: Any) -> Tensor:
        logits: Tensor = peer(torch.cat((torch.tensor(ids), rows))[None]).logits
        return logits[..., first : first + CODES]

    def ours(dtype: torch.dtype) -> Tensor:
        model, all_ids = load("emu3", folder, dtype, side=SIDE).model, torch.cat((torch.tensor([ids]), slots), 1)
        logits: Tensor = model.vision_logits(model(all_ids, torch.arange(all_ids.shape[1])[None] >= len(ids)))
        return logits

    check_logits(peer, theirs, ours)


@torch.no_grad()
def greedy(peer: Any, arm: Emu3Arm, sentence: str, scale: float) -> Tensor:
    """transformers' own generation as its documentation has it: a negative prompt, and only ids that a place allows."""
    ids, config = prompt(arm, sentence), arm.model.config
    visual = list(range(config.first_code, config.first_code + CODES))

    def allowed(_row: int, so_far: Tensor) -> list[int]:
        return [config.eol] if (len(so_far) - len(ids) + 1) % (SIDE + 1) == 0 else visual

    made = peer.generate(
        torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.int64), do_sample=False,
        max_new_tokens=SIDE * (SIDE + 1), prefix_allowed_tokens_fn=allowed, guidance_scale=scale,
        negative_prompt_ids=torch.tensor([prompt(arm, None)]),
    )  # fmt: skip
    return made[0, len(ids) :].view(SIDE, SIDE + 1)[:, :SIDE].flatten() - config.first_code


@pytest.mark.parametrize("decoding", ["sequential", "parallel"])
def test_greedy_codes_with_guidance_are_those_of_transformers(peer: Any, arm: Emu3Arm, decoding: Any) -> None:
    expected = torch.stack([greedy(peer, arm, sentence, 3.0) for sentence in SENTENCES])
    assert len(expected.unique()) > 4, "a draw of one code would say nothing"
    assert torch.equal(greedy_codes(arm, 3.0, decoding), expected)


@torch.no_grad()
def test_pictures_are_encoded_and_decoded_as_by_transformers(peer: Any, folder: Path) -> None:
    ours, theirs = load("emu3-vq", folder, resolution=8), peer.model.vqmodel
    pixels = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2 - 1
    features = theirs.encoder(pixels[:, None].repeat(1, 4, 1, 1, 1)).transpose(1, 2)
    torch.testing.assert_close(ours.latents(pixels), theirs.quant_conv(features)[:, :, 0], **CLOSE)
    codes = torch.stack(theirs.encode(pixels, torch.tensor([[8, 8]] * 2)).image_tokens)
    assert torch.equal(ours.encode(pixels), codes.flatten(1))
    assert len(codes.unique()) > 4
    codes = torch.randint(CODES, (2, SIDE, SIDE), generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(ours.decode(codes.flatten(1)), theirs.decode(codes).clamp(-1, 1), **CLOSE)


def test_published_sizes_have_the_tensors_of_transformers() -> None:
    """Names, shapes and numbers; of the head, the rows of the codes."""
    from transformers import Emu3Config as PeerConfig
    from transformers import Emu3ForConditionalGeneration

    with skeleton():
        theirs = Emu3ForConditionalGeneration(PeerConfig(vocabulary_map={})).state_dict()
        sizes = Emu3Config()
        model, coder = Emu3(sizes), Emu3VQ(Emu3VQConfig())
    values = PeerConfig(vocabulary_map={}).to_dict()
    found = emu3.read_config(values, "x")
    assert Emu3Config(**found) == sizes
    assert Emu3VQConfig.published(values, "x") == Emu3VQConfig()
    sources = emu3.sources(sizes)
    assert sources["vision_head.weight"].rows == (151854, 184622)
    keys = {source.key: model.state_dict()[name].shape for name, source in sources.items()}
    keys |= {emu3_vq.published_key(name): value.shape for name, value in coder.state_dict().items()}
    keys["lm_head.weight"] = torch.Size([184622, 4096])
    assert keys == {name: value.shape for name, value in theirs.items()}
    counts = [sum(p.numel() for p in one.parameters()) for one in (model, coder)]
    assert counts == [7_870_017_536, 270_740_287]


def test_prompts_are_those_of_the_published_script(folder: Path, arm: Emu3Arm) -> None:
    from tokenizers import Tokenizer

    whole = Tokenizer.from_file(str(folder / "tokenizer.json"))
    for sentence, said in ((SENTENCES[0], SENTENCES[0] + STYLE), (None, NEGATIVE)):
        text = f"{BOS}{said}{START}{SIDE}*{SIDE}{IMAGE}"
        assert prompt(arm, sentence) == whole.encode(text, add_special_tokens=False).ids
    assert arm.stream.vision[-1] not in arm.encode(f"A {IMAGE} sign.")


def test_rows_end_in_an_id_that_is_not_a_code(arm: Emu3Arm) -> None:
    stream = arm.stream
    assert stream.forced == ((4, CODES), (9, CODES), (14, CODES))
    assert [stream.slot(code) for code in (0, 3, 4, 15)] == [0, 3, 5, 18]
    codes = torch.arange(SIDE**2)
    assert stream.to_slots(codes).tolist() == [0, 1, 2, 3, 24, 4, 5, 6, 7, 24, 8, 9, 10, 11, 24, 12, 13, 14, 15]


@pytest.mark.parametrize(
    ("kind", "changes", "said"),
    [
        ("emu3", {"model_type": "llama"}, r"config\.json: model_type 'llama'; expected 'emu3'"),
        ("emu3", {"text_config": {"num_key_value_heads": 3}}, "heads 4 is not a multiple of kv_heads 3"),
        ("emu3", {"vq_config": {"codebook_size": 30}}, r"tokenizer\.json: <\|visual token 000029\|> is None"),
        ("emu3-vq", {"vq_config": {"num_attention_heads": 2}}, "num_attention_heads 2 of vq_config is not supported"),
        ("emu3-vq", {"vq_config": {"temporal_downsample_factor": 3}}, "factor 3 is not a power of 2"),
        ("emu3-vq", {"vq_config": {"num_res_blocks": 2}}, r"key 'model\.vqmodel\..*' is missing"),
    ],
)
def test_another_models_directory_is_named(
    folder: Path, tmp_path: Path, kind: str, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        load(kind, changed(folder, tmp_path, **changes))


def test_todays_names_and_those_of_the_first_uploads_are_read(folder: Path, arm: Emu3Arm, tmp_path: Path) -> None:
    """transformers saves the one and has the other in its modules."""
    made = changed(folder, tmp_path)
    state = load_file(made / "model.safetensors")
    todays = {emu3.todays_key(name): value for name, value in state.items()}
    assert todays.keys() != state.keys()
    save_file(todays, made / "model.safetensors")
    found = load("emu3", made, side=SIDE).model.state_dict()
    assert all(torch.equal(value, found[name]) for name, value in arm.model.state_dict().items())


def test_info_and_bundles_name_it() -> None:
    assert {"emu3+sd15", "emu3+sd-turbo"} <= set(collect()["per_sentence"])
