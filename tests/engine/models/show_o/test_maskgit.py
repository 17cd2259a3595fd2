"""Show-o's sampling loop: the published tables, a plain loop without any saving, and that a draw has no neighbours."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from acdc.compile.capture import capture_hazards
from acdc.compile.spec import StageSpec
from acdc.engine.models.attention import Cache
from acdc.engine.models.layers.kernels import enable_triton
from acdc.engine.models.show_o.family import ShowOArm
from acdc.engine.models.show_o.feed_pass import FeedPass
from acdc.engine.models.show_o.maskgit import draw, keep_some, rekey
from acdc.engine.models.show_o.maskgit_pass import MaskGitPass
from acdc.engine.models.show_o.model import ShowO, ShowOConfig
from acdc.engine.models.show_o.session import ShowOSession
from acdc.engine.sampling import SamplingParams
from acdc.engine.utils.rng import Purpose, gumbel, make_keys
from tests.helpers.maskgit_tables import COUNTS, TAUS
from tests.helpers.show_o_plain import logits_of, padded_row, row_mask, sample
from tests.helpers.small_show_o import CONFIG, PLAIN, encode, keys, small_arm, small_model

SHALLOW = replace(CONFIG, layers=1)


@pytest.fixture(scope="module")
def arm() -> ShowOArm:
    return small_arm()


def begun(arm: ShowOArm, texts: list[str], guided: bool = True, steps: int = 5) -> ShowOSession:
    session = ShowOSession(arm, len(texts), 1, guided=guided, steps=steps, text_tokens=9)
    session.begin(texts)
    return session


@pytest.mark.parametrize(("slots", "steps"), COUNTS)
@torch.no_grad()
def test_published_counts_in_a_run_of_the_loop(slots: int, steps: int) -> None:
    sizes = {"layers": 1, "hidden": 8, "ffn": 8, "heads": 1, "max_position": 1100, "llm_vocab_size": 9}
    config = ShowOConfig(**sizes, codebook_size=3, num_vq_tokens=slots, text_field=4, text_end=8)
    model = small_model(config=config)  # float64: of float32's scores some tie at the cut, and fewer are masked
    run, counts, cache = MaskGitPass(model, steps, 1.0, 1.0), [], model.new_cache(1, 0)

    def watched(*inputs: Tensor) -> tuple[Tensor, Tensor]:
        found = run(*inputs)
        counts.append(int((found[1] < 0).sum()))
        return found

    drawn = draw(watched, torch.full((1, slots), -1), cache, make_keys([1], 0, Purpose.TOKEN), steps, 3)
    assert counts == [int(count) for count in COUNTS[slots, steps].split()]
    assert drawn.min() >= 0, "what is returned is the last draw, before its masking"


def test_published_temperatures() -> None:
    run = MaskGitPass(small_model(), 18, 1.0, 1.0)
    torch.testing.assert_close(run.schedule[:, 1], torch.tensor([float(v) for v in TAUS.split()]), rtol=2e-3, atol=1e-9)


def plain_run(
    arm: ShowOArm, text: str, codes: list[int], seed: int, steps: int, g: float
) -> tuple[list[int], list[int]]:
    """The whole padded row of both branches in every step, every id's logits, one slot after another."""

    def logits(now: list[int]) -> tuple[Tensor, Tensor | None]:
        found = []
        for prompt in (encode(text), []):
            row = padded_row(prompt, now, PLAIN)
            whole = logits_of(arm.model.state_dict(), torch.tensor([row]), row_mask(row, PLAIN)[None], PLAIN)
            found.append(whole[0, PLAIN.field + 1 : -1, PLAIN.code_offset : PLAIN.masked])
        return found[0], found[1] if g else None

    mine = keys(3, (seed,))

    def draws(step: int) -> tuple[Tensor, Tensor]:
        noise = gumbel(mine, step * 9 + torch.arange(9), 12)[0]
        return noise, gumbel(rekey(mine, Purpose.CONFIDENCE), torch.tensor([step]), 9)[0, 0]

    return sample(logits, codes, draws, steps, g)


