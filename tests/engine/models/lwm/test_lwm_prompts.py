"""LWM's prompts: the published ids, a SentencePiece model's own spelling of them, and what a session feeds."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
import sentencepiece
import torch
from hypothesis import given
from hypothesis import strategies as st

from acdc.engine.loading.families import ComponentSpec
from acdc.engine.loading.lwm_directory import is_lwm_directory, load_lwm
from acdc.engine.models.causal.session import ArmSession
from acdc.engine.models.causal.stream import StreamConfig
from acdc.engine.models.lwm.family import Arm
from acdc.engine.models.lwm.model import LWM, LWMConfig
from acdc.engine.models.lwm.published import STREAM
from acdc.engine.models.lwm.text import IMAGE_PROMPT, VIDEO_PROMPT, VISION, Encode, load_sentencepiece, with_prompts
from acdc.engine.models.lwm.video_session import for_video
from acdc.engine.sampling import SamplingParams
from acdc.engine.utils.weights import skeleton
from tests.helpers.lwm_files import params_shapes, random_tensors, write_params
from tests.helpers.lwm_restated import transformer
from tests.helpers.small_arm import keys

CAPTION, CAPTION_IDS = "Fireworks over the city", [6438, 13129, 975, 278, 4272]
# LLaMA's ids of the prompts around that caption, by its published tokenizer.
IMAGE_IDS = [
    1, 887, 526, 263, 8444, 20255, 29889, 3148, 1001, 29901, 3251, 403, 385, 1967, 310, 6438, 13129, 975, 278, 4272,
    319, 1799, 9047, 13566, 29901, 529, 4924, 29958,
]  # fmt: skip
VIDEO_IDS = [*IMAGE_IDS[:12], 263, 4863, *IMAGE_IDS[14:]]
NULL_IDS = [1, 529, 4924, 29958]
TEXTS = ["You are a helpful assistant.", "USER: Generate an image of a dog.", "a video of two cats in the city",
         "ASSISTANT: <vision> over the hill", "Benny the beagle sat in a garden, and he jumped!"]  # fmt: skip


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model of LLaMA's kind: BPE, bytes for what is unknown, no normalisation."""
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 3), model_writer=written, vocab_size=380, model_type="bpe", byte_fallback=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False, character_coverage=1.0, minloglevel=2,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("text") / "tokenizer.model"
    path.write_bytes(written.getvalue())
    return path


@pytest.fixture(scope="module")
def encode(model_file: Path) -> Encode:
    return load_sentencepiece(model_file, 380)[1]


def published_arm() -> Arm:
    """LWM's stream around a small model; the caption's ids replace the tokenizer, which is not at hand."""
    with skeleton():
        model = LWM(LWMConfig(1, 8, 8, 2, 32000, 8448, max_position=1024))
    return Arm(model.to_empty(device="cpu"), lambda text: CAPTION_IDS if text == CAPTION else [7] * len(text), STREAM)


@pytest.mark.parametrize(("video", "ids"), [(False, IMAGE_IDS), (True, VIDEO_IDS)])
def test_the_templates_give_the_published_ids(video: bool, ids: list[int]) -> None:
    """With the caption's ids as LLaMA has them; that a tokenizer gives those is the next tests' part."""
    arm = for_video(published_arm()) if video else published_arm()
    session = ArmSession(arm, 1, 1, guided=True)
    session.begin([CAPTION])
    expected, null = session.chunks[0].ids, session.chunks[0].counts[1]
    assert [*STREAM.bos, *expected[0].tolist()] == ids
    assert [*STREAM.bos, *expected[1, :null].tolist()] == NULL_IDS
    assert session.cache.owned == [28, 4]


def test_each_sentence_of_a_story_has_its_own_prompt_and_bos_comes_once() -> None:
    session = ArmSession(published_arm(), 1, 2)
    for _ in range(2):
        session.begin([CAPTION])
        session.extend(torch.zeros(1, 256, dtype=torch.int64))
    texts = [chunk.ids[0].tolist() for chunk in session.chunks if chunk.kind == "text"]
    assert texts == [IMAGE_IDS[1:], IMAGE_IDS[1:]]
    assert session.cache.owned == [1 + 2 * (27 + 257)]


def test_a_prompt_of_128_ids_fits_and_a_longer_one_is_refused_not_cut() -> None:
    arm = published_arm()
    ids = arm.encode("x" * 105)
    assert len([*STREAM.bos, *ids, *STREAM.vision]) == 128
    with pytest.raises(ValueError, match=r"sentence 'x+\.\.\.' has 106 tokens; the limit \(max_text_tokens\) is 105"):
        arm.encode("x" * 106)


def test_a_session_has_room_for_the_longest_prompts() -> None:
    session = ArmSession(published_arm(), 1, 2)
    session.begin(["x" * 105])
    assert session.text_tokens == 105 + 14 + 5
    assert session.cache.capacity >= 1 + 2 * (124 + 3 + 257)


def test_a_stream_without_prompts_is_as_ever() -> None:
    bare = StreamConfig(6, 10, 10, (1,), (2,), 8)
    assert (bare.prefix, bare.suffix, bare.prompt_tokens) == ((), (), 8)
    assert Arm(published_arm().model, lambda text: [3, 4], bare).encode("a") == [3, 4]
    assert StreamConfig(6, 10, 10, [1], [2], 8, prefix=[5]).prefix == (5,)  # type: ignore[arg-type]


