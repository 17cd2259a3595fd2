"""``acdc evaluate``: a table and a JSON file from folders, the same after a kill; each mistake is one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from acdc.bench.quality import page
from acdc.bench.quality.metrics import registry
from acdc.bench.quality.metrics.consistency import Consistency
from acdc.bench.quality.metrics.distances import Frechet, KernelDistance
from acdc.bench.quality.metrics.registry import METRICS
from acdc.engine.cli.main import main
from tests.helpers.cli_runs import STORY, refuse
from tests.helpers.quality_folders import Means, noise, pictures, story

pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.fixture
def network(tmp_path, monkeypatch) -> Means:
    """Metrics of a network whose weights are there, and those of one whose weights are not."""
    (tmp_path / "means.bin").write_bytes(b"weights")
    found = Means(tmp_path / "means.bin")
    own = {
        "consistency-means": lambda of: Consistency("consistency-means", "by means", found),
        "fd-means": lambda of: Frechet("fd-means", "by means", found, of.statistics),
        "kid-means": lambda of: KernelDistance("kid-means", "by means", found),
        "fid": METRICS["fid"],
    }
    monkeypatch.setattr(registry, "METRICS", own)
    return found


@pytest.fixture
def drawn() -> Path:
    """Three stories in folders, one of three frames, and a reference."""
    for number in range(3):
        story(Path("drawn") / f"s{number}", noise(number, 3))
    pictures(Path("reference"), noise(9, 9))
    return Path("drawn")


def scores(name: str = "scores.json") -> dict:
    return json.loads(Path(name).read_text())


def test_a_table_and_every_figure(network, drawn, capsys):
    assert main(["evaluate", "drawn", "--reference", "reference", "--single"]) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0].split() == [
        "metric", "value", "95", "%", "interval", "same", "shuffled", "true", "stories", "frames",
    ]  # fmt: skip
    assert [line.split()[0] for line in lines[1:4]] == ["consistency-means", "fd-means", "kid-means"]
    assert any(line.startswith("not measured: fid: no pt_inception-2015-12-05") for line in lines)
    assert lines[-1] == "scores.json: all figures"
    found = scores()
    figure = found["figures"]["drawn"]["consistency-means"]
    assert (figure["stories"], figure["frames"], sorted(figure["by_story"])) == (3, 9, ["s0", "s1", "s2"])
    assert figure["controls"]["same frame"] == pytest.approx(1)
    assert found["figures"]["drawn"]["kid-means"]["details"] == {"reference_frames": 9}
    assert found["metrics"]["fd-means"]["networks"][0]["sha256"].keys() == {"means.bin"}
    assert found["reference"] == {"name": "reference", "stories": 9, "frames": 9, "failures": []}
    assert found["settings"]["dtype"] == "float32"
    assert {"torch", "acdc"} <= found["versions"].keys()
    assert printed.err.count("reading files: 9/9") == 2


def test_the_same_command_continues_and_gives_the_same_file(network, drawn, capsys):
    def kill(batch: int) -> None:
        if batch == 1:
            raise KeyboardInterrupt

    network.stop = kill
    command = ["evaluate", "drawn", "--metrics", "consistency-means", "--out", "killed.json"]
    assert main(command) == 130
    assert "the same command continues from killed.rows.sqlite3" in capsys.readouterr().err
    assert not Path("killed.json").exists()
    network.stop, before = lambda batch: None, network.batches
    assert main(command) == 0
    assert network.batches == before + 2
    assert main([*command[:-1], "whole.json"]) == 0
    assert Path("killed.json").read_bytes() == Path("whole.json").read_bytes()


def test_two_systems_that_drew_the_same_stories_are_compared_pair_by_pair(network, drawn, capsys):
    for number in range(3):
        story(Path("blurred") / f"s{number}", [np.full_like(frame, frame.mean()) for frame in noise(number, 3)])
    assert main(["evaluate", "drawn", "blurred", "--metrics", "consistency-means"]) == 0
    row = scores()["differences"]["blurred"]["consistency-means"]
    assert row["stories"] == 3
    assert 0 < row["low"] <= row["value"]  # of grey pictures the means are alike: consistency rewards it
    assert "blurred less drawn: +" in capsys.readouterr().out


def test_a_story_that_cannot_be_read_is_a_line_and_exit_code_1(network, drawn, capsys):
    (drawn / "s1" / "frames" / "frame_02.png").write_bytes(b"broken")
    assert main(["evaluate", "drawn", "--metrics", "consistency-means"]) == 1
    assert "left out: s1: picture " in capsys.readouterr().out
    found = scores()
    assert found["figures"]["drawn"]["consistency-means"]["stories"] == 2
    assert len(found["sets"][0]["failures"]) == 1


def test_a_picture_of_the_reference_that_cannot_be_read_is_a_line(network, drawn, capsys):
    Path("reference/broken.png").write_bytes(b"broken")
    argv = ["evaluate", "drawn", "--reference", "reference", "--single", "--metrics", "kid-means"]
    assert main(argv) == 0
    assert "left out of the reference: broken.png: " in capsys.readouterr().err
    assert scores()["figures"]["drawn"]["kid-means"]["details"] == {"reference_frames": 9}


def test_a_named_metric_without_weights_is_exit_code_1_and_the_others_are_measured(network, drawn):
    assert main(["evaluate", "drawn", "--metrics", "fid,consistency-means"]) == 1
    found = scores()
    assert [one["metric"] for one in found["missing"]] == ["fid"]
    assert found["figures"]["drawn"]["consistency-means"]["value"] is not None


def test_unequal_numbers_are_refused_and_said(network, drawn, capsys):
    pictures(Path("few"), noise(5, 2))
    assert main(["evaluate", "drawn", "few", "--reference", "reference", "--metrics", "fd-means,kid-means"]) == 0
    assert scores()["figures"]["few"]["fd-means"]["value"] is None
    assert "differs (drawn 9, few 2); evaluate sets of equal size" in capsys.readouterr().out


def test_what_this_project_draws_is_read(network, tiny, capsys):
    """A story and many stories of a tiny bundle, as their commands write them."""
    small = ["--bundle", tiny, "--no-correction"]
    assert main(["story", *STORY[:2], "--out", "one", *small]) == 0
    Path("stories.jsonl").write_text("".join(json.dumps({"sentences": STORY[n:]}) + "\n" for n in (0, 1)))
    assert main(["generate", "--stories", "stories.jsonl", "--out", "many", *small]) == 0
    assert main(["evaluate", "one", "many", "--metrics", "consistency-means"]) == 0
    found = scores()
    assert [(one["name"], one["stories"], one["frames"], one["sources"]) for one in found["sets"]] == [
        ("one", 1, 2, ["frames"]), ("many", 2, 5, ["frames"]),
    ]  # fmt: skip
    assert found["figures"]["many"]["consistency-means"]["by_story"].keys() == {"000001", "000002"}


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (0.0, "0.0000"), (0.71344, "0.7134"), (-2e-5, "-2.0e-05"), (220.871, "220.87")]
)
def test_numbers_keep_what_counts(value, text):
    assert page.number(value) == text


def test_drafts_and_json(network, drawn, capsys):
    assert main(["evaluate", "drawn", "--drafts", "--json", "--metrics", "consistency-means"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == scores()
    assert printed["settings"]["drafts"] is True


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], ["no folder given", "give DIR"]),
        (["drawn", "--metrics", "fidd"], ["unknown metric 'fidd'", "consistency-means", "fid"]),
        (["drawn", "--metrics", ","], ["--metrics is empty"]),
        (["nowhere"], ["'nowhere' does not exist"]),
        (["drawn", "drawn"], ["'drawn' is given more than once"]),
        (["drawn", "--metrics", "fid"], ["no metric can be measured", "fid: no pt_inception"]),
        (["drawn", "--device", "gpu"], ["device 'gpu' cannot be used", "choose cpu"]),
        (["drawn", "--out", "no/scores.json"], ["'no' is not a directory"]),
        (["drawn", "--reference", "nothing.npz"], ["reference 'nothing.npz' does not exist"]),
        (["drawn", "reference", "--statistics", "a.npz"], ["is of one DIR"]),
        (["drawn", "--statistics", "a.npz"], ["pt_inception-2015-12-05-6726825d.pth is missing"]),
    ],
)
def test_mistakes_are_one_line(network, drawn, capsys, argv, words):
    line = refuse(capsys, "evaluate", *argv)
    assert all(word in line for word in words), line
    assert not Path("scores.json").exists()


def test_a_folder_of_which_nothing_can_be_read(network, capsys):
    Path("bad").mkdir()
    Path("bad/a.png").write_bytes(b"")
    assert main(["evaluate", "bad", "--metrics", "consistency-means"]) == 2
    assert "'bad' has no story that can be read: bad: picture 'bad/a.png'" in capsys.readouterr().err


def test_every_metric_of_the_documentation_is_there():
    """docs/evaluate.md has a row for each."""
    written = (Path(__file__).parents[3] / "docs" / "evaluate.md").read_text(encoding="utf-8")
    assert [name for name in METRICS if f"| `{name}` |" not in written] == []


@pytest.mark.slow
def test_ten_thousand_pictures_in_flat_memory(network, tmp_path):
    """A hundred times the pictures, and no more memory than their rows take."""
    resource = pytest.importorskip("resource", reason="of Unix")
    folder = tmp_path / "many"
    pictures(folder, noise(0, 10_000, 64, 64), "{}.png")
    pictures(tmp_path / "few", noise(1, 100, 64, 64), "{}.png")
    assert (
        main(
            [
                "evaluate",
                str(tmp_path / "few"),
                "--single",
                "--metrics",
                "fd-means",
                "--reference",
                str(tmp_path / "few"),
            ]
        )
        == 0
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert main(["evaluate", str(folder), "--single", "--metrics", "fd-means", "--reference", str(folder)]) == 0
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 60, f"{grown:.0f} MiB more; the pictures are {10_000 * 64 * 64 * 3 >> 20} MiB"
    assert scores()["figures"][str(folder)]["fd-means"]["frames"] == 10_000
