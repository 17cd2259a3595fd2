"""The shared training loop: schedule, resume, early finish, moving average."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from acdc.bench.storyworld.train.loop import Ema, fit, make_optimizers, step_rng, wsd_factor

pytestmark = pytest.mark.training


def make_run(folder: Path, steps: int, decay: int = 4, muon: bool = False, **more: object) -> tuple[nn.Module, Ema]:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.2), nn.Linear(8, 4))
    ema = Ema(model, 0.9)

    def step_fn(step: int) -> dict[str, Tensor]:
        x = torch.from_numpy(step_rng(5, step).normal(size=(6, 4))).float()
        loss = (model(x) - x).square().mean()
        return {"loss": loss, "twice": 2 * loss}

    optimizers = make_optimizers(model, 1e-2, muon_lr=1e-2 if muon else None)
    fit(
        step_fn, {"model": model}, optimizers, steps=steps, decay=decay, run_dir=folder, warmup=2, every=5,
        log_every=1, ema=ema, **more,  # type: ignore[arg-type]
    )  # fmt: skip
    return model, ema


def entries(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_schedule_values() -> None:
    values = [wsd_factor(step, steps=10, decay=4, warmup=2) for step in range(10)]
    assert values == pytest.approx([0.5, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25])


@settings(deadline=None)  # time says nothing here
@given(st.integers(1, 300), st.integers(0, 300), st.integers(0, 50))
def test_schedule_is_positive_and_at_most_one(steps: int, decay: int, warmup: int) -> None:
    assert all(0 < wsd_factor(step, steps, decay, warmup) <= 1 for step in range(steps))


@pytest.mark.parametrize("muon", [False, True])
def test_resumed_run_is_bit_identical(tmp_path: Path, muon: bool) -> None:
    straight, straight_ema = make_run(tmp_path / "a", 15, muon=muon)

    class Stop(Exception):
        pass

    def stop(step: int) -> None:
        if step == 11:
            raise Stop

    with pytest.raises(Stop):
        make_run(tmp_path / "b", 15, muon=muon, after_step=stop)
    resumed, resumed_ema = make_run(tmp_path / "b", 15, muon=muon)
    assert {"event": "resume", "step": 10} in entries(tmp_path / "b")
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name])
        assert torch.equal(straight_ema.shadow[name], resumed_ema.shadow[name])


def test_finish_file_starts_the_decay_once(tmp_path: Path) -> None:
    def ask(step: int) -> None:
        if step == 6:
            (tmp_path / "finish").touch()

    make_run(tmp_path, 1000, after_step=ask)
    log = entries(tmp_path)
    assert {"event": "finish", "step": 7, "steps": 11} in log
    assert log[-1]["step"] == 10
    assert [entry["lr"] for entry in log[-4:]] == [1.0, 0.75, 0.5, 0.25]
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert (state["step"], state["steps"]) == (11, 11)
    make_run(tmp_path, 1000)  # finished: nothing more to do
    assert entries(tmp_path)[-1] == {"event": "resume", "step": 11}


def test_time_limit_ends_the_run(tmp_path: Path) -> None:
    make_run(tmp_path, 100_000, time_limit=0.0)
    assert entries(tmp_path)[-1]["step"] == 24


def test_a_broken_batch_changes_nothing(tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizers = make_optimizers(model, 1.0)
    fit(
        lambda step: model(torch.full((1, 2), torch.nan)).sum(), {"model": model}, optimizers, steps=2, decay=1,
        run_dir=tmp_path,
    )  # fmt: skip
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())


def test_ema_of_constant_weights_is_the_weights() -> None:
    model = nn.Linear(3, 3)
    ema = Ema(model, 0.99)
    for step in range(5):
        ema.update(step)
    other = nn.Linear(3, 3)
    ema.copy_to(other)
    assert torch.allclose(other.weight, model.weight)


def test_every_parameter_has_one_optimizer() -> None:
    model = nn.ModuleDict({"wte": nn.Embedding(5, 4), "body": nn.Linear(4, 4), "lm_head": nn.Linear(4, 5)})
    optimizers = make_optimizers(model, 1e-3, muon_lr=0.02)
    found = [id(p) for o in optimizers for group in o.param_groups for p in group["params"]]
    assert sorted(found) == sorted(id(p) for p in model.parameters())
    muon = [p for group in optimizers[-1].param_groups for p in group["params"]]
    assert [id(p) for p in muon] == [id(model["body"].weight)]
