"""Invariants of the transformer, with and without its cache."""

import pytest
import torch

from acdc.engine.models.layers.rotary import Rotary, rotate
from acdc.engine.models.lwm.model import LWM, LWMConfig

SIZES = LWMConfig(layers=2, hidden=32, ffn=48, heads=4, text_vocab=20, vision_vocab=24, max_position=64)


@pytest.fixture(scope="module")
def model() -> LWM:
    torch.manual_seed(0)
    return LWM(SIZES).double().requires_grad_(False)


def stream(rows: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, 20, (rows, length), generator=generator)
    return ids, torch.rand(rows, length, generator=generator) < 0.5


def test_step_by_step_equals_one_parallel_pass(model: LWM) -> None:
    ids, is_vision = stream(3, 11)
    whole = model(ids, is_vision)
    cache = model.new_cache(rows=3, capacity=11)
    steps = [model(ids[:, t : t + 1], is_vision[:, t : t + 1], cache) for t in range(11)]
    torch.testing.assert_close(torch.cat(steps, 1), whole, rtol=0, atol=1e-12)


def test_a_split_pass_equals_the_whole(model: LWM) -> None:
    ids, is_vision = stream(2, 10)
    cache = model.new_cache(rows=2, capacity=16)
    first = model(ids[:, :4], is_vision[:, :4], cache)
    second = model(ids[:, 4:], is_vision[:, 4:], cache)
    torch.testing.assert_close(torch.cat((first, second), 1), model(ids, is_vision), rtol=0, atol=1e-12)
    assert cache.owned == [10, 10]


def test_padding_is_never_seen(model: LWM) -> None:
    """Row 1 is two tokens shorter; whatever pads it, rows equal their own single runs, also afterwards."""
    ids, is_vision = stream(2, 9)
    cache = model.new_cache(rows=2, capacity=12)
    head = model(ids[:, :6], is_vision[:, :6], cache, counts=[6, 4])
    tail = model(ids[:, 6:], is_vision[:, 6:], cache)
    for row, real in ((0, 6), (1, 4)):
        alone = torch.cat((ids[row, :real], ids[row, 6:]))[None], torch.cat((is_vision[row, :real], is_vision[row, 6:]))
        wanted = model(alone[0], alone[1][None])[0]
        torch.testing.assert_close(torch.cat((head[row, :real], tail[row])), wanted, rtol=0, atol=1e-12)


def test_causality(model: LWM) -> None:
    ids, is_vision = stream(1, 8)
    changed = ids.clone()
    changed[0, 5] = (ids[0, 5] + 1) % 20
    before, after = model(ids, is_vision), model(changed, is_vision)
    assert torch.equal(before[:, :5], after[:, :5])
    assert not torch.equal(before[:, 5:], after[:, 5:])


def test_kind_of_position_picks_the_embedding(model: LWM) -> None:
    ids = torch.full((1, 3), 7)
    text, vision = model(ids, ids < 0), model(ids, ids >= 0)
    assert not torch.allclose(text, vision)


def test_ids_beyond_the_smaller_table_are_fine_where_they_belong(model: LWM) -> None:
    ids = torch.tensor([[19, 23]])
    assert model(ids, torch.tensor([[False, True]])).isfinite().all()


def test_rotation_keeps_norms_and_depends_on_distance_only() -> None:
    rope = Rotary(8, 40, 100.0).double()
    q, k = torch.randn(1, 1, 1, 8, dtype=torch.float64), torch.randn(1, 1, 1, 8, dtype=torch.float64)

    def score(a: int, b: int) -> torch.Tensor:
        at = [rotate(x, *rope(torch.tensor([[p]]))) for x, p in ((q, a), (k, b))]
        torch.testing.assert_close(at[0].norm(), q.norm())
        return (at[0] * at[1]).sum()

    torch.testing.assert_close(score(9, 4), score(35, 30))


@pytest.mark.parametrize(("dtype", "kept"), [(torch.bfloat16, torch.float32), (torch.float64, torch.float64)])
def test_rotary_tables_survive_a_cast_of_the_model(dtype: torch.dtype, kept: torch.dtype) -> None:
    model = LWM(SIZES).to(dtype)
    assert model.wte.weight.dtype == dtype
    assert model.rope.cos.dtype == kept
    angle = torch.arange(64, dtype=torch.float64)  # pair 0 has frequency 1
    torch.testing.assert_close(model.rope.cos[:, 0], angle.cos().to(kept), rtol=0, atol=0)


def test_half_weights_stay_near_float32_far_out_in_the_stream() -> None:
    torch.manual_seed(0)
    sizes = LWMConfig(1, 32, 48, 2, 20, 24, max_position=2100)
    model = LWM(sizes).requires_grad_(False)
    ids, is_vision = stream(1, 2100)
    wanted = model.vision_logits(model(ids, is_vision)[:, -20:])
    half = model.bfloat16()
    got = half.vision_logits(half(ids, is_vision)[:, -20:])
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, wanted, rtol=0, atol=0.05)


def test_logits_are_float32_or_wider(model: LWM) -> None:
    hidden = torch.zeros(1, 32, dtype=torch.float64)
    assert model.vision_logits(hidden).dtype == torch.float64
    assert model.text_logits(hidden).shape == (1, 20)


def test_a_meta_model_is_whole_after_loading_and_moving() -> None:
    source = LWM(SIZES)
    with torch.device("meta"):
        model = LWM(SIZES)
    model.load_state_dict(source.state_dict(), assign=True)
    ids, is_vision = stream(1, 5)
    assert torch.equal(model.to("cpu")(ids, is_vision), source(ids, is_vision))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"layers": 1, "depth": 2}, "unknown transformer setting 'depth'; choose from layers, "),
        ({"layers": 1}, "incomplete transformer config: missing"),
        (SIZES.__dict__ | {"layers": 0}, "layers is 0, expected a positive integer"),
        (SIZES.__dict__ | {"hidden": "32"}, "hidden is '32', expected a positive integer"),
        (SIZES.__dict__ | {"norm_eps": float("nan")}, "norm_eps is nan, expected a positive number"),
        (SIZES.__dict__ | {"rope_theta": 0}, "rope_theta is 0, expected a positive number"),
        (SIZES.__dict__ | {"heads": 3}, "hidden 32 is not an even multiple of heads 3"),
    ],
)
def test_bad_configs_are_named(values: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LWMConfig.from_dict(values)


def test_more_positions_than_the_tables_hold(model: LWM) -> None:
    with pytest.raises(ValueError, match="65 positions are needed, the model has 64"):
        model.new_cache(rows=1, capacity=65)