@pytest.mark.long
@pytest.mark.parametrize("g", [0.0, 1.75, 5.0])
@pytest.mark.parametrize("steps", [1, 2, 7])
@pytest.mark.parametrize("forced", [(), ((0, 3), (4, 11), (8, 0))])
def test_cached_and_sliced_equals_the_plain_loop(
    arm: ShowOArm, g: float, steps: int, forced: tuple[tuple[int, int], ...]
) -> None:
    """float64: not one code differs, for ragged stories side by side, of which the plain loop draws each alone."""
    texts, seeds = ["abcdefghi", "", "cab"], (1, 2, 3)
    session = begun(arm, texts, guided=g > 0, steps=steps)
    drawn = session.generate(SamplingParams(guidance_scale=1 + g, forced=forced), keys(3, seeds))
    for story, (text, seed) in enumerate(zip(texts, seeds, strict=True)):
        codes = [dict(forced).get(slot, -1) for slot in range(9)]
        wanted, counts = plain_run(arm, text, codes, seed, steps, g)
        assert drawn[story].tolist() == wanted
        assert counts[-1] == 1
        assert all(wanted[slot] == code for slot, code in forced)


def test_a_ragged_batch_equals_single_runs(arm: ShowOArm) -> None:
    texts, params = ["abcdefghi", "a", "bcd"], SamplingParams(guidance_scale=2.5)
    together = begun(arm, texts).generate(params, keys(0, (7, 8, 9)))
    for story, text in enumerate(texts):
        assert torch.equal(begun(arm, [text]).generate(params, keys(0, (7 + story,)))[0], together[story])
    assert not torch.equal(together[0], together[1])


def test_float32_draws_what_float64_does_up_to_near_ties() -> None:
    """Ten seeds; flips are counted, not hidden."""
    drawn = [
        begun(small_arm(dtype), ["abc"] * 10).generate(SamplingParams(guidance_scale=6.0), keys(0, tuple(range(10))))
        for dtype in (torch.float32, torch.float64)
    ]
    assert int((drawn[0] != drawn[1]).any(1).sum()) <= 1


def test_only_what_is_needed_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The null branch's caption once a model, a caption once a frame, then 9 slots and two ends in each step."""
    arm, fed, heads = small_arm(), [], []
    forward, head = ShowO.forward, ShowO.code_logits

    def counted(model: ShowO, ids: Tensor, cache: Cache) -> Tensor:
        fed.append(tuple(ids.shape))
        return forward(model, ids, cache)

    def counted_head(model: ShowO, hidden: Tensor) -> Tensor:
        heads.append(tuple(hidden.shape[:2]))
        return head(model, hidden)

    monkeypatch.setattr(ShowO, "forward", counted)
    monkeypatch.setattr(ShowO, "code_logits", counted_head)
    for guidance_scale, rows, null in ((2.5, 4, [(1, 32)]), (2.5, 4, []), (1.0, 2, [])):
        fed.clear()
        heads.clear()
        session = begun(arm, ["ab", "c"], guided=guidance_scale != 1, steps=3)
        session.generate(SamplingParams(guidance_scale=guidance_scale), keys(0))
        assert fed == [(2, 32), *null, *[(rows, 11)] * 3]
        assert heads == [(rows, 9)] * 3
    assert session.cache.capacity == 32


def test_the_temperature_is_that_of_the_first_confidences(arm: ShowOArm) -> None:
    """0 leaves the order to the probabilities; codes are drawn all the same, so seeds differ."""
    cold = [begun(arm, ["abc"]).generate(SamplingParams(temperature=t), keys(0, (3,))) for t in (0.0, 0.0, 5.0)]
    assert torch.equal(cold[0], cold[1])
    assert not torch.equal(cold[0], cold[2])
    assert not torch.equal(cold[0], begun(arm, ["abc"]).generate(SamplingParams(temperature=0.0), keys(0, (4,))))


def test_draws_depend_on_seed_and_frame(arm: ShowOArm) -> None:
    one, other, later = (
        begun(arm, ["abc"]).generate(SamplingParams(), keys(*at)) for at in ((0, (3,)), (0, (4,)), (1, (3,)))
    )
    assert not torch.equal(one, other)
    assert not torch.equal(one, later)


