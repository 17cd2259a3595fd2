"""The examples of docs/deploy: they parse, and their commands are ones that this version takes."""

import re
import shlex
from pathlib import Path

import pytest

from acdc.engine.cli.main import acdc

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "docs" / "deploy"
yaml = pytest.importorskip("yaml", reason="PyYAML comes with the test extra's libraries")


def documents(name):
    return list(yaml.safe_load_all((DEPLOY / name).read_text(encoding="utf-8")))


def parse(words):
    """Click reads the command; nothing runs."""
    with acdc.make_context("acdc", [words[0], "--help"], resilient_parsing=True) as context:
        command = acdc.get_command(context, words[0])
    command.make_context(words[0], words[1:])


def containers(document):
    found = []
    if isinstance(document, dict):
        found += document.get("containers", [])
        found += [one for value in document.values() for one in containers(value)]
    elif isinstance(document, list):
        found += [one for value in document for one in containers(value)]
    return found


def test_the_job_runs_a_command_of_this_version():
    (job,) = documents("ray-job.yaml")
    words = shlex.split(job["spec"]["entrypoint"])
    assert words[:3] == ["acdc", "generate", "--ray"]
    parse(words[1:])
    cluster = job["spec"]["rayClusterSpec"]
    pinned = re.search(r"^ray==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE).group(1)
    assert cluster["rayVersion"] == pinned
    (group,) = cluster["workerGroupSpecs"]
    gpus = [int(one["resources"]["limits"]["nvidia.com/gpu"]) for one in group["template"]["spec"]["containers"]]
    assert group["replicas"] * sum(gpus) == int(words[words.index("--engines") + 1])


def test_the_service_runs_commands_of_this_version():
    for document in documents("serve.yaml"):
        for container in containers(document):
            parse(container["args"])
            named = {one["name"] for one in container["volumeMounts"]}
            assert named <= {one["name"] for one in document["spec"]["template"]["spec"]["volumes"]}
            assert all("value" not in one for one in container["env"]), "secrets come from the secret"


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.cuda"])
def test_the_images_install_what_there_is(name):
    text = (DEPLOY / name).read_text(encoding="utf-8").replace("\\\n", " ")
    extras = re.search(r"/src/acdc\[([\w,-]+)\]", text).group(1).split(",")
    known = re.search(r"extras_require=\{(.*?)\n    \},", (ROOT / "setup.py").read_text(), re.DOTALL).group(1)
    assert all(f'"{extra}":' in known for extra in extras)
    for command in re.findall(r"^#   docker run .* acdc(?::cuda)? (.+)$", text, re.MULTILINE):
        parse(shlex.split(command))
    assert "\nUSER acdc\n" in text, "nothing runs as root"
