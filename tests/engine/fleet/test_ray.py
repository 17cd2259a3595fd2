"""A fleet on a real Ray cluster of two CPUs, on this machine."""

import os
import sys
from collections import Counter
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acdc.engine.cli.main import main
from acdc.engine.fleet.fleet import Fleet
from acdc.engine.fleet.ray_data import DrawStories
from acdc.engine.fleet.ray_engines import RayEngines
from acdc.engine.outputs import StoryResult
from tests.engine.fleet.test_processes import SHORT, OneProcess, wait_for, write
from tests.helpers.fleet_engines import FakeRecipe, Trouble, drawn, lines, stories
from tests.helpers.generate_runs import assert_same, write_file

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install -c constraints.txt '.[ray]'")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """Two CPUs; its processes import what this one does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")  # loopback alone; and no file in the user's home
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        ray.init("local", num_cpus=2, include_dashboard=False, object_store_memory=200 << 20)
        yield
        ray.shutdown()


@pytest.mark.parametrize("engines", [1, 2, 3])
def test_forty_stories_are_those_of_one_process(tmp_path, engines):
    begun = folders(tmp_path, engines, 40)
    assert max(begun.values()) == 1


def test_two_kills_and_a_hang_in_the_middle(tmp_path, capsys):
    troubles = Trouble("s5", 1, "kill"), Trouble("s20", 2, "kill"), Trouble("s14", 1, "sleep")
    begun = folders(tmp_path, 2, 40, *troubles)
    assert {frame for frame, times in begun.items() if times > 1} == {("s5", 1), ("s20", 2), ("s14", 1)}
    said = capsys.readouterr().err
    assert said.count("The actor died unexpectedly") == 2
    assert said.count("no launch of it ended for 1.5 s") == 1


def test_a_stopped_process_is_killed(tmp_path):
    begun = folders(tmp_path, 1, 6, Trouble("s2", 1, "stop"))
    assert {frame for frame, times in begun.items() if times > 1} == {("s2", 1)}
    stopped = lines(tmp_path)[[line.split()[:2] for line in lines(tmp_path)].index(["s2", "1"])].split()[2]
    wait_for(lambda: not Path(f"/proc/{stopped}/cmdline").exists())


def test_an_engine_that_the_cluster_has_no_room_for_delays_no_other(tmp_path):
    with Fleet(RayEngines(FakeRecipe(str(tmp_path)), cpus=1), 3) as fleet:
        ended = list(fleet.generate_many(stories(20)))
    assert len([one for one in ended if isinstance(one, StoryResult)]) == 20


def test_the_command(capsys, tiny, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    asked = ["generate", "--stories", write_file([2, 1, 2]), "--bundle", tiny, "--dtype", "float64", "--steps", "4"]
    assert main([*asked, "--threads", "1", "--out", "one"]) == 0
    assert main([*asked, "--out", "many", "--ray", "--engines", "2"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("many: 3 stories, 5 frames, ")
    assert_same("many", "one")


def test_a_pipeline_of_ray_data(tiny):
    rows = [{"id": f"r{n}", "sentences": ["A cat sat.", "It ran."][: 1 + n % 2], "seed": n} for n in range(4)]
    rows.append({"id": "empty", "sentences": [], "seed": 0})
    table = ray.data.from_items(rows).map_batches(
        DrawStories,
        fn_constructor_kwargs={"bundle": tiny, "num_inference_steps": 4, "engine": {"backend": "eager"}},
        batch_size=5,
        compute=ray.data.ActorPoolStrategy(size=1),
        num_cpus=0.5,
    )
    drawn_rows = {row["id"]: row for row in table.take_all()}
    assert [len(drawn_rows[f"r{n}"]["frames"]) for n in range(4)] == [1, 2, 1, 2]
    assert "no sentence" in drawn_rows["empty"]["error"]
    with Image.open(BytesIO(drawn_rows["r1"]["frames"][1])) as picture:
        assert np.asarray(picture).dtype == np.uint8


def folders(path: Path, engines: int, count: int, *troubles: Trouble) -> Counter:
    """Both runs; returns how many times a frame was begun."""
    requests = stories(count)
    frames = sum(len(request.sentences) for request in requests)
    write(OneProcess(requests), path / "one", count, frames)
    with Fleet(RayEngines(FakeRecipe(str(path), troubles=troubles), cpus=0.5), engines, SHORT) as fleet:
        write(fleet.generate_many(requests), path / "many", count, frames)
    assert_same(path / "many", path / "one")
    return Counter(drawn(path))