def test_guidance_at_one_takes_the_conditional_branch_alone(arm: ShowOArm) -> None:
    kept, never = begun(arm, ["abc"], guided=True), begun(arm, ["abc"], guided=False)
    assert torch.equal(kept.generate(SamplingParams(), keys(0, (3,))), never.generate(SamplingParams(), keys(0, (3,))))
    assert never.cache.rows == 1


def test_a_broken_row_still_gives_a_code() -> None:
    """NaN logits draw an id outside the codebook, which is brought back into it."""
    broken = small_arm()
    broken.model.get_parameter("showo.lm_head.bias")[CONFIG.code_offset] = torch.nan
    drawn = begun(broken, ["abc"]).generate(SamplingParams(), keys(0, (3,)))
    assert drawn.max() < 12


@given(share=st.floats(0, 0.999), seeds=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=3, unique=True))
def test_a_seeded_share_is_kept(share: float, seeds: list[int]) -> None:
    codes = torch.arange(9).expand(len(seeds), -1)
    kept = keep_some(codes, share, make_keys(seeds, 2, Purpose.TOKEN))
    assert ((kept == codes) | (kept == -1)).all()
    assert (kept >= 0).sum(1).tolist() == [int(share * 9)] * len(seeds)
    alone = keep_some(codes[:1], share, make_keys(seeds[-1:], 2, Purpose.TOKEN))
    assert torch.equal(alone[0], kept[-1]), "a story does not depend on its neighbours"


def test_kept_slots_are_spread_evenly() -> None:
    kept = keep_some(torch.zeros(4000, 9, dtype=torch.int64), 0.5, make_keys(range(4000), 0, Purpose.TOKEN)) >= 0
    assert (kept.float().mean(0) - 4 / 9).abs().max() < 0.04, "five standard deviations"


def stage(model: ShowO) -> tuple[MaskGitPass, list[Tensor]]:
    cache, mine = model.new_cache(4, 32), keys(0)
    cache.advance([5, 7, 3, 3])
    codes = torch.tensor([[-1, 2, -1, 4, -1, -1, 0, -1, -1], [-1] * 9])
    inputs = [codes, cache.keys, cache.values, cache.lengths, mine, rekey(mine, Purpose.CONFIDENCE), torch.tensor([1])]
    for buffer in inputs[1:3]:
        buffer.normal_(generator=torch.Generator().manual_seed(4))
    return MaskGitPass(model, 4, 1.0, 2.75), inputs


@pytest.mark.long
@torch.no_grad()
def test_kernels_take_the_same_step() -> None:
    """Interpreted on a CPU, compiled on a GPU."""
    plain, ours = (small_model(torch.float32, SHALLOW) for _ in range(2))
    enable_triton(ours)
    wanted, found = (run(*inputs) for run, inputs in map(stage, (plain, ours)))
    assert torch.equal(found[0], wanted[0])
    assert torch.equal(found[1], wanted[1])


@pytest.mark.long
@pytest.mark.parametrize("use_triton", [False, True])
def test_a_step_is_safe_to_capture(use_triton: bool) -> None:
    model = small_model(torch.float32, SHALLOW)
    if use_triton:
        enable_triton(model)
    run, inputs = stage(model)
    assert capture_hazards(run, StageSpec.of("arm_draw", inputs)) == []


@pytest.mark.long
def test_feeding_is_safe_to_capture() -> None:
    model, ids = small_model(torch.float32, SHALLOW), torch.zeros(4, 11, dtype=torch.int64)
    held = stage(model)[1][1:4]
    for causal, fed in ((True, [ids]), (False, [ids, *held])):
        assert capture_hazards(FeedPass(model, causal), StageSpec.of("arm_prefill", fed)) == []


def test_the_loop_reads_nothing_back_from_the_device() -> None:
    """On the meta device any ``.item()``, ``.tolist()`` or data-dependent shape raises."""
    meta = ShowOArm(ShowO(SHALLOW).to("meta"), encode)
    session = ShowOSession(meta, 2, 2, guided=True, layout="carry-over", steps=2)
    for _ in range(2):
        session.begin(["ab", "c"])
        session.generate(SamplingParams(guidance_scale=2.0), keys(0).to("meta"))
    assert session.drawn == 2
