"""Our LWM against the published JAX modules (commit f45d2b7) on made-up weights, 3 layers of 128."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from acdc.engine.loading.lwm_params import converted_params
from acdc.engine.loading.shards import load_shards
from acdc.engine.models.causal.session import ArmSession
from acdc.engine.models.causal.stream import StreamConfig
from acdc.engine.models.lwm.family import Arm
from acdc.engine.models.lwm.model import LWM, LWMConfig
from acdc.engine.models.lwm.published import STREAM as PUBLISHED
from acdc.engine.models.lwm.published import VideoPolicies
from acdc.engine.models.lwm.video_session import LwmVideo
from acdc.engine.sampling import SamplingParams, choose, guide
from acdc.engine.utils.rng import Purpose, make_keys
from acdc.engine.utils.weights import skeleton
from tests.helpers.lwm_files import params_shapes, write_params
from tests.helpers.lwm_restated import transformer
from tests.helpers.margin import step

CONFIG = LWMConfig(3, 128, 344, 4, 32000, 8448, norm_eps=1e-6, rope_theta=5e7, max_position=1024)
STREAM = StreamConfig(256, 8192, 8192, bos=(1,), vision=(529, 4924, 29958), max_text_tokens=32, context="full")
DECODER = "transformer/h/scan_decoder"
TOLERANCE = 1.3e-5  # four times what an independent restatement reached on a CPU
Fill = Callable[[str, tuple[int, ...]], Tensor]


@pytest.fixture(scope="module")
def model(fill: Fill) -> LWM:
    d, f, n = CONFIG.hidden, CONFIG.ffn, CONFIG.layers
    state = {
        "wte.weight": fill("transformer/wte/embedding", (CONFIG.text_vocab, d)),
        "vte.weight": fill("transformer/vte/embedding", (CONFIG.vision_vocab, d)),
        "ln_f.weight": fill("transformer/ln_f/kernel", (d,)),
        "lm_head.weight": fill("lm_head/kernel", (d, CONFIG.text_vocab)).T,
        "vision_head.weight": fill("vision_head/kernel", (d, CONFIG.vision_vocab)).T,
    }
    stacked = {
        **{f"attention.{w}": fill(f"{DECODER}/attention/{w}/kernel", (n, d, d)) for w in ("wq", "wk", "wv", "wo")},
        **{f"feed_forward.{w}": fill(f"{DECODER}/feed_forward/{w}/kernel", (n, d, f)) for w in ("w1", "w3")},
        "feed_forward.w2": fill(f"{DECODER}/feed_forward/w2/kernel", (n, f, d)),
        **{norm: fill(f"{DECODER}/{norm}/kernel", (n, d)) for norm in ("attention_norm", "ffn_norm")},
    }
    for name, value in stacked.items():
        for layer in range(n):
            state[f"blocks.{layer}.{name}.weight"] = value[layer].T if value.dim() == 3 else value[layer]
    model = LWM(CONFIG)
    model.load_state_dict(state)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def golden(vectors: Callable[[str], dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: v.long() if v.dtype == torch.int32 else v for name, v in vectors("lwm_small").items()}


def arm_for(model: LWM, golden: dict[str, Tensor]) -> Arm:
    sentence = golden["ids_cond"][:28].tolist()[1:-3]
    return Arm(model, lambda text: sentence if text else [], STREAM)


def session_for(model: LWM, golden: dict[str, Tensor], guided: bool) -> ArmSession:
    session = ArmSession(arm_for(model, golden), stories=1, frames=2, guided=guided)
    session.begin(["the golden prompt"])
    return session


KEYS = make_keys([0], 0, Purpose.TOKEN)


@pytest.mark.parametrize(
    ("key", "shape", "first", "mean"),
    [
        (f"{DECODER}/ffn_norm/kernel", (3, 128), [1.0448651313781738, 0.947186291217804], 0.9955812874250114),
        (f"{DECODER}/attention/wv/kernel", (3, 128, 128), [-0.1362764537334442, -0.08932109922170639], 0.0705151228),
        ("lm_head/kernel", (128, 32000), [0.06704740971326828, 0.2354164719581604], 0.07053091040138071),
        ("vision_head/kernel", (128, 8448), [0.14018574357032776, -0.08141680806875229], 0.07055025853681252),
    ],
)
def test_the_random_stream_is_the_one_of_the_vectors(
    fill: Fill, key: str, shape: tuple[int, ...], first: list[float], mean: float
) -> None:
    probe = fill(key, shape)
    torch.testing.assert_close(probe.flatten()[:2], torch.tensor(first), rtol=0, atol=0)
    assert float(probe.double().abs().mean()) == pytest.approx(mean, abs=1e-8)


def test_a_file_of_the_published_format_gives_these_weights(fill: Fill, model: LWM, tmp_path: Path) -> None:
    shapes = params_shapes(CONFIG.layers, CONFIG.hidden, CONFIG.ffn, CONFIG.text_vocab, CONFIG.vision_vocab)
    write_params(tmp_path / "params", {key: fill(key, shape) for key, shape in shapes.items()}, chunk_bytes=1 << 20)
    with skeleton():
        loaded = LWM(CONFIG)
    load_shards(loaded, converted_params(tmp_path / "params", CONFIG), "cpu", torch.float32)
    wanted = model.state_dict()
    assert loaded.state_dict().keys() == wanted.keys()
    assert all(torch.equal(value, wanted[name]) for name, value in loaded.state_dict().items())


@pytest.mark.parametrize(("branch", "texts"), [("cond", 28), ("uncond", 4)])
def test_the_restatement_that_other_tests_rely_on(
    fill: Fill, golden: dict[str, Tensor], branch: str, texts: int
) -> None:
    shapes = params_shapes(CONFIG.layers, CONFIG.hidden, CONFIG.ffn, CONFIG.text_vocab, CONFIG.vision_vocab)
    tree = {key: fill(key, shape) for key, shape in shapes.items()}
    ids = golden[f"ids_{branch}"].tolist()
    hidden = transformer(tree, ids, [at >= texts for at in range(len(ids))], heads=4, theta=5e7, eps=1e-6)
    seen = hidden[[texts - 1, *(texts + p for p in (0, 1, 255, 256, 257, 296))]] @ tree["vision_head/kernel"]
    torch.testing.assert_close(seen, golden[f"vision_logits_{branch}"], rtol=0, atol=TOLERANCE)


def test_the_prompts_are_the_published_ids(golden: dict[str, Tensor]) -> None:
    cond, caption = golden["ids_cond"][:28].tolist(), golden["ids_cond"][15:20].tolist()
    assert cond == [*PUBLISHED.bos, *PUBLISHED.prefix, *caption, *PUBLISHED.suffix, *PUBLISHED.vision]
    assert golden["ids_uncond"][:4].tolist() == [*PUBLISHED.bos, *PUBLISHED.vision]


def test_guided_logits(model: LWM, golden: dict[str, Tensor]) -> None:
    """Those that chose ids 0 and 11 of the first frame; guidance multiplies what rounding there is by 2 s - 1 = 9."""
    drawn, rows = golden["greedy_first_frame"][:11], []
    for branch, texts in (("cond", 28), ("uncond", 4)):
        ids = torch.cat((golden[f"ids_{branch}"][:texts], drawn))[None]
        hidden = model(ids, torch.arange(ids.shape[1])[None] >= texts)[0]
        rows.append(model.vision_logits(hidden[[texts - 1, texts + 10]]))
    got = guide(rows[0], rows[1], 5.0)
    torch.testing.assert_close(got, golden["guided_logits_steps_0_11"], rtol=0, atol=9 * TOLERANCE)


@pytest.mark.parametrize(("branch", "texts"), [("cond", 28), ("uncond", 4)])
def test_logits_of_both_heads(model: LWM, golden: dict[str, Tensor], branch: str, texts: int) -> None:
    ids = golden[f"ids_{branch}"][None]
    hidden = model(ids, torch.arange(ids.shape[1])[None] >= texts)[0]
    seen = hidden[[texts - 1, *(texts + p for p in (0, 1, 255, 256, 257, 296))]]
    torch.testing.assert_close(model.vision_logits(seen), golden[f"vision_logits_{branch}"], rtol=0, atol=TOLERANCE)
    text = model.text_logits(hidden[[0, texts - 1]])[:, ::32]
    torch.testing.assert_close(text, golden[f"text_logits_{branch}_columns"], rtol=0, atol=TOLERANCE)


def test_greedy_guided_frame_and_the_codes_after_it(model: LWM, golden: dict[str, Tensor]) -> None:
    session = session_for(model, golden, guided=True)
    params = SamplingParams(guidance_scale=5.0, temperature=0)
    wanted = golden["codes_only_first_frame"]
    assert torch.equal(session.generate(params, KEYS)[0], wanted[:256])
    session.begin(None)  # the next frame of a video follows without text
    assert torch.equal(session.generate(params, KEYS)[0, :3], wanted[257:260])


@pytest.mark.long
def test_greedy_over_all_ids_as_published(model: LWM, golden: dict[str, Tensor]) -> None:
    """The published loop does not restrict the ids of a code, and overwrites every 257th with 8192."""
    session = session_for(model, golden, guided=True)
    params, forced = SamplingParams(guidance_scale=5.0, temperature=0), torch.full((1,), 8192)
    logits, ids = session.last_logits, []
    assert logits is not None
    for slot in range(260):
        ids.append(choose(logits[:1], logits[1:], None, params, forced if slot == 256 else None))
        logits = step(session, ids[-1])
    assert torch.equal(torch.cat(ids), golden["greedy_first_frame"])


@pytest.mark.long
@pytest.mark.parametrize("guidance_scale", [5.0, 1.0])
def test_greedy_continuation_of_a_given_frame(model: LWM, golden: dict[str, Tensor], guidance_scale: float) -> None:
    session = session_for(model, golden, guided=guidance_scale != 1)
    session.extend(golden["ids_cond"][None, 28 : 28 + 256])
    session.begin(None)
    wanted = golden[f"codes_only_next_cfg{guidance_scale:.0f}"]
    drawn = session.generate(SamplingParams(guidance_scale=guidance_scale, temperature=0), KEYS)
    assert torch.equal(drawn[0, :12], wanted)


@pytest.mark.long
def test_the_video_procedure_starts_as_published(model: LWM, golden: dict[str, Tensor]) -> None:
    """Both steps, greedy: the frame, then its continuation where the second prompt has the words of the first."""
    caption = golden["ids_cond"][15:20].tolist()
    stream = replace(PUBLISHED, max_text_tokens=8, video_prefix=PUBLISHED.prefix)
    policies = VideoPolicies(SamplingParams(guidance_scale=5.0, temperature=0), SamplingParams(temperature=0))
    video = LwmVideo(Arm(model, lambda text: caption, stream), 1, 2, policies)
    video.begin(["the golden caption"])
    assert torch.equal(video.generate(KEYS)[0], golden["codes_only_first_frame"][:256])
    video.replace(0, golden["ids_cond"][None, None, 28 : 28 + 256])
    video.begin(None)
    assert torch.equal(video.generate(KEYS)[0, :12], golden["codes_only_next_cfg1"])
