"""Our Unified-IO 2 against the published PyTorch modules (commit 6e487be) on made-up weights, 3 + 3 layers of 128, from
a written file of the published format to the sampler."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from acdc.engine.loading.unified_io2 import load_arm
from acdc.engine.models.unified_io2.family import UnifiedIO2Arm
from acdc.engine.models.unified_io2.runner import Read
from acdc.engine.models.unified_io2.session import Caches, UnifiedIO2Session
from acdc.engine.models.unified_io2.text import prompt_ids
from acdc.engine.options import make_options
from acdc.engine.sampling import SamplingParams, choose, guide
from acdc.engine.utils.rng import Purpose, make_keys
from tests.helpers.unified_io2 import SMALL, published_config, published_shapes, random_fill, write_model

META = json.loads((Path(__file__).parent / "uio2_small.json").read_text())
CHECK = {name: 4 * META["independent_check"][f"{name}_max_abs"] for name in ("encoder", "logits", "guided")}
CODES = slice(2, 16386)  # ids that are codes
GREEDY = make_options(temperature=0, arm_guidance_scale=11.0, top_p=1.0, top_k=0, context="full")


@pytest.fixture(scope="module")
def arm(fill: Callable[[str, tuple[int, ...]], Tensor], tmp_path_factory: pytest.TempPathFactory) -> UnifiedIO2Arm:
    """The golden weights under their published names, and small random ones of what they do not hold."""
    sizes = {"emb_dim": 128, "num_heads": 4, "head_dim": 32, "num_encoder_layers": 3, "num_decoder_layers": 3,
             "mlp_dim": 320, "image_vocab_size": 16512, "default_image_size": [256, 256]}  # fmt: skip
    coder = {"n_embed": 16384, "resolution": 256, "attn_resolutions": [32]}
    small = {**SMALL, "t5_config": {**SMALL["t5_config"], **sizes}, "image_vqgan": {**SMALL["image_vqgan"], **coder}}
    config, folder = published_config(**small), tmp_path_factory.mktemp("uio2")
    shapes = published_shapes(config)
    assert {key: list(shapes[key]) for key in META["keys"]} == {k: v["shape"] for k, v in META["keys"].items()}
    write_model(folder, config, lambda key, shape: (fill if key in META["keys"] else random_fill)(key, shape))
    return load_arm(folder, None, torch.device("cpu"), torch.float32)


@pytest.fixture(scope="module")
def golden(vectors: Callable[[str], dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: v.long() if v.dtype == torch.int32 else v for name, v in vectors("uio2_small").items()}


def prompts(golden: dict[str, Tensor]) -> list[list[int]]:
    rows = zip(golden["prompt_ids"].tolist(), golden["encoder_mask"].tolist(), strict=True)
    return [[piece for piece, real in zip(ids, mask, strict=True) if real] for ids, mask in rows]


def largest(one: Tensor, other: Tensor) -> float:
    assert one.shape == other.shape
    return float((one - other).abs().max())


def begun(arm: UnifiedIO2Arm, golden: dict[str, Tensor]) -> tuple[UnifiedIO2Session, Caches]:
    """Both prompts and their null branches in one session, before their first codes."""
    inputs: list[Read | None] = [arm.read(ids) for ids in prompts(golden)[:2]]
    session = UnifiedIO2Session(arm, 2, guided=True)
    session.begin([*inputs, None, None])
    assert session.caches is not None
    return session, session.caches


def step(arm: UnifiedIO2Arm, caches: Caches, codes: Tensor) -> Tensor:
    """Codes [R, T] through the caches -> hidden [R, T, D]."""
    read = caches.read
    return arm.model.decode(codes, caches.drawn, (read.keys, read.values, read.lengths))


def test_the_random_stream_is_the_one_of_the_vectors(arm: UnifiedIO2Arm) -> None:
    state = arm.model.state_dict()
    for name, probe in META["weight_probe"].items():
        ours = name.replace("layers_", "layers.").replace("norm.scale", "norm.weight")
        assert state[ours].flatten()[:4].tolist() == probe["first"]
        assert float(state[ours].double().abs().mean()) == pytest.approx(probe["mean_abs"], rel=1e-6)


def test_the_prompts_are_the_published_ids(arm: UnifiedIO2Arm, golden: dict[str, Tensor]) -> None:
    assert prompt_ids([arm.encode("a cat")], 512) == prompts(golden)[0]


@torch.no_grad()
def test_encoder(arm: UnifiedIO2Arm, golden: dict[str, Tensor]) -> None:
    rows = [arm.read(ids) for ids in prompts(golden)]
    counts = [len(row.places) for row in rows]
    x, places = (torch.nn.utils.rnn.pad_sequence(list(part), batch_first=True) for part in zip(*rows, strict=True))
    states, found = arm.model.encode(x, places, torch.tensor(counts)), golden["encoder_out"]
    assert max(largest(states[r, :n], found[r, :n]) for r, n in enumerate(counts)) < CHECK["encoder"]


@pytest.mark.long
@torch.no_grad()
def test_logits_under_given_codes_and_guidance(arm: UnifiedIO2Arm, golden: dict[str, Tensor]) -> None:
    session, caches = begun(arm, golden)
    first = session.last_logits
    assert first is not None
    codes = golden["code_ids"][:1023] - 2
    hidden = step(arm, caches, codes.expand(4, -1))
    positions = torch.tensor(META["positions"])
    logits = torch.cat((first[:, None], arm.model.code_logits(hidden)), 1)[:, positions]
    columns = golden["columns"]
    inside = (columns >= 2) & (columns < 16386)
    for row, name in ((0, "logits_a"), (2, "logits_negative")):
        assert largest(logits[row], golden[name][:, CODES]) < CHECK["logits"]
    shown = columns[inside] - 2
    assert largest(logits[1][:, shown], golden["logits_b_columns"][:, inside]) < CHECK["logits"]
    # The published guidance is of log-softmax over all ids: ours is the same but for a number a row.
    table = arm.model.image_token_embedder.weight
    whole = F.linear(hidden[:, positions[1:] - 1], table) * 128**-0.5
    sums = whole.logsumexp(-1)
    for story in (0, 1):
        shift = 11 * sums[story] - 10 * sums[story + 2]
        ours = guide(logits[story, 1:], logits[story + 2, 1:], 11.0) - shift[:, None]
        assert largest(ours[:, shown], golden["guided_columns"][story, 1:, inside]) < CHECK["guided"]


@torch.no_grad()
def test_greedy_codes_step_by_step_with_guidance(arm: UnifiedIO2Arm, golden: dict[str, Tensor]) -> None:
    """As the vectors' loop: the best code of those that the row has not used."""
    session, caches = begun(arm, golden)
    logits = session.last_logits
    params, used = SamplingParams(guidance_scale=11.0, temperature=0), torch.zeros(2, 16384, dtype=torch.bool)
    columns = golden["columns"]
    inside, drawn = (columns >= 2) & (columns < 16386), []
    for at in range(16):
        assert logits is not None
        if at in (0, 7, 15):
            found = golden["greedy_step_logits_columns"][:, (0, 7, 15).index(at)][:, inside]
            assert largest(logits[:, columns[inside] - 2], found) < CHECK["logits"]
        drawn.append(choose(logits[:2].masked_fill(used, -1e9), logits[2:].masked_fill(used, -1e9), None, params))
        used[torch.arange(2), drawn[-1]] = True
        logits = arm.model.code_logits(step(arm, caches, drawn[-1].repeat(2)[:, None])[:, 0])
    assert torch.equal(torch.stack(drawn, 1) + 2, golden["greedy_ids"])


@torch.no_grad()
def test_the_batchs_own_draw_begins_with_the_vectors_code(arm: UnifiedIO2Arm, golden: dict[str, Tensor]) -> None:
    """Prompt, encoder, guidance and sampler of a story, in passes of one code and of several."""
    drawn = []
    for decoding in ("sequential", "parallel"):
        batch = arm.new_batch([arm.new_sequence(["a cat"])], GREEDY.replace(decoding=decoding))
        batch.begin(["a cat"])
        batch.start(make_keys([0], 0, Purpose.TOKEN))
        batch.advance(12)
        assert batch.session.frame is not None
        drawn.append(batch.session.frame.codes[0, :12])
    assert int(drawn[0][0]) + 2 == int(golden["greedy_ids"][0, 0])
    assert torch.equal(*drawn)
