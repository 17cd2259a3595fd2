"""The training loop all storyworld scripts share: WSD schedule, resume, early finish, JSONL log, EMA, Muon."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .matrix_muon import MatrixMuon

StepFunction = Callable[[int], "Tensor | Mapping[str, Tensor]"]


def wsd_factor(step: int, steps: int, decay: int, warmup: int) -> float:
    """Learning-rate factor of the warmup-stable-decay schedule (arXiv 2404.06395) at `step` in 0..steps-1.

    Linear warm-up over the first `warmup` steps, 1 in the middle, linear decay over the last `decay` steps that
    would reach 0 at `steps`.
    """
    rise = min(1.0, (step + 1) / max(warmup, 1))
    fall = min(1.0, (steps - step) / max(decay, 1))
    return max(0.0, min(rise, fall))


class Ema:
    """Exponential moving average of a module's floating tensors; `decay` ramps up so that early steps count less."""

    def __init__(self, module: nn.Module, decay: float = 0.999) -> None:
        self.module, self.decay = module, decay
        self.shadow = {name: value.detach().float().clone() for name, value in self._floats()}

    def _floats(self) -> Iterable[tuple[str, Tensor]]:
        return ((name, value) for name, value in self.module.state_dict().items() if value.is_floating_point())

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Fold the module's present weights in; `step` counts from 0."""
        weight = 1.0 - min(self.decay, (step + 1) / (step + 10))
        for name, value in self._floats():
            self.shadow[name].lerp_(value.detach().float(), weight)

    def copy_to(self, module: nn.Module) -> None:
        """Write the averages into `module`, which has the same tensors."""
        module.load_state_dict({**module.state_dict(), **self.shadow})

    def state_dict(self) -> dict[str, Tensor]:
        return self.shadow

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        for name, value in state.items():
            self.shadow[name].copy_(value)


