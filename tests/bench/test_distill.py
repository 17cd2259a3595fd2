"""Distillation of the few-step corrector: its equations are the engine's, it resumes exactly, and its bundle draws."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from acdc.bench.storyworld.__main__ import main as storyworld
from acdc.bench.storyworld.train import distill
from acdc.bench.storyworld.train.caption_tokenizer import build_tokenizer, load_merges
from acdc.bench.storyworld.train.consistency import (
    NEAR_SHARE,
    POINTS,
    STRIDE,
    consistent,
    stratified_points,
    teacher_step,
)
from acdc.bench.storyworld.train.corrector_data import CaptionedLatents
from acdc.bench.storyworld.train.diffusion_schedule import SCHEDULER_CONFIG, alphas_cumprod
from acdc.bench.storyworld.train.distill import LORA, Distillation, Watch, make_step
from acdc.bench.storyworld.train.lora_factors import Factors
from acdc.engine import Engine
from acdc.engine.loading.lora import merge_loras, read_loras
from acdc.engine.models.diffusion.samplers import lcm
from acdc.engine.models.diffusion.schedule import guide, take_step
from acdc.engine.models.diffusion.scheduler_config import SchedulerConfig
from acdc.engine.models.diffusion.stable_diffusion import StableDiffusion
from acdc.engine.models.diffusion.step import Step
from acdc.engine.options import Lora

pytestmark = pytest.mark.training

SENTENCES = ["Benny the beagle sat in a garden.", "He jumped up and ran."]
CONFIG = SchedulerConfig.from_dict(SCHEDULER_CONFIG, "lcm")
ALPHAS = alphas_cumprod().double()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random latents of 21 stories, with drafts of all."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for name in ("latents.npy", "drafts.npy"):
        np.save(folder / name, rng.normal(size=(21, 2, 4, 4, 4)).astype(np.float16))
    (folder / "texts.json").write_text(json.dumps({"sentences": [SENTENCES] * 21, "refined": [SENTENCES] * 21}))
    return folder


def small(tiny_path: Path, data: Path) -> tuple[Distillation, CaptionedLatents]:
    torch.manual_seed(0)
    corrector = tiny_path / "corrector"
    tokenizer = build_tokenizer(load_merges(corrector / "tokenizer"))
    return Distillation(corrector, 3.0, 4, 0.5, "cpu"), CaptionedLatents.load(data, tokenizer)


def command(tiny_path: Path, data: Path, out: Path, *words: str) -> list[str]:
    options = {"bundle": tiny_path, "data": data, "out": out, "steps": 4, "decay": 2, "batch": 2, "every": 1, "rank": 2}
    return ["distill", *(word for name, value in options.items() for word in (f"--{name}", str(value))), *words]


@given(point=st.integers(0, POINTS - 1), scale=st.floats(0, 8))
def test_a_path_follows_the_engines_ddim(point: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(point)
    latents, conditional, unconditional = torch.randn(3, 1, 4, 2, 2, generator=generator, dtype=torch.float64)
    timestep = STRIDE * (point + 1) - 1
    found, following = teacher_step(
        lambda x, t: (conditional, unconditional), latents, torch.tensor([timestep]), ALPHAS, scale
    )
    after = max(0, timestep - STRIDE)
    step = Step(timestep, float(ALPHAS[timestep]), float(ALPHAS[after]))
    expected, _ = take_step(CONFIG, latents, guide(conditional, unconditional, scale), step)
    assert following.tolist() == [after]
    torch.testing.assert_close(found, expected)


@given(point=st.integers(0, POINTS - 1))
def test_the_student_answers_as_lcms_last_step(point: int) -> None:
    generator = torch.Generator().manual_seed(point)
    latents, v = torch.randn(2, 1, 4, 2, 2, generator=generator, dtype=torch.float64)
    timestep = STRIDE * (point + 1) - 1
    assert timestep in lcm.timesteps(CONFIG, POINTS)
    (step,) = lcm.steps(CONFIG, [timestep])
    expected, _ = take_step(CONFIG, latents, v, step)
    torch.testing.assert_close(
        consistent(lambda x, t: v, latents, torch.tensor([timestep]), ALPHAS), expected, rtol=1e-6, atol=1e-6
    )
    boundary = consistent(lambda x, t: v, latents, torch.tensor([0]), ALPHAS)
    torch.testing.assert_close(boundary, latents)


def test_points_are_of_the_list_and_mostly_where_sdedit_runs() -> None:
    torch.manual_seed(0)
    timesteps = stratified_points(4000)
    listed = lcm.timesteps(CONFIG, POINTS)
    assert set(timesteps.tolist()) == set(listed)
    assert (timesteps < 600).float().mean() == pytest.approx(NEAR_SHARE, abs=1e-3)


def test_the_engine_merges_what_was_trained(tiny_path: Path, tmp_path: Path) -> None:
    networks = StableDiffusion.from_directory(tiny_path / "corrector")
    weights = dict(networks.unet.named_parameters())
    factors = Factors(networks.unet, 3)
    same = factors.merged(weights, torch.float32)
    assert all(torch.equal(same[name], value) for name, value in weights.items()), "it begins as the teacher"
    with torch.no_grad():
        for value in factors.up:
            value.normal_()
    halves = {name: value.detach().half().float() for name, value in factors.named_parameters()}
    expected = {name: v.detach().clone() for name, v in factors.merged(weights, torch.float32, halves).items()}
    factors.save(tmp_path / LORA, dict(factors.named_parameters()), "0")
    merge_loras(networks, read_loras(networks, [Lora(str(tmp_path / LORA))]))
    changed = {name for name, value in networks.unet.named_parameters() if not torch.equal(value, same[name])}
    assert changed == {f"{name}.weight" for name in factors.names}
    for name, value in networks.unet.named_parameters():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-6)


def test_steps_lower_the_loss_and_move_the_lora_alone(tiny_path: Path, data: Path) -> None:
    """The loss is that of one batch."""
    model, pairs = small(tiny_path, data)
    before = {name: value.clone() for name, value in model.weights.items()}
    optimizer = torch.optim.Adam(model.factors.parameters(), 3e-2)
    step_fn, losses = make_step(model, pairs, 4), []
    for step in range(8):
        torch.manual_seed(1)
        loss = step_fn(0)["loss"]
        loss.backward()
        losses.append(loss.item())
        optimizer.step()
        optimizer.zero_grad()
        model.ema.update(step)
    assert losses[-1] < 0.9 * losses[0]
    assert all(torch.equal(value, before[name]) for name, value in model.weights.items())


def test_the_first_points_target_is_one_step_from_clean_latents(tiny_path: Path, data: Path) -> None:
    """A network whose v is 0 answers x0 = sqrt(a) x. At the list's first point the target is one step from there to
    timestep 0, and the student's answer is x0."""
    model, _ = small(tiny_path, data)
    zero = {name: torch.zeros_like(value) for name, value in model.weights.items()}
    for name, value in zero.items():
        model.weights[name].data.copy_(value)
        model.frozen[name].copy_(value)
    noisy, states = torch.randn(2, 4, 4, 4), model.states(torch.ones(2, 77, dtype=torch.long))
    first = torch.full((2,), STRIDE - 1)
    target = model.target(noisy, first, states, states[:1])
    signal, spread = ALPHAS[STRIDE - 1].sqrt(), (1 - ALPHAS[STRIDE - 1]).sqrt()
    clean, noise = signal * noisy, spread * noisy
    torch.testing.assert_close(target, (ALPHAS[0].sqrt() * clean + (1 - ALPHAS[0]).sqrt() * noise).float())
    answer = model.student(noisy, first, states)
    torch.testing.assert_close(answer, clean.float(), rtol=1e-4, atol=1e-4)


