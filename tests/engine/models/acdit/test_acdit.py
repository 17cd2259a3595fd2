"""ACDiT's network and block loop: cached blocks are the training pass, alone and side by side with others."""

from __future__ import annotations

import math
import re

import diffusers
import pytest
import torch
from torch import Tensor

from acdc.engine.models.acdit.config import PUBLISHED, ACDiTConfig
from acdc.engine.models.acdit.context import CleanContext
from acdc.engine.models.acdit.layout import positions, raster_places, to_latents
from acdc.engine.models.acdit.network import ACDiT
from acdc.engine.models.acdit.rotary import GridRotary, base_of, turn
from acdc.engine.models.acdit.sampler import BlockSampler, BlockState
from acdc.engine.utils.weights import skeleton
from tests.helpers.small_acdit import CLIP, KINDS, PICTURE, angles, places, skip_causal_mask, small_acdit, training_pass

pytestmark = pytest.mark.usefixtures("no_gradients")
COUNTS = {  # parameters and tensors
    "B-img": (130_305_028, 179), "B-vid": (129_633_040, 179),
    "L-img": (457_851_908, 347), "L-vid": (456_955_920, 347),
    "XL-img": (674_856_708, 403), "XL-vid": (673_848_720, 403),
    "H-img": (950_959_620, 459), "H-vid": (949_839_632, 459),
}  # fmt: skip
SPLITS = {**KINDS, "unequal": ACDiTConfig(1, 64, num_classes=2, latent_size=8, block_tokens=16, rotary_split=(3, 1))}


@pytest.fixture
def no_gradients():
    with torch.inference_mode():
        yield


def near(found: Tensor, wanted: Tensor, bound: float = 1e-11) -> None:
    torch.testing.assert_close(found, wanted, rtol=0, atol=bound)


def tokens(config: ACDiTConfig, seed: int, blocks: int | None = None) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (config.num_blocks if blocks is None else blocks, config.block_tokens, config.token_dim)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def predicted(sampler: BlockSampler, states: list[BlockState], noisy: Tensor, timestep: int) -> Tensor:
    sampler.prefill(states)
    modulations = tuple(part[0] for part in sampler.modulations([timestep], states))
    return sampler.predict(states, noisy, modulations, CleanContext([state.cache for state in states]))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes(name: str) -> None:
    config = PUBLISHED[name]
    with skeleton():
        state = ACDiT(config).state_dict()
    assert (sum(value.numel() for value in state.values()), len(state)) == COUNTS[name]
    assert (config.num_blocks, config.num_tokens) == ((4, 4096) if config.is_clip else (4, 1024))
    assert [base_of(length) for length in config.grid] == [100] * len(config.grid)
    assert config.null_class == config.num_classes == (101 if config.is_clip else 1000)
    assert ACDiTConfig.from_dict({**vars(config), "rotary_split": list(config.rotary_split)}) == config


@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)
def test_cached_blocks_are_the_training_pass(config: ACDiTConfig) -> None:
    model, clean, noisy = small_acdit(config), tokens(config, 1), tokens(config, 2)
    timesteps = torch.tensor([[999, 519, 240, 40][: config.num_blocks]])
    whole = training_pass(model, clean[None], noisy[None], timesteps, torch.tensor([2]))[0]
    sampler = BlockSampler(model, 25, 1.0)
    state = sampler.new_state(2, 0)
    for number, timestep in enumerate(timesteps[0].tolist()):
        near(predicted(sampler, [state], noisy[number][None], timestep)[0], whole[number])
        fresh = sampler.new_state(2, 0, clean[:number])  # all blocks enter at once
        near(predicted(sampler, [fresh], noisy[number][None], timestep)[0], whole[number])
        state.blocks.append(clean[number])


def test_the_training_mask() -> None:
    seen = skip_causal_mask(3, 2)[::2, ::2].int().tolist()
    assert seen == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [0, 0, 0, 1, 0, 0],
        [1, 0, 0, 0, 1, 0],
        [1, 1, 0, 0, 0, 1],
    ]


