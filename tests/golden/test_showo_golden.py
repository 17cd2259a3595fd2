"""Our Show-o against the published PyTorch modules (commit 45a5a2de) on made-up weights, 3 layers of 128.

Rows, mask, logits, and whole runs of the sampler with the reference's own draws in place of the engine's.
``showo_small.json`` says what each vector is. How close another restatement came on a CPU is ``independent_check``; we
ask four times that.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from acdc.engine.models.show_o.family import ShowOArm
from acdc.engine.models.show_o.feed_pass import SegmentCache
from acdc.engine.models.show_o.maskgit_pass import frame_ids
from acdc.engine.models.show_o.model import ShowO, ShowOConfig
from acdc.engine.models.show_o.session import ShowOSession
from acdc.engine.models.show_o.text import caption_ids
from acdc.engine.sampling import SamplingParams
from acdc.engine.utils.rng import Purpose, make_keys
from acdc.kernels import maskgit_step
from tests.helpers.show_o_plain import Sizes, padded_row, row_mask

META: dict[str, Any] = json.loads((Path(__file__).parent / "showo_small.json").read_text(encoding="utf-8"))
CONFIG = ShowOConfig(layers=3, hidden=128, ffn=512, heads=4)
PLAIN = Sizes(layers=3, heads=4, text_vocab=50295, codebook=8192, slots=256, field=129, end=50256)
PROMPTS, LONG = META["inputs"]["prompt_token_ids"], META["inputs"]["long_prompt_token_ids"]
LOGITS = 4 * META["independent_check"]["logits_max_abs"]
CONFIDENCE = 4 * META["independent_check"]["confidence_relative"]
RUNS = META["runs"]
Fill = Callable[[str, tuple[int, ...]], Tensor]


@pytest.fixture(scope="module")
def arm(fill: Fill) -> ShowOArm:
    model = ShowO(CONFIG)
    model.load_state_dict({name: fill(name, tuple(value.shape)) for name, value in model.state_dict().items()})
    assert sum(p.numel() for p in model.parameters()) == META["element_count"]
    return ShowOArm(model, lambda text: PROMPTS[int(text)])


@pytest.fixture(scope="module")
def golden(vectors: Callable[[str], dict[str, Tensor]]) -> dict[str, Tensor]:
    return vectors("showo_small")


@pytest.fixture(scope="module")
def known(golden: dict[str, Tensor]) -> Tensor:
    """The codes that are known in ``ids_partial``, -1 elsewhere; the same in both rows."""
    codes = golden["ids_partial"][:, 130:386].long() - CONFIG.code_offset
    assert torch.equal(codes[0], codes[1])
    return torch.where(codes[:1] == CONFIG.codebook_size, -1, codes[:1])


def begun(arm: ShowOArm, guided: bool = True, steps: int = 18) -> ShowOSession:
    session = ShowOSession(arm, 2, 1, guided=guided, steps=steps)
    session.begin(["0", "1"])
    return session


def test_weights_are_the_same_numbers(fill: Fill, arm: ShowOArm) -> None:
    for name, probe in META["weight_probe"].items():
        value = arm.model.state_dict()[name]
        assert value.flatten()[:4].tolist() == probe["first"]
        assert float(value.double().abs().mean()) == pytest.approx(probe["mean_abs"], rel=1e-6)


def test_rows_are_the_published_ones_without_pads(golden: dict[str, Tensor]) -> None:
    frame = frame_ids(torch.full((1, 256), -1), CONFIG)[0].tolist()
    stored = [golden["ids_cond"][0], golden["ids_cond"][1], *golden["ids_uncond"], golden["ids_long_prompt"][0]]
    for row, prompt in zip(stored, [*PROMPTS, [], [], LONG], strict=True):
        assert row.tolist() == padded_row(prompt, [-1] * 256, PLAIN)
        assert [token for token in row.tolist() if token != 50295] == [*caption_ids(prompt, CONFIG), *frame]


def test_mask_is_the_published_one(golden: dict[str, Tensor]) -> None:
    """The plain restatement's to the bit, for all four rows; and our segments' once its pads are dropped."""
    rows = [*golden["ids_cond"].tolist(), *golden["ids_uncond"].tolist()]
    masks = [row_mask(row, PLAIN).numpy() for row in (rows[0], rows[1], rows[2])]
    for row, mask in enumerate([*masks, masks[2]]):
        assert int(mask.sum()) == META["mask"]["allowed_per_row"][row]
        assert hashlib.sha256(mask.tobytes()).hexdigest() == META["mask"]["sha256_of_bool_bytes"][row]
    assert np.array_equal(np.packbits(masks[0], axis=-1), golden["mask_allow"][0].numpy())
    for row, mask in zip(rows, masks, strict=False):
        real = torch.tensor(row) != 50295
        kept = torch.from_numpy(mask)[real][:, real]
        text = int(real.sum()) - 258
        empty = torch.zeros(1, 1, 1, 0, 32)
        expected = SegmentCache(empty, empty, torch.tensor([0]), causal=True)
        assert torch.equal(expected.mask(expected.positions(text))[0, 0], kept[:text, :text])
        assert not kept[:text, text:].any()
        slots = torch.zeros(1, 1, 1, text, 32)
        frame = SegmentCache(slots, slots, torch.tensor([text]), causal=False)
        assert torch.equal(frame.mask(frame.positions(258))[0, 0].expand(258, -1), kept[text:])


@torch.no_grad()
def test_logits(arm: ShowOArm, golden: dict[str, Tensor], known: Tensor) -> None:
    session = begun(arm)
    held = SegmentCache(session.cache.keys, session.cache.values, session.cache.lengths, causal=False)
    hidden = arm.model(frame_ids(known, CONFIG).expand(4, -1), held)
    logits, slots = arm.model.code_logits(hidden[:, 1:-1]), META["inputs"]["logit_slots"]
    close(logits[0, slots], golden["logits_cond"])
    close(logits[2, slots], golden["logits_uncond"])
    close(logits[3, slots], golden["logits_uncond"])
    close(logits[1, [0, 255]], golden["logits_cond_2"])

    head = arm.model.get_submodule("showo.lm_head")
    empty = arm.model.new_cache(1, 0)
    expected = SegmentCache(empty.keys, empty.values, empty.lengths, causal=True)
    text = arm.model(torch.tensor([caption_ids(PROMPTS[0], CONFIG)]), expected)  # 14 ids, rows 115 to 128 of the 387
    rows = torch.stack((text[0, 0], text[0, 5], text[0, 13], hidden[0, 0], hidden[0, -1]))
    close(head(rows)[:, ::64], golden["logits_text_rows_columns"])


def close(found: Tensor, wanted: Tensor) -> None:
    assert (found - wanted).abs().max() < LOGITS


@pytest.fixture
def injected(monkeypatch: pytest.MonkeyPatch, golden: dict[str, Tensor]) -> Callable[[str], None]:
    """The engine's one source of noise gives the reference's draws: a code is certain, a confidence has its uniform."""

    def install(run: str) -> None:
        drawn, uniform = golden[f"{run}_drawn"].long(), golden[f"{run}_uniform"]

        def gumbel(keys: Tensor, positions: Tensor, count: int) -> Tensor:
            if count == CONFIG.codebook_size:
                step = int(positions[0]) // CONFIG.num_vq_tokens
                return torch.zeros(2, 256, count).scatter_(2, drawn[step][..., None], 1e9)
            return -(-uniform[int(positions)].clamp(min=1e-20).log()).clamp(min=1e-20).log()[:, None]

        monkeypatch.setattr(maskgit_step, "gumbel", gumbel)

    return install


@pytest.mark.long
@pytest.mark.parametrize("run", RUNS)
def test_sampler_runs(
    arm: ShowOArm, golden: dict[str, Tensor], known: Tensor, injected: Callable[[str], None], run: str
) -> None:
    """Every state of the reference's, and what it returned: the last draw."""
    expected, states = RUNS[run], []
    injected(run)
    session = begun(arm, expected["guidance"] > 0, expected["steps"])
    step = arm.draw_pass(expected["steps"], 1.0, 1 + expected["guidance"])
    taus = torch.tensor(expected["tau"])
    torch.testing.assert_close(step.schedule[:, 1], taus, rtol=1e-6, atol=0)  # type: ignore[attr-defined]

    def watched(*inputs: Tensor) -> tuple[Tensor, Tensor]:
        found = step(*inputs)
        states.append(found[1])
        return found

    arm._draws[expected["steps"], 1.0, 1 + expected["guidance"]] = watched
    params = SamplingParams(
        guidance_scale=1 + expected["guidance"], forced=tuple(given(known)) if run == "t8_inpaint" else ()
    )
    drawn = session.generate(params, make_keys([0, 0], 0, Purpose.TOKEN))
    arm._draws.clear()
    assert session.passes == len(states) == expected["steps"]
    for number, state in enumerate(states):
        assert [int(count) for count in (state < 0).sum(1)] == [expected["unknown_after_step"][number]] * 2
        assert torch.equal(state, golden[f"{run}_state"][number].long()), number
    assert torch.equal(drawn, golden[f"{run}_final"].long())


