"""SCD's accept rule, against which exact decoding is compared: it keeps the distribution, whatever the drafts are."""

import pytest
import torch
from click.testing import CliRunner

from acdc.bench.decoding import rules
from acdc.bench.decoding.coupled import coupled, coupled_draw
from acdc.bench.decoding.frames import starts

pytestmark = pytest.mark.measuring
DRAWS, FRAMES = 40_000, 100


@pytest.mark.parametrize("certain", [False, True])
def test_what_comes_out_follows_the_new_distribution(certain):
    generator = torch.Generator().manual_seed(3)
    p = torch.tensor([0.5, 0.3, 0.15, 0.05, 0.0])
    q = torch.tensor([0.0, 1.0, 0.0, 0.0, 0.0]) if certain else torch.tensor([0.1, 0.2, 0.3, 0.0, 0.4])
    x = torch.multinomial(q, DRAWS, replacement=True, generator=generator)
    kept, chosen = coupled(x, q.expand(DRAWS, -1), p.expand(DRAWS, -1), generator)
    found = chosen.bincount(minlength=5) / DRAWS
    assert (found - p).abs().max() < 4 * (0.25 / DRAWS) ** 0.5
    overlap = float(torch.minimum(p, q).sum())  # a maximal coupling changes as few drafts as can be
    assert abs(float(kept.float().mean()) - overlap) < 4 * (0.25 / DRAWS) ** 0.5
    assert torch.equal(chosen[kept], x[kept])


def test_equal_distributions_keep_every_draft():
    p = torch.rand(100, 7).softmax(-1)
    x = torch.multinomial(p, 1)[:, 0]
    kept, chosen = coupled(x, p, p, torch.Generator().manual_seed(0))
    assert kept.all()
    assert torch.equal(chosen, x)


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("window", [1, 4, 16])
def test_a_frame_is_drawn_in_as_many_passes_as_it_has_codes_at_most(tiny_engine, window, fresh):
    start = starts(tiny_engine, 1, 2)[1]
    size = tiny_engine.models.arm.stream.codebook_size
    for draft in (start.previous, None):
        codes, passes = coupled_draw(start, draft, window, 5, fresh)
        assert codes.shape == (1, 16)
        assert int(codes.max()) < size
        assert 16 // window <= passes + 1
        assert passes <= 15
        again, _ = coupled_draw(start, draft, window, 5, fresh)
        assert torch.equal(codes, again)


def test_codes_of_many_frames_follow_the_model(tiny_engine):
    """The second code after a given first: frames drawn by SCD from even drafts, against the model's distribution."""
    start = starts(tiny_engine, 1, 2)[1]
    codes = torch.stack([coupled_draw(start, None, 16, seed)[0][0, :2] for seed in range(FRAMES)])
    assert (codes[:, 0] == codes[0, 0]).all(), "the first code is known before any pass"
    session = start.session.fork()
    ids = codes[:1, :1]
    hidden = session.arm.model(ids, torch.ones_like(ids, dtype=torch.bool), session.cache)
    p = session.arm.model.vision_logits(hidden[:, -1])[0, : session.arm.stream.codebook_size].softmax(-1)
    bound = len(p) + 6 * (2 * len(p)) ** 0.5  # six deviations of a chi-squared of that many degrees
    assert chi_squared(codes[:, 1].bincount(minlength=len(p)) / FRAMES, p) < bound
    assert chi_squared(torch.full_like(p, 1 / len(p)), p) > 2 * bound, "the drafts themselves would be found out"


def chi_squared(found: torch.Tensor, p: torch.Tensor) -> float:
    return FRAMES * float(((found - p) ** 2 / p).sum())


def test_the_command_prints_a_row_a_rule(tiny_path, tmp_path):
    asked = ["--stories", "1", "--frames", "2", "--windows", "4", "--rounds", "1", "--bundle", str(tiny_path)]
    done = CliRunner().invoke(rules.main, [*asked, "--out", str(tmp_path / "rules.json")])
    assert done.exit_code == 0, done.output
    assert all(f"| {name} |" in done.output for name in rules.RULES)