@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)
def test_both_branches_of_guidance_share_clean_keys_with_no_difference(config: ACDiTConfig) -> None:
    """Against two copies, one a branch, as the authors keep them; keys know neither class, seed nor timestep."""
    model, clean, noisy = small_acdit(config, torch.float32), tokens(config, 1).float(), tokens(config, 2).float()
    guided, plain = BlockSampler(model, 25, 3.0), BlockSampler(model, 25, 1.0)
    last = config.num_blocks - 1
    one, two = guided.new_state(1, 0, clean[:last]), plain.new_state(2, 9, clean[:last])
    found = predicted(guided, [one], noisy[:1], 519)
    conditional = predicted(plain, [two], noisy[:1], 240)
    assert torch.equal(one.cache.keys, two.cache.keys)
    assert torch.equal(one.cache.values, two.cache.values)
    labels = torch.tensor([config.null_class, 1])
    modulations = tuple(part[0] for part in model.modulations(torch.tensor([519]), labels))
    rows, copies = noisy[:1].repeat(2, 1, 1), CleanContext([one.cache, two.cache])
    null, given = model(rows, modulations, model.tables([last]), copies).chunk(2)
    assert torch.equal(found, null + 3.0 * (given - null))
    assert (conditional - found).abs().max() > 0.1


@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_requests_side_by_side_are_as_alone(config: ACDiTConfig, guidance: float) -> None:
    """At different blocks, of different classes and seeds, some of the same."""
    model = small_acdit(config)
    sampler = BlockSampler(model, 4, guidance)
    asked = [(1, 5, 0), (2, 5, 1), (0, 7, config.num_blocks - 1), (2, 8, 1)]
    states = [sampler.new_state(label, seed, tokens(config, seed, done)) for label, seed, done in asked]
    sampler.prefill(states)
    sampler.sample(states)
    for (label, seed, done), state in zip(asked, states, strict=True):
        alone = sampler.new_state(label, seed, tokens(config, seed, done))
        sampler.prefill([alone])
        sampler.sample([alone])
        assert len(state.blocks) == len(alone.blocks) == done + 1
        near(state.blocks[-1], alone.blocks[-1], 1e-10)


def test_noise_is_of_seed_and_block_alone() -> None:
    sampler = BlockSampler(small_acdit(PICTURE), 4, 1.5)
    some = [sampler.new_state(label, seed, tokens(PICTURE, 3, done)) for label, seed, done in ((0, 1, 0), (3, 2, 1))]
    other = [sampler.new_state(label, seed, tokens(PICTURE, 4, done)) for label, seed, done in ((4, 2, 1), (1, 1, 0))]
    first, second = sampler.noise(some), sampler.noise(other)
    assert torch.equal(first[0], second[1])
    assert torch.equal(first[1], second[0])
    assert (first[0] - first[1]).abs().max() > 1
    assert abs(float(first.std()) - 1) < 0.1


@pytest.mark.parametrize(("config", "steps"), [(PICTURE, 1), (PICTURE, 25), (CLIP, 4)], ids=["1", "25", "clip"])
def test_sampling_is_the_published_loop(config: ACDiTConfig, steps: int) -> None:
    """diffusers' solver, converted from DDIM's defaults as the authors do, over the restated training pass; its
    coefficients are float32."""
    model = small_acdit(config)
    sampler = BlockSampler(model, steps, 2.0)
    state, finished = sampler.new_state(1, 4), torch.zeros_like(tokens(config, 0))
    for number in range(config.num_blocks if steps < 25 else 1):
        latents = sampler.noise([state])[0]
        sampler.prefill([state])
        sampler.sample([state])
        solver = diffusers.DPMSolverMultistepScheduler.from_config(diffusers.DDIMScheduler().config)
        solver.set_timesteps(steps)
        assert solver.timesteps.tolist() == [step.timestep for step in sampler.schedule.steps]
        for timestep in solver.timesteps:
            noisy = finished.index_fill(0, torch.tensor(number), 0)
            noisy[number] = latents
            times, labels = timestep.expand(2, config.num_blocks), torch.tensor([config.null_class, 1])
            rows = (finished.expand(2, -1, -1, -1), noisy.expand(2, -1, -1, -1))
            null, given = training_pass(model, *rows, times, labels)[:, number]
            latents = solver.step(null + 2.0 * (given - null), timestep, latents).prev_sample
        near(state.blocks[number], latents.double(), 2e-6 * float(latents.abs().max()))
        finished[number] = state.blocks[number]


@pytest.mark.parametrize("config", SPLITS.values(), ids=SPLITS)
def test_rotary_tables(config: ACDiTConfig) -> None:
    table = GridRotary(config).double()
    wanted = angles(config)
    near(table.cos, wanted.cos())
    near(table.sin, wanted.sin() * torch.tensor([-1.0] * 32 + [1.0] * 32))
    assert [tuple(place) for place in positions(config).T.tolist()] == places(config)
    assert GridRotary(config).to(torch.bfloat16).cos.dtype == torch.float32