def make_optimizers(
    module: nn.Module,
    lr: float,
    muon_lr: float | None = None,
    weight_decay: float = 0.01,
    not_muon: Sequence[str] = ("embed", "wte", "vte", "head"),
) -> list[Optimizer]:
    """AdamW for all parameters, or, with `muon_lr`, Muon for the matrices and AdamW for the rest.

    Parameters whose name contains one of `not_muon` stay with AdamW, as Muon is meant for hidden layers only
    (K. Jordan 2024, "Muon: an optimizer for hidden layers"). Vectors get no weight decay.
    """
    named = [(name, value) for name, value in module.named_parameters() if value.requires_grad]

    def hidden(name: str, value: Tensor) -> bool:
        return muon_lr is not None and value.ndim == 2 and not any(part in name for part in not_muon)

    matrices = [value for name, value in named if hidden(name, value)]
    rest = [value for name, value in named if not hidden(name, value)]
    groups = [
        {"params": [value for value in rest if value.ndim > 1], "weight_decay": weight_decay},
        {"params": [value for value in rest if value.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    optimizers: list[Optimizer] = [torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.95))] if groups else []
    if matrices and muon_lr is not None:
        optimizers.append(MatrixMuon(matrices, lr=muon_lr, weight_decay=weight_decay))
    return optimizers


def fit(
    step_fn: StepFunction,
    modules: Mapping[str, nn.Module],
    optimizers: Sequence[Optimizer],
    *,
    steps: int,
    decay: int,
    run_dir: Path,
    warmup: int = 100,
    every: int = 500,
    log_every: int = 20,
    ema: Ema | None = None,
    after_step: Callable[[int], None] | None = None,
    max_norm: float = 1.0,
    seed: int = 0,
    time_limit: float | None = None,
) -> int:
    """Train until `steps`, resuming from `run_dir` if it holds a checkpoint; returns the number of steps done.

    `step_fn(step)` returns the loss or a mapping with "loss" (the other entries are only logged); the loop does
    the backward pass. Before each step torch is seeded with `seed + step`, and `step_fn` should derive its batch
    from the step too (`step_rng`): then a resumed run repeats an uninterrupted one bit for bit.
    `modules` are saved every `every` steps and at the end, also their buffers (EMA codebooks). `after_step` runs
    after the optimiser, before saving. When the file `run_dir/finish` appears, or when the decay must begin to
    end within `time_limit` seconds, the decay starts at that step, once; the log records it.
    """
    run = _Run(Path(run_dir), dict(modules), list(optimizers), ema, steps)
    run.resume()
    parameters = [p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
    began = time.perf_counter() - run.seconds
    while run.step < run.steps:
        step = run.step
        pace = run.seconds / max(step, 1)
        late = time_limit is not None and step > 20 and run.seconds + decay * pace >= time_limit
        if not run.finishing and (late or (run.folder / "finish").exists()):
            run.finish(step, decay)
        factor = wsd_factor(step, run.steps, decay, warmup)
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = group["initial_lr"] * factor
        torch.manual_seed(seed + step)
        result = step_fn(step)
        losses = result if isinstance(result, Mapping) else {"loss": result}
        losses["loss"].backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, max_norm)
        for optimizer in optimizers:
            if torch.isfinite(norm):  # one broken batch must not end a long run
                optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if ema is not None:
            ema.update(step)
        if after_step is not None:
            after_step(step)
        run.step, run.seconds = step + 1, time.perf_counter() - began
        if step % log_every == 0 or run.step == run.steps:
            numbers = {name: round(float(value.detach()), 6) for name, value in losses.items()}
            run.log(step=step, **numbers, norm=round(float(norm), 4), lr=factor, seconds=round(run.seconds, 2))
        if run.step % every == 0 or run.step == run.steps:
            run.save()
    return run.step


def restore(run_dir: Path, modules: Mapping[str, nn.Module], ema: Ema | None = None) -> int:
    """Load the newest checkpoint's ``modules`` and ``ema``; returns its steps. ValueError where there is none."""
    path = Path(run_dir) / "checkpoint.pt"
    if not path.is_file():
        raise ValueError(f"{path}: no checkpoint yet")
    state = torch.load(path, map_location="cpu", weights_only=True)
    for name, module in modules.items():
        module.load_state_dict(state["modules"][name])
    if ema is not None:
        ema.load_state_dict(state["ema"])
    return int(state["step"])


def step_rng(seed: int, step: int) -> Any:
    """A numpy generator that depends on the seed and the step only, for drawing the step's batch."""
    import numpy as np

    return np.random.default_rng((seed, step))


class _Run:
    """Files of a run: `checkpoint.pt` (readable with weights_only=True) and `log.jsonl`."""

    def __init__(
        self,
        folder: Path,
        modules: dict[str, nn.Module],
        optimizers: list[Optimizer],
        ema: Ema | None,
        steps: int,
    ) -> None:
        self.folder, self.modules, self.optimizers, self.ema, self.steps = folder, modules, optimizers, ema, steps
        self.step, self.seconds, self.finishing = 0, 0.0, False
        folder.mkdir(parents=True, exist_ok=True)
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group.setdefault("initial_lr", group["lr"])

    def resume(self) -> None:
        path = self.folder / "checkpoint.pt"
        if not path.is_file():
            return
        state = torch.load(path, map_location="cpu", weights_only=True)
        for name, module in self.modules.items():
            module.load_state_dict(state["modules"][name])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
        self.step, self.seconds, self.finishing = state["step"], state["seconds"], state["finishing"]
        if self.finishing:
            self.steps = state["steps"]
        self.log(event="resume", step=self.step)

    def finish(self, step: int, decay: int) -> None:
        self.finishing = True
        self.steps = min(self.steps, step + decay)
        self.log(event="finish", step=step, steps=self.steps)

    def log(self, **entry: object) -> None:
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def save(self) -> None:
        state = {
            "step": self.step,
            "steps": self.steps,
            "seconds": self.seconds,
            "finishing": self.finishing,
            "modules": {name: module.state_dict() for name, module in self.modules.items()},
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "ema": None if self.ema is None else self.ema.state_dict(),
        }
        path = self.folder / "checkpoint.pt"
        torch.save(state, path.with_suffix(".tmp"))
        os.replace(path.with_suffix(".tmp"), path)
