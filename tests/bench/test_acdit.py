"""ACDiT measured: needs counted without computing, at full size, among the systems, and in a study."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from acdc.bench.acdit.draw import draw_many, floors
from acdc.bench.acdit.needs import Counter
from acdc.bench.full_size import main as full_size
from acdc.bench.gpu.__main__ import gpu
from acdc.bench.overhead.floors import Operations, Rates, weight_bytes
from acdc.engine.acdit.phases import BlockPhases
from acdc.engine.acdit.pipeline import ACDiTPipeline
from acdc.engine.acdit.request import ClassRequest
from acdc.engine.cli.main import main
from acdc.engine.loading import acdit
from acdc.engine.models.acdit.config import ACDiTConfig
from acdc.engine.models.acdit.sampler import BlockSampler
from acdc.engine.outputs import Phase
from tests.helpers.small_acdit import KINDS, VAE_CONFIG, small_acdit, small_vae
from tests.helpers.small_roofline import small_roofline
from tests.helpers.studies import quickly

pytestmark = pytest.mark.measuring
RATES = Rates(1e9, 1e9, 0)


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {
        f"{size}-{kind[:3]}": KINDS[name]
        for size in ("XL", "H")
        for kind, name in (("img", "picture"), ("vid", "clip"))
    }
    monkeypatch.setattr(acdit, "PUBLISHED", sizes)
    monkeypatch.setattr(acdit, "SIZES", {"vae": VAE_CONFIG})
    small_roofline(monkeypatch)
    monkeypatch.setattr("acdc.bench.overhead.floors.MATRIX", {"cpu": 64})
    monkeypatch.setattr("acdc.bench.overhead.floors.COPY_BYTES", 2**16)


def pipeline(config: ACDiTConfig) -> ACDiTPipeline:
    return ACDiTPipeline(small_acdit(config, torch.float32), small_vae(torch.float32))


def weights(*parts: nn.Module) -> int:
    return sum(weight_bytes(module) for part in parts for module in part.modules())


@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)
def test_operations_are_those_of_a_run(config: ACDiTConfig) -> None:
    """Not in inference mode, in which products come as wholes that are not counted."""
    own, steps = pipeline(config), 2
    phases = BlockPhases(BlockSampler(own.model, steps, own.guidance(None)), own.vae)
    counted, found = floors(own, steps, 1, RATES), dict.fromkeys(Phase, 0)
    drawn = phases.begin(ClassRequest(0))
    for drawn.index in range(config.num_blocks):
        for phase in phases.phases_of(drawn.index):
            with torch.no_grad(), Operations() as operations:
                phases.run_phase[phase]([drawn])
            found[phase] += operations.flops
    assert {phase: flops for phase, flops in found.items() if flops} == {p: f.flops for p, f in counted.items()}


@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)
def test_bytes_are_the_weights_that_a_pass_reads(config: ACDiTConfig) -> None:
    own = pipeline(config)
    whole = weights(own.model)
    layers = [*own.model.blocks, own.model.final_layer]
    conditions = weights(own.model.t_embedder, *(part.adaLN_modulation for part in layers))
    counter = Counter(config, own.vae.config, torch.float32, 3, 1.5)
    first, second = counter.block(0), counter.block(1)
    assert Phase.PREFILL not in first
    assert first[Phase.SAMPLE].bytes == second[Phase.SAMPLE].bytes == conditions + 3 * (whole - conditions)
    assert second[Phase.PREFILL].bytes < whole - conditions
    cached = Counter(config, own.vae.config, torch.float32, 3, 1.5, cache_bytes=whole).block(0)
    assert cached[Phase.SAMPLE].bytes == whole
    two = Counter(config, own.vae.config, torch.float32, 3, 1.5, requests=2).block(1)
    assert two[Phase.SAMPLE].bytes == second[Phase.SAMPLE].bytes
    assert two[Phase.PREFILL].flops == 2 * second[Phase.PREFILL].flops


def test_pictures_side_by_side_are_timed() -> None:
    drawn = draw_many(pipeline(KINDS["clip"]), 2, 1)
    assert (drawn.frames, len(drawn.blocks)) == (12, 6)
    assert drawn.phases[Phase.SAMPLE] > 0
    assert list(pipeline(KINDS["clip"]).generate_many([ClassRequest(1)], steps=1))[-1].last


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize("name", ["XL-img", "H-vid"])
def test_full_size(name: str, tmp_path: Path) -> None:
    out = tmp_path / "found.json"
    result = CliRunner().invoke(full_size, ["--acdit", name, "--steps", "2", "--dtype", "float32", "--out", str(out)])
    assert result.exit_code == 0, result.output
    found = json.loads(out.read_text())
    assert (found["settings"]["model"], found["settings"]["steps"], found["settings"]["weights"]) == (name, 2, "random")
    assert found["seconds"].keys() - {"made"} == found["floors"].keys() == {"prefill", "draw", "decode"}
    assert len(found["blocks"]) == found["settings"]["blocks"]
    assert all(floor["share"] > 0 and floor["flops"] > 0 for floor in found["floors"].values())
    assert found["processor_seconds"] > 0
    assert found["peak_bytes"] > 0


@pytest.mark.usefixtures("toys")
def test_rows_among_the_systems(tmp_path: Path) -> None:
    out = tmp_path / "systems.json"
    argv = ["systems", "--out", str(out), "--device", "cpu", "--dtype", "float32", "--only", "acdit:XL-img,acdit:H-vid"]
    result = CliRunner().invoke(gpu, argv)
    assert result.exit_code == 0, result.output
    rows: list[dict[str, Any]] = json.loads(out.read_text())["rows"]
    assert [(row["system"], row["way"]) for row in rows] == [
        ("ACDiT XL-img, without a corrector", "plain"),
        ("ACDiT H-vid, without a corrector", "plain"),
    ]
    for row in rows:
        assert row["phases"].keys() == {"prefill", "draw", "decode"}, row
        assert all(phase["median"] > 0 and phase["floor"] > 0 for phase in row["phases"].values())


@pytest.mark.usefixtures("toys")
def test_a_row_of_the_study(tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stem = tmp_path / "study"
    argv = f"overhead --study --bundle {tiny} --out {stem} --stories 1 --frames 1 --rounds 1 --backend eager".split()
    argv += ["--concurrency", "1", "--sweep", "none", "--steps", "2", "--acdit", "XL-img", "--acdit-steps", "2"]
    with quickly():
        assert main(argv) == 0, capsys.readouterr().err
    (row,) = json.loads(stem.with_suffix(".json").read_text())["corrector_free"]
    assert (row["model"], row["concurrency"], row["frames"], row["steps"]) == ("XL-img", 1, 1, 2)
    assert row["floor_seconds_a_frame"] > 0
    assert 0 < row["first_block_seconds"] < row["seconds_a_frame"]
    for suffix in (".md", ".html"):
        text = stem.with_suffix(suffix).read_text()
        assert "Without a corrector" in text
        assert "ACDiT XL-img, 2 steps a block" in text
    capsys.readouterr()


def test_an_unknown_model_is_refused_before_anything_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["overhead", "--study", "--acdit", "XXL"]) == 2
    assert "unknown ACDiT 'XXL'; choose B-img" in capsys.readouterr().err
    assert main(["overhead", "--acdit", "XL-img"]) == 2
    assert "--acdit is for a study" in capsys.readouterr().err