@given(st.text(max_size=30))
def test_a_prompt_is_its_parts_one_after_another(encode: Encode, caption: str) -> None:
    """Whatever the user writes, spaces at the ends apart: the session never has to encode a whole prompt."""
    bare = caption.strip().strip("\u2581 ")
    before, after = IMAGE_PROMPT
    text = f"{before} {bare} {after} {VISION}" if bare else f"{before} {after} {VISION}"
    assert encode(text) == [*encode(before), *encode(caption), *encode(after), *encode(VISION)]


def test_text_never_spells_bos(encode: Encode, model_file: Path) -> None:
    bos = load_sentencepiece(model_file, 380)[0]
    assert bos == 1
    assert bos not in encode("<s> <s>one</s> <unk>")


def test_a_tokenizer_spells_the_stream(model_file: Path) -> None:
    bos, encode = load_sentencepiece(model_file, 380)
    spelled = with_prompts(STREAM, bos, encode)
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(model_file))
    assert pieces.decode(list(spelled.prefix)) == IMAGE_PROMPT[0]
    assert pieces.decode(list(spelled.video_prefix)) == VIDEO_PROMPT[0]
    assert pieces.decode(list(spelled.suffix)) == "ASSISTANT:"
    assert pieces.decode(list(spelled.vision)) == "<vision>"
    assert pieces.id_to_piece(spelled.vision[0]).startswith("\u2581")  # the space before a text of its own


SIZES = LWMConfig(layers=2, hidden=16, ffn=24, heads=2, text_vocab=380, vision_vocab=14, max_position=400)
TREE = random_tensors(params_shapes(2, 16, 24, 380, 14), torch.float32)


@pytest.fixture
def directory(tmp_path: Path, model_file: Path) -> Path:
    write_params(tmp_path / "params", TREE)
    (tmp_path / "tokenizer.model").write_bytes(model_file.read_bytes())
    return tmp_path


@pytest.fixture(scope="module")
def small(model_file: Path) -> StreamConfig:
    layout = replace(STREAM, codes_per_frame=6, codebook_size=10, eof=10, max_text_tokens=60)
    return with_prompts(layout, *load_sentencepiece(model_file, 380))


def test_a_published_directory_draws(directory: Path, small: StreamConfig, encode: Encode) -> None:
    """From files to the logits of the first code, against the tree read by hand."""
    arm = load_lwm(directory, sizes=SIZES, stream=small)
    session = ArmSession(arm, 1, 1, guided=True)
    session.begin(["a dog in the city"])
    whole = encode(f"{IMAGE_PROMPT[0]} a dog in the city {IMAGE_PROMPT[1]} {VISION}")
    for row, ids in enumerate(([1, *whole], [1, *encode(VISION)])):
        hidden = transformer(TREE, ids, [False] * len(ids), heads=2, theta=5e7, eps=1e-6)
        wanted = hidden[-1] @ TREE["vision_head/kernel"]
        assert session.last_logits is not None
        torch.testing.assert_close(session.last_logits[row], wanted, rtol=0, atol=1e-5)
    codes = session.generate(SamplingParams(guidance_scale=5.0, top_k=4), keys(0, (5,)))
    assert codes.shape == (1, 6)
    assert codes.max() < 10


def test_half_weights_keep_rotary_tables_in_float32(directory: Path, small: StreamConfig) -> None:
    model = load_lwm(directory, dtype=torch.bfloat16, sizes=SIZES, stream=small).model
    assert model.wte.weight.dtype == torch.bfloat16
    assert model.rope.cos.dtype == torch.float32


def test_a_directory_is_known_by_its_params(directory: Path, small: StreamConfig) -> None:
    assert is_lwm_directory(directory)
    load_lwm(directory, sizes=SIZES, stream=small)
    (directory / "params").unlink()
    assert is_lwm_directory(directory)
    load_lwm(directory, sizes=SIZES, stream=small)
    assert not is_lwm_directory(directory / "converted")


def test_a_bundle_takes_a_published_directory(directory: Path) -> None:
    """At the published sizes, which these are not; whatever else lies there."""
    published = ComponentSpec("lwm", {"path": directory})
    (directory / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"tokenizer\.model: 380 pieces, bos 1; expected 32000 and a bos"):
        published.load(torch.device("cpu"), torch.float32)
    (directory / "params").unlink()
    (directory / "config.json").unlink()
    with pytest.raises(ValueError, match=r"config\.json: no such file"):
        published.load(torch.device("cpu"), torch.float32)


def test_another_tokenizer_is_refused(directory: Path, small: StreamConfig) -> None:
    with pytest.raises(ValueError, match=r"tokenizer\.model: vision is spelled \[.*\], expected \[9, 9\]: not LLaMA's"):
        load_lwm(directory, sizes=SIZES, stream=replace(small, vision=(9, 9)))


@pytest.mark.parametrize(("content", "message"), [(None, "no such file"), (b"", "not a"), (b"noise", "not a")])
def test_a_broken_tokenizer_file(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "tokenizer.model"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"tokenizer\.model: {message}") as caught:
        load_sentencepiece(path, 380)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("library", ["sentencepiece", "msgpack"])
def test_a_missing_library_is_named(
    directory: Path, small: StreamConfig, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, library, None)
    with pytest.raises(ValueError, match=rf"the package {library}: pip install 'acdc-engine\[lwm\]'"):
        load_lwm(directory, sizes=SIZES, stream=small)
