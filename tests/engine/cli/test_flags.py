"""The flags of every command: none disappears unnoticed, each says in a sentence what it does, and its default."""

import re

import click
import pytest

from acdc.engine.cli.flags import GROUPS, gathered
from acdc.engine.cli.generate import generate
from acdc.engine.cli.main import COMMANDS, acdc, main
from acdc.engine.cli.story import story
from acdc.engine.cli.video import video
from acdc.engine.options.paths import default_of, paths_of
from tests.helpers.cli_runs import STORY, parsed, refuse

ENGINE = "bundle models random-weights lora device dtype backend precision attention kernels quantization threads"
SAMPLING = "seed decoding context arm-guidance"
TOKENS = "temperature top-k"
CORRECTION = "strength steps sampler guidance correction-size"
FRAMES = "no-correction correct-first correct-every negative-prompt"
MEMORY = "memory memory-model memory-url memory-timeout memory-calls memory-on-failure"
SHOW_O = "arm-steps layout carry-over"
FLEET = "engines ray gpus-per-engine engine-timeout"
REST = f"{MEMORY} {SHOW_O} set"
DRAWING = f"{SAMPLING} {TOKENS} {CORRECTION} {FRAMES}"
STEERING = (
    "mask-strength no-paste-back controlnet depth-model controlnet-scale controlnet-start controlnet-end guess-mode"
)
FLAGS = {
    "story": "example prompts number init-image out resume overwrite redo "
    f"{ENGINE} {DRAWING} mask depth {STEERING} {REST}",
    "generate": "stories out resume overwrite slots concurrency batch prompt-lookahead "
    f"run-ahead no-merge serial {FLEET} {ENGINE} {DRAWING} {STEERING} {REST}",
    "video": f"prompt example frames chunk-frames fps out resume overwrite {ENGINE} {DRAWING} {REST}",
    "correct": f"prompt prompts chunk-frames batch json out resume overwrite {ENGINE.replace(' quantization', '')} "
    f"seed {CORRECTION} negative-prompt set",
    "reference": "prompts json out resume overwrite model unet lora random-weights device dtype threads "
    "seed size steps",
    "acdit": "class count json out resume overwrite model vae random-weights device dtype threads seed steps "
    "guidance concurrency",
    "evaluate": "metrics models reference text clip resize drafts single out statistics json device threads",
    "serve": "host port data api-key served-model-name max-queue workers ray gpus-per-worker root-path "
    "allowed-origin allowed-host ssl-certfile ssl-keyfile disable-access-log log-level config show-config worker "
    f"{ENGINE} {SAMPLING.removeprefix('seed ')} {TOKENS} {CORRECTION} {FRAMES} {MEMORY} {SHOW_O} slots concurrency set",
    "reproduce": f"stories frames chunk-frames out reference {ENGINE} {SAMPLING} {TOKENS} {CORRECTION} {REST}",
    "vistorybench": "",
    "vistorybench convert": "out overwrite language",
    "vistorybench export": "out method mode language timestamp drafts",
    "write-stories": "out count seed examples resume overwrite memory memory-model memory-url memory-timeout device",
    "info": "json",
    "compile": f"{ENGINE} frames stories seed decoding guidance set",
    "cache": "clear",
    "overhead": "stories warmup json study out concurrency sweep frames rounds acdit acdit-steps "
    f"{ENGINE} {SAMPLING} {CORRECTION} {MEMORY} {SHOW_O} set",
    "bench": "",
    "bench serve": "base-url endpoint-type model num-inference-steps partial-images num-prompts request-rate "
    "max-concurrency num-warmups seed dataset-path output-file",
    "plan": "costs stories frames machines memory-ms json",
}
OTHER_DEFAULTS = {
    ("video", "engine.bundle"): "storyworld-video",
    ("correct", "engine.bundle"): "none; it must be given",
    ("reproduce", "engine.bundle"): "storyworld; storyworld-video for table3",
    ("write-stories", "memory.name"): "chat",
}
SENTENCE = re.compile(r"[A-Z][a-z]+ [^.].*\.(  \[default: [^\]]+\])?")


