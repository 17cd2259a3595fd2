"""The page of a training is made of the run's own files."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from acdc.bench.storyworld.train.report import Run, markdown

pytestmark = pytest.mark.training


def lines(path: Path, *entries: dict[str, object]) -> None:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Twelve steps, of which a resume undid two; four of them were measured, step 8 twice."""
    logged = [{"step": step, "loss": 9.0 - step, "seconds": 10.0 * step} for step in (0, 4, 8, 9)]
    again = [{"step": step, "loss": 0.5 - step / 100, "seconds": 20.0 * step} for step in (8, 11)]
    lines(tmp_path / "log.jsonl", *logged, {"event": "resume", "step": 8}, *again)
    measured = [{"step": step, "v_mse": value} for step, value in ((0, 0.9), (4, 0.7), (8, 0.6), (8, 0.5), (12, 0.25))]
    lines(tmp_path / "evaluation.jsonl", *measured)
    (tmp_path / "arm").mkdir()
    save_file({"a": torch.ones(3, 5).half(), "b": torch.ones(2).half()}, tmp_path / "arm" / "model.safetensors")
    return Run("arm", tmp_path, "train --steps 12")


def test_figures_are_the_files(run: Run) -> None:
    found = run.figures()
    weights = (run.folder / "arm" / "model.safetensors").read_bytes()
    assert (found["steps"], found["seconds"], found["last"]["loss"]) == (12, 220.0, 0.39)
    assert [entry["v_mse"] for entry in found["held_out"]] == [0.9, 0.7, 0.5, 0.25]
    assert found["events"] == [{"event": "resume", "step": 8}]
    assert (found["parameters"], found["report"]) == (17, None)
    assert found["sha256"] == {"arm/model.safetensors": hashlib.sha256(weights).hexdigest()}


def test_steps_that_a_resume_undid_are_not_in_the_curve(run: Run) -> None:
    assert [entry["step"] for entry in run.log()] == [0, 4, 8, 11]
    assert [entry["loss"] for entry in run.log()] == [9.0, 5.0, 0.42, 0.39]


def test_the_page_names_its_figures(run: Run) -> None:
    page = markdown([run], "training", "A machine.", "A note.").splitlines()
    assert "| arm | 0.00 M | 0.0 | 12 | 3.7 | 0.3900 |" in page
    assert '- arm: `{"step": 12, "v_mse": 0.25}`' in page
    assert {"A machine.", "A note.", "train --steps 12"} < set(page)
    assert "[training.json](training.json)" in "\n".join(page)


def test_an_empty_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"log\.jsonl: no logged step"):
        Run("arm", tmp_path, "").figures()