def test_a_stopped_run_goes_on_exactly_and_its_bundle_draws(
    tiny_path: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distill, "MEASURED_FROM", 39)  # a path of two steps
    run = CliRunner()
    made = tmp_path / "bundles" / "tiny-lcm"
    whole = run.invoke(
        storyworld, command(tiny_path, data, tmp_path / "a", "--assemble", str(made)), catch_exceptions=False
    )
    assert whole.exit_code == 0, whole.output
    report = Watch.report

    def stop(watch: Watch, step: int) -> None:
        if step == 3:
            raise KeyboardInterrupt
        report(watch, step)

    monkeypatch.setattr(distill.Watch, "report", stop)
    assert run.invoke(storyworld, command(tiny_path, data, tmp_path / "b")).exit_code != 0
    assert not (tmp_path / "b" / LORA).exists()
    monkeypatch.setattr(distill.Watch, "report", report)
    run.invoke(storyworld, command(tiny_path, data, tmp_path / "b", "--export-only"), catch_exceptions=False)
    assert json.loads((tmp_path / "b" / "report.json").read_text())["steps"] == 2
    early = (tmp_path / "b" / LORA).read_bytes()
    again = run.invoke(storyworld, command(tiny_path, data, tmp_path / "b"), catch_exceptions=False)
    assert again.exit_code == 0, again.output
    assert (tmp_path / "b" / LORA).read_bytes() == (tmp_path / "a" / LORA).read_bytes() != early
    assert json.loads((tmp_path / "b" / "report.json").read_text()) == json.loads(
        (tmp_path / "a" / "report.json").read_text()
    )

    engine = Engine.from_pretrained(made)
    story = engine.generate(SENTENCES[:1], seed=3)
    assert story.start == {"timestep": 499, "alpha_bar": pytest.approx(0.27766, abs=1e-4), "steps_run": 4}
    options = {"sampler": "lcm", "num_inference_steps": 8, "guidance_scale": 1.0}
    base = Engine.from_pretrained(tiny_path, loras=[str(made / LORA)])
    assert np.array_equal(story.images[0], base.generate(SENTENCES[:1], seed=3, **options).images[0])
    assert [file.digest for file in engine.loras] == [file.digest for file in base.loras]


def test_a_base_without_its_data_is_one_line(tiny_path: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(storyworld, command(tiny_path, tmp_path, tmp_path / "a"))
    assert "texts.json: no such file" in str(result.exception)
    result = CliRunner().invoke(storyworld, ["distill", "--bundle", "nothing", "--data", ".", "--out", str(tmp_path)])
    assert "unknown bundle 'nothing'" in str(result.exception)