def command(name: str) -> click.Command:
    found: click.Command | None = acdc
    for part in name.split():
        assert isinstance(found, click.Group)
        with found.make_context(found.name, [part, "--help"], resilient_parsing=True) as context:
            found = found.get_command(context, part)
    assert found is not None
    return found


def options_of(name: str) -> list[click.Option]:
    return [one for one in command(name).params if isinstance(one, click.Option)]


def test_every_command_is_frozen_here():
    assert {name for name in FLAGS if " " not in name} == set(COMMANDS)


@pytest.mark.parametrize("name", FLAGS)
def test_flags(name):
    assert [flag for one in options_of(name) for flag in one.opts] == [f"--{flag}" for flag in FLAGS[name].split()]


@pytest.mark.parametrize("name", FLAGS)
def test_help_is_a_sentence(name):
    for one in options_of(name):
        assert SENTENCE.fullmatch(one.help), f"{one.opts[0]}: {one.help}"
        assert len(one.help.split()) >= 3, f"{one.opts[0]}: {one.help}"


@pytest.mark.parametrize("name", FLAGS)
def test_help_shows_the_default_of_the_field(name):
    kinds = paths_of(GROUPS)
    for one in options_of(name):
        path = one.name.replace("__", ".")
        if path in kinds and not one.is_flag:
            group, _, field = path.partition(".")
            default = default_of(GROUPS[group], field)
            shown = re.fullmatch(r".*\[default: (.+)\]", one.help).group(1)
            default = OTHER_DEFAULTS.get((name, path), default)
            assert default in (None, "") or shown == str(default), one.opts


@pytest.mark.parametrize("name", FLAGS)
def test_options_are_shown_in_groups(name, capsys):
    assert main([*name.split(), "--help"]) == 0
    titles = re.findall(r"^(\w[\w -]+):$", capsys.readouterr().out, re.MULTILINE)
    assert len(titles) >= (7 if name in ("story", "generate", "video", "overhead") else 1)


def test_values_of_flags_and_of_set_come_together():
    given = parsed(story, [*STORY, "--strength", "0.4", "--set", "sampling.top_p=0.9", "--no-correction"])
    assert given.values == {"correction.strength": 0.4, "sampling.top_p": 0.9, "correction.enabled": False}
    options = given.story()
    assert (options.correction.strength, options.sampling.top_p, options.correction.enabled) == (0.4, 0.9, False)


def test_set_reaches_the_engine_and_the_scheduler():
    from acdc.engine.scheduler.policy import SchedulerConfig

    given = parsed(generate, ["--stories", "a.jsonl", "--set", "scheduler.calls=3", "--set", "engine.dtype=float64"])
    assert given.scheduler(SchedulerConfig()) == SchedulerConfig(calls=3)
    assert given.engine().dtype == "float64"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--set", "correction.strenght=0.4"], ["did you mean correction.strength", "sampling.top_p", "engine.device"]),
        (["--set", "scheduler.slots=2"], ["unknown option 'scheduler.slots'"]),
        (["--set", "correction.strength=2"], ["strength 2.0 is out of range"]),
        (["--set", "correction.strength=0.4", "--strength", "0.3"], ["given together", "choose one"]),
        (["--set", "correction.strength"], ["PATH=VALUE"]),
        (["--set", "engine.dtype=int4"], ["unknown engine.dtype 'int4'", "float32"]),
    ],
)
def test_set_refuses_in_one_line(capsys, own_folder, argv, words):
    line = refuse(capsys, "story", *STORY, *argv)
    assert all(word in line for word in words), line


def test_a_command_gets_no_field_twice():
    with video.make_context("video", ["--prompt", "A cat.", "--steps", "3"]) as context:
        parameters = gathered(context.params)
    assert parameters["given"].values == {"correction.num_inference_steps": 3}
    assert not any("__" in name for name in parameters)
