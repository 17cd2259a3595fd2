"""Janus-Pro against transformers' own modules at a small random size: logits, codes, pictures, names, prompts."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from acdc.engine.cli.info import collect
from acdc.engine.loading.families import ComponentSpec, janus, llamagen
from acdc.engine.models.janus.family import JanusArm
from acdc.engine.models.janus.model import Janus, JanusConfig
from acdc.engine.models.janus.text import ASSISTANT, BOS, IMAGE, PAD, USER
from acdc.engine.models.tokenizers.llamagen import LlamaGen, LlamaGenConfig
from acdc.engine.options import StoryOptions, make_options
from acdc.engine.utils.weights import skeleton
from tests.helpers import small_janus
from tests.helpers.published_directory import SENTENCES, changed, check_logits, greedy_codes
from tests.helpers.small_janus import SIDE

CLOSE = {"rtol": 0, "atol": 1e-5}


@pytest.fixture(scope="module")
def peer() -> Any:
    pytest.importorskip("transformers")
    return small_janus.peer()


@pytest.fixture(scope="module")
def folder(peer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_janus.save(peer, tmp_path_factory.mktemp("janus"))


def load(kind: str, folder: Path, dtype: torch.dtype = torch.float64, **config: Any) -> Any:
    return ComponentSpec(kind, {"path": folder}, config).load(torch.device("cpu"), dtype)


@pytest.fixture(scope="module")
def arm(folder: Path) -> JanusArm:
    found: JanusArm = load("janus", folder)
    return found


def prompts(arm: JanusArm) -> list[list[int]]:
    return [[*arm.stream.bos, *arm.encode(sentence), *arm.stream.vision] for sentence in SENTENCES]


@torch.no_grad()
def test_logits_are_those_of_transformers(peer: Any, folder: Path, arm: JanusArm) -> None:
    """Text and codes in one causal pass, without cache, in float64 and in float32."""
    codes = torch.randint(24, (1, SIDE**2), generator=torch.Generator().manual_seed(0))
    ids, _ = prompts(arm)

    def theirs(peer: Any) -> Tensor:
        text = peer.get_input_embeddings()(torch.tensor([ids]))
        embeds = torch.cat((text, peer.prepare_embeddings_for_image_generation(codes)), 1)
        logits: Tensor = peer.model.generation_head(peer.model.language_model(inputs_embeds=embeds).last_hidden_state)
        return logits

    def ours(dtype: torch.dtype) -> Tensor:
        model, all_ids = load("janus", folder, dtype).model, torch.cat((torch.tensor([ids]), codes), 1)
        logits: Tensor = model.vision_logits(model(all_ids, torch.arange(all_ids.shape[1])[None] >= len(ids)))
        return logits

    check_logits(peer, theirs, ours)


@torch.no_grad()
def greedy(peer: Any, arm: JanusArm, rows: list[list[int]], scale: float) -> Tensor:
    """transformers' own generation of pictures: prompts padded on the left."""
    from transformers import GenerationConfig

    longest = max(map(len, rows))
    ids = torch.tensor([[arm.pad] * (longest - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    config = GenerationConfig(
        do_sample=False, guidance_scale=scale, pad_token_id=arm.pad, bos_token_id=arm.stream.bos[0],
        generation_kwargs={"boi_token_id": arm.stream.vision[0]}, max_length=99,
    )  # fmt: skip
    found: Tensor = peer.generate(ids, attention_mask=mask, generation_mode="image", generation_config=config)
    return found


@pytest.mark.parametrize("decoding", ["sequential", "parallel"])
def test_greedy_codes_with_guidance_are_those_of_transformers(peer: Any, arm: JanusArm, decoding: Any) -> None:
    expected = greedy(peer, arm, prompts(arm), 5.0)
    assert len(expected.unique()) > 4, "a draw of one code would say nothing"
    assert torch.equal(greedy_codes(arm, 5.0, decoding), expected)


@torch.no_grad()
def test_pictures_are_encoded_and_decoded_as_by_transformers(peer: Any, folder: Path) -> None:
    ours, theirs = load("llamagen", folder), peer.model.vqmodel
    pixels = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2 - 1
    latents = theirs.quant_conv(theirs.encoder(pixels))
    torch.testing.assert_close(ours.latents(pixels), latents, **CLOSE)
    codes = theirs.encode(pixels).image_tokens.view(2, -1)
    assert torch.equal(ours.encode(pixels), codes)
    assert len(codes.unique()) > 4
    codes = torch.randint(24, (2, SIDE**2), generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(ours.decode(codes), theirs.decode(codes).clamp(-1, 1), **CLOSE)


def test_code_vectors_count_by_their_direction(folder: Path) -> None:
    """As LlamaGen was trained, whose stored vectors are of any length."""
    model = load("llamagen", folder)
    codes, pixels = torch.arange(SIDE**2)[None], torch.rand(1, 3, 8, 8, dtype=torch.float64)
    before = model.decode(codes), model.encode(pixels)
    model.codebook.weight.mul_(torch.linspace(0.5, 3, 24)[:, None])
    torch.testing.assert_close(model.decode(codes), before[0])
    assert torch.equal(model.encode(pixels), before[1])
    assert torch.equal(model.quantise(model.lookup(codes)), codes)


@pytest.mark.parametrize(("size", "counts"), [("1b", (1_485_053_952, 71_883_403)), ("7b", (6_591_791_104, 71_883_403))])
def test_published_sizes_have_the_tensors_of_transformers(size: str, counts: tuple[int, int]) -> None:
    """Names, shapes and numbers: what is not ours is what reads pictures and writes text."""
    from transformers import JanusConfig as PeerConfig
    from transformers import JanusForConditionalGeneration

    from acdc.engine.loading.bundle import find_bundle

    sizes = JanusConfig.from_dict(find_bundle(f"janus-pro-{size}+sd15", random_weights=True).parts["arm"].config)
    text = {
        "model_type": "llama", "hidden_size": sizes.hidden, "intermediate_size": sizes.ffn, "vocab_size": 102400,
        "num_hidden_layers": sizes.layers, "num_attention_heads": sizes.heads, "max_position_embeddings": 16384,
    }  # fmt: skip
    vq = {"projection_dim": sizes.hidden, "image_token_embed_dim": sizes.hidden}
    with skeleton():
        config = PeerConfig(text_config=text, vq_config=vq, vision_config={"projection_dim": sizes.hidden})
        theirs = {name: value.shape for name, value in JanusForConditionalGeneration(config).state_dict().items()}
        model, coder = Janus(sizes), LlamaGen(LlamaGenConfig())
    assert janus.read_config({**config.to_dict(), "model_type": "janus"}, "x") == sizes
    keys = {source.key: model.state_dict()[name].shape for name, source in janus.sources(sizes).items()}
    keys |= {llamagen.published_key(name): value.shape for name, value in coder.state_dict().items()}
    unused = set(janus.UNUSED) & set(llamagen.UNUSED)
    assert keys == {name: shape for name, shape in theirs.items() if not name.startswith(tuple(unused))}
    assert tuple(sum(p.numel() for p in one.parameters()) for one in (model, coder)) == counts


def test_prompts_are_those_of_the_template(folder: Path, arm: JanusArm) -> None:
    from tokenizers import Tokenizer

    whole = Tokenizer.from_file(str(folder / "tokenizer.json"))
    for sentence, ids in zip(SENTENCES, prompts(arm), strict=True):
        text = f"{BOS}{USER}: {sentence}\n\n{ASSISTANT}:{IMAGE}"
        assert ids == whole.encode(text, add_special_tokens=False).ids
    assert arm.encode(f" {SENTENCES[0]} ") == arm.encode(SENTENCES[0])
    marker = arm.stream.vision[0]
    assert marker not in arm.encode(f"A {IMAGE} sign.")
    assert arm.null_text(arm.encode("He ran.")) == [whole.token_to_id(PAD)] * len(arm.encode("He ran."))
    with pytest.raises(ValueError, match=r"has 6\d\d tokens; the limit \(max_text_tokens\) is 512"):
        arm.encode("x " * 300)


def test_options_of_other_families_are_refused(arm: JanusArm) -> None:
    for given, said in (
        ({"layout": "block-causal"}, "layout 'block-causal' is for Show-o"),
        ({"context": "full"}, "context 'full' would do nothing: this ARM draws frames from their sentences alone"),
        ({"arm_steps": 4}, "arm_steps 4 is for Show-o"),
    ):
        with pytest.raises(ValueError, match=said):
            arm.check(make_options(**given))
    arm.check(StoryOptions())
    with pytest.raises(ValueError, match="draws pictures and no videos"):
        arm.video_session(1, 2, StoryOptions())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "llama"}, r"config\.json: model_type 'llama'; expected 'janus'"),
        ({"text_config": {"hidden_act": "gelu"}}, r"config\.json: hidden_act 'gelu' is not supported"),
        ({"text_config": {"num_key_value_heads": 2}}, "num_key_value_heads 2 of 4 heads"),
        ({"text_config": {"rope_parameters": {"rope_type": "yarn"}}}, "rotary positions of type 'yarn'"),
        (
            {"text_config": {"num_hidden_layers": 3}},
            r"safetensors: key 'model\.language_model\.layers\.2\..*missing",
        ),
        ({"text_config": {"num_hidden_layers": 1}}, r"key 'model\.language_model\.layers\.1\..* is unexpected"),
        ({"text_config": {"intermediate_size": 50}}, r"has shape \[.*48.*\], expected \[.*50.*\]"),
        ({"text_config": {"vocab_size": 200}}, r"tokenizer\.json: .* expected an id below 200: not Janus-Pro's"),
    ],
)
def test_another_models_directory_is_named(folder: Path, tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        load("janus", changed(folder, tmp_path, **changes))


def test_a_directory_without_weights_or_of_another_size_is_named(folder: Path, tmp_path: Path) -> None:
    made = changed(folder, tmp_path)
    with pytest.raises(ValueError, match=r"config\.json: layers is 2; this bundle's is 30"):
        load("janus", made, layers=30)
    with pytest.raises(ValueError, match="config 'colour' of a part of kind janus"):
        load("janus", made, colour=1)
    (made / "model.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(ValueError, match="a pickle, which can run any program"):
        load("llamagen", made)
    (made / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"model\.safetensors: no such file, nor model\.safetensors\.index\.json"):
        load("janus", made)


def test_several_files_with_an_index_are_one(peer: Any, folder: Path, arm: JanusArm, tmp_path: Path) -> None:
    peer.save_pretrained(tmp_path, max_shard_size="100KB")
    shutil.copy(folder / "tokenizer.json", tmp_path)
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    state = load("janus", tmp_path).model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in arm.model.state_dict().items())


def test_info_says_that_frames_do_not_see_one_another() -> None:
    found = collect()
    assert {"janus-pro-1b+sd15", "janus-pro-7b+sd-turbo"} <= set(found["per_sentence"]) <= set(found["published"])
    assert not [name for name in found["per_sentence"] if name.startswith("lwm")]
