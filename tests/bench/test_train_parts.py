"""A training that takes over parts: they are where their stages would have written them, and are not trained."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from acdc.bench.storyworld.train import all as module
from acdc.bench.storyworld.train.all import main
from acdc.bench.storyworld.train.dataset import build_dataset
from acdc.bench.storyworld.train.parts import take_parts
from acdc.bench.storyworld.train.round_trip import main as round_trip
from acdc.bench.storyworld.train.stages import EXPORTS, FULL, Stage, stages

pytestmark = pytest.mark.training

KEPT = Path(__file__).parents[2] / "bench" / "storyworld" / "train" / "weights"


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    folder = tmp_path / "parts"
    for name in ("tokenizer", "judge"):
        (folder / name).mkdir(parents=True)
        (folder / name / "model.safetensors").write_text(f"the {name}")
    return folder


def test_they_lie_where_the_other_stages_read_them(parts, tmp_path):
    out = tmp_path / "out"
    assert take_parts(parts, out) == ["tokenizer", "judge"]
    assert (out / "runs/tokenizer/tokenizer/model.safetensors").read_text() == "the tokenizer"
    assert (out / "runs/judge/weights/model.safetensors").read_text() == "the judge"
    record = json.loads((out / "done" / "judge.json").read_text())
    assert list(record["sha256"]) == ["judge/model.safetensors"]


@pytest.mark.parametrize("name", EXPORTS)
def test_their_stages_exist_and_write_there(name):
    """A stage's --out is the folder around what it exports."""
    command = next(stage.command for stage in stages(FULL) if stage.name == name)
    assert f"--out {Path(EXPORTS[name]).parent} " in f"{command} "


def test_a_finished_stage_keeps_its_own(parts, tmp_path):
    out = tmp_path / "out"
    (out / "done").mkdir(parents=True)
    (out / "done" / "tokenizer.json").write_text("{}")
    assert take_parts(parts, out) == ["judge"]
    assert not (out / EXPORTS["tokenizer"]).exists()


def test_the_command_trains_the_others_alone(parts, tmp_path, monkeypatch):
    def writes(name: str, after: tuple[str, ...] = ()) -> Stage:
        return Stage(name, f"timeit -n 1 -r 1 open('order','a').write('{name}')", after, False, "", False)

    made_up = (writes("tokenizer"), writes("codes", ("tokenizer",)))
    monkeypatch.setattr(module, "stages", lambda size, few_steps: made_up)
    words = ["--out", str(tmp_path / "out"), "--parts", str(parts)]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "order").read_text() == "codes"
    assert "tokenizer: taken from" in result.output
    (tmp_path / "empty").mkdir()
    refused = CliRunner().invoke(main, [*words[:3], str(tmp_path / "empty")])
    assert refused.exit_code == 1
    assert "choose from tokenizer, vae, judge, identity, arm" in refused.output


def test_the_kept_coders_know_pictures_they_never_saw(tmp_path):
    """Held-out scenes, rendered here; the bounds leave room for what few pictures vary by."""
    out = tmp_path / "out"
    assert take_parts(KEPT, out) == ["tokenizer", "vae"]
    build_dataset(tmp_path / "data", 3, "heldout", size=64, edition=2)
    coders = ("--tokenizer", out / EXPORTS["tokenizer"], "--vae", out / EXPORTS["vae"])
    words = ("--data", tmp_path / "data", *coders, "--out", tmp_path / "trip")
    result = CliRunner().invoke(round_trip, list(map(str, words)))
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "trip.json").read_text())
    assert found["tokenizer"]["psnr"] > 25
    assert found["vae"]["psnr"] > 27