def given(known: Tensor) -> Iterator[tuple[int, int]]:
    return ((slot, code) for slot, code in enumerate(known[0].tolist()) if code >= 0)


@pytest.mark.long
@pytest.mark.parametrize("run", RUNS)
@torch.no_grad()
def test_confidences(arm: ShowOArm, golden: dict[str, Tensor], known: Tensor, run: str) -> None:
    """The probability of each kept code, from the reference's own states."""
    expected = RUNS[run]
    session = begun(arm, expected["guidance"] > 0, expected["steps"])
    held = session.cache.keys, session.cache.values, session.cache.lengths
    before = known.expand(2, -1) if run == "t8_inpaint" else torch.full((2, 256), -1)
    for step in range(expected["steps"]):
        rows = frame_ids(before, CONFIG).repeat(session.branches, 1)
        logits = arm.model.code_logits(arm.model(rows, SegmentCache(*held, causal=False))[:, 1:-1])
        g = expected["guidance"]
        guided = (1 + g) * logits[:2] - g * logits[2:] if g else logits
        drawn = torch.where(before < 0, golden[f"{run}_drawn"][step].long(), before)
        share = guided.softmax(-1).gather(-1, drawn[..., None])[..., 0]
        torch.testing.assert_close(
            torch.where(before < 0, share, 1.0), golden[f"{run}_confidence"][step], rtol=CONFIDENCE, atol=0
        )
        before = golden[f"{run}_state"][step].long()