def test_the_published_rule_is_not_a_rotation() -> None:
    table = GridRotary(PICTURE).double()
    x = torch.randn(1, 1, PICTURE.num_tokens, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    change = (turn(x, table.cos, table.sin).norm(dim=-1) / x.norm(dim=-1) - 1).abs()[0, 0]
    on_diagonal = torch.tensor([h == w for h, w in places(PICTURE)])
    assert change[on_diagonal].max() < 1e-12
    assert 0.02 < change.max() < 0.2


def test_bases_of_other_lengths() -> None:
    assert [base_of(length) for length in (4, 16, 32, 39, 40, 64)] == [100, 100, 100, 100, 200, 200]


def test_raster_places_of_the_worked_example() -> None:
    config = ACDiTConfig(1, 64, num_classes=1, latent_size=4, block_tokens=4)
    assert raster_places(config).view(4, 4).tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]


@pytest.mark.parametrize("config", [PICTURE, CLIP, ACDiTConfig(1, 64, 1, 1, 8, 3, 2, 4)], ids=["1", "clip", "patches"])
def test_tokens_become_latents(config: ACDiTConfig) -> None:
    """Number by number; a clip's blocks alone are its frames."""
    blocks = tokens(config, 6)
    found = to_latents(config, blocks[None])[0]
    patch, channels = config.patch_size, config.latent_channels
    for place, token in zip(places(config), blocks.flatten(0, 1), strict=True):
        frame, row, column = (0, *place)[-3:]
        for i in range(patch):
            for j in range(patch):
                values = token[(i * patch + j) * channels : (i * patch + j + 1) * channels]
                assert torch.equal(found[frame, :, row * patch + i, column * patch + j], values)
    if config.is_clip:
        per_block = config.frames_per_block
        assert torch.equal(to_latents(config, blocks[None, 1:2])[0], found[per_block : 2 * per_block])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hidden_size": 100}, "hidden_size 100 is not a multiple of 64"),
        ({"num_layers": 0}, "num_layers is 0"),
        ({"patch_size": 3}, "patches of 3 do not fill latents of 8"),
        ({"block_tokens": 32}, "blocks of 32 tokens are not square tiles of 8 x 8 tokens"),
        ({"block_tokens": 9}, "blocks of 9 tokens are not square tiles"),
        ({"rotary_split": (1, 1, 1)}, "rotary_split [1, 1, 1] is not for 2 axes"),
        ({"rotary_split": (1, 2)}, "rotary_split [1, 2] does not divide 32 pairs"),
        ({"num_frames": 4, "rotary_split": (2, 3, 3), "block_tokens": 16}, "blocks of 16 tokens are not whole frames"),
    ],
)
def test_sizes_that_do_not_go_together_are_refused(changes: dict[str, int], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        ACDiTConfig(**{**vars(PICTURE), **changes})


def test_impossible_requests_are_refused() -> None:
    sampler = BlockSampler(small_acdit(PICTURE), 4, 1.5)
    for label in (-1, PICTURE.num_classes):
        with pytest.raises(ValueError, match=f"class {label} is out of range; choose 0 to 4"):
            sampler.new_state(label, 0)
    with pytest.raises(ValueError, match="finished blocks are"):
        sampler.new_state(0, 0, tokens(PICTURE, 0, PICTURE.num_blocks + 1))
    with pytest.raises(ValueError, match="finished blocks are"):
        sampler.new_state(0, 0, tokens(CLIP, 0, 1))
    with pytest.raises(ValueError, match="num_inference_steps 2000"):
        BlockSampler(small_acdit(PICTURE), 2000, 1.5)


def test_numbers_that_are_not_finite_are_named() -> None:
    model = small_acdit(PICTURE, torch.float32)
    model.final_layer.linear.bias.fill_(math.inf)
    sampler = BlockSampler(model, 2, 1.5)
    with pytest.raises(ValueError, match="not finite in float32"):
        sampler.sample([sampler.new_state(0, 0)])


def test_one_block_is_a_plain_diffusion_transformer() -> None:
    config = ACDiTConfig(1, 64, num_classes=2, latent_size=4, block_tokens=16)
    sampler = BlockSampler(small_acdit(config), 2, 1.5)
    state = sampler.new_state(0, 0)
    sampler.prefill([state])
    sampler.sample([state])
    sampler.prefill([state])
    assert (len(state.blocks), state.cache.owned) == (1, [0])
