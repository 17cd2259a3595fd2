"""``acdc serve --ray``: workers on a real Ray cluster of two CPUs, of which one is killed in the middle of a story."""

import os
import signal
import sys
from pathlib import Path

import pytest

from acdc.engine.server.settings import read_settings
from acdc.engine.server.worker.on_ray import on_ray
from tests.helpers.serving import running, wait_for

SENTENCES = ["Benny the beagle sat in a garden.", "He jumped.", "Benny ran to the lake.", "He slept."]


def test_the_command_without_ray(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match="--ray needs Ray; install it with"):
        on_ray(read_settings(data=tmp_path, ray="auto"))


def test_gpus_are_those_of_a_cluster(tmp_path):
    with pytest.raises(ValueError, match="gpus_per_worker 1 is for workers on a Ray cluster"):
        read_settings(data=tmp_path, gpus_per_worker=1)


@pytest.mark.parametrize(("device", "gpus"), [("cpu", 1), ("cuda", 0), ("cuda:1", 1)])
def test_gpus_go_with_the_device(tmp_path, device, gpus):
    settings = read_settings(data=tmp_path, ray="auto", gpus_per_worker=gpus, options={"engine.device": device})
    with pytest.raises(ValueError, match=f"--device {device}\\b"):
        on_ray(settings)


@pytest.mark.slow
def test_a_worker_on_the_cluster_draws_and_may_be_killed(tmp_path):
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install -c constraints.txt '.[ray]'")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")  # loopback alone; and no file in the user's home
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        context = ray.init("local", num_cpus=2, include_dashboard=False, object_store_memory=200 << 20)
        try:
            address = context.address_info["gcs_address"]
            with running(tmp_path / "ray", fake=False, ray=address) as server:
                name = server.submit(*SENTENCES, seed=3)
                wait_for(lambda: server.story(name)["frames"])
                for worker in workers():
                    os.kill(worker, signal.SIGKILL)
                assert len(server.wait(name)["frames"]) == len(SENTENCES)
                ray_story = tmp_path / "ray" / "stories" / name
            wait_for(lambda: not workers())
        finally:
            ray.shutdown()
    with running(tmp_path / "here", fake=False) as server:
        name = server.submit(*SENTENCES, seed=3)
        server.wait(name)
        here = tmp_path / "here" / "stories" / name
    for number in range(1, len(SENTENCES) + 1):
        frame = f"frames/frame_{number:02d}.png"
        assert (ray_story / frame).read_bytes() == (here / frame).read_bytes()


def workers() -> list[int]:
    """Processes of workers themselves, which the cluster has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_text().split("\0")
        except OSError:
            continue
        if "acdc.engine.server.worker" in words:
            found.append(int(path.parent.name))
    return found
