"""Which backend runs which stage."""

import json
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from acdc.compile import auto, openvino, processor
from acdc.compile.auto import LOSSY_STAGES
from acdc.compile.builder import PlanRefused
from acdc.compile.cache import PlanCache
from acdc.engine.cli.info import collect, print_info
from acdc.engine.cli.main import main
from acdc.engine.engine import Engine
from acdc.engine.options import BACKEND_VARIABLE, PRECISIONS, StoryOptions
from acdc.engine.runtime import automatic
from acdc.engine.runtime.backends import STAGES, describe, parse_backends, refusals
from acdc.engine.runtime.compiled import PlannedModule, PlannedUNet

CPU, F32 = torch.device("cpu"), torch.float32


def all_on(backend):
    """Every stage; the correction is not made one plan unless it is asked for by name."""
    return {**dict.fromkeys(STAGES, backend), "correction": "eager"}


def test_one_name_is_for_all_stages():
    assert parse_backends("openvino", CPU, F32) == all_on("openvino")


def test_named_stages_leave_the_others_eager():
    chosen = parse_backends("unet=openvino,vae_decoder=eager", CPU, F32)
    assert chosen == {**all_on("eager"), "unet": "openvino"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fast", "unknown backend 'fast'; choose among auto, eager, openvino"),
        ("", "unknown backend ''; choose among auto"),
        ("unet=fast", "unknown backend 'fast'"),
        ("unet=", "unknown backend ''"),
        ("vae=eager", "unknown stage 'vae' in backend 'vae=eager'; choose among arm_prefill"),
        ("unet=eager,", "unknown stage ''"),
        ("correction=openvino,unet=openvino", "correction holds unet; choose one or the other"),
    ],
)
def test_mistakes_name_the_value_and_the_choices(text, message):
    with pytest.raises(ValueError, match=message):
        parse_backends(text, CPU, F32)


def test_eager_stages_are_left_alone(tiny_path):
    models = Engine.from_pretrained(tiny_path).models
    assert not any(isinstance(module, PlannedModule | PlannedUNet) for module in models.tokenizer.modules())
    assert not isinstance(models.corrector.unet, PlannedUNet)


@pytest.mark.long
def test_the_backend_is_part_of_what_decides_a_story(tiny_path):
    engine = Engine.from_pretrained(tiny_path, backend="unet=openvino")
    assert engine.settings(StoryOptions())["backend"] == "unet=openvino"
    assert isinstance(engine.models.corrector.unet, PlannedUNet)


def test_auto_is_what_nobody_chose(tiny_path, monkeypatch):
    """The suite's own default is eager, by the variable that users have too."""
    monkeypatch.delenv(BACKEND_VARIABLE)
    assert Engine.from_pretrained(tiny_path).backend == Engine.from_pretrained(tiny_path, backend="auto").backend
    monkeypatch.setenv(BACKEND_VARIABLE, "unet=openvino")
    assert Engine.from_pretrained(tiny_path).backend == "unet=openvino"
    assert Engine.from_pretrained(tiny_path, backend="eager").backend == "eager"
    monkeypatch.setenv(BACKEND_VARIABLE, "fast")
    with pytest.raises(ValueError, match="unknown backend 'fast'; choose among auto"):
        Engine.from_pretrained(tiny_path)


@pytest.mark.parametrize(
    ("known", "exact", "lossy"),
    [
        ({"avx2", "avx512f", "avx512_bf16", "amx_bf16"}, "openvino", "openvino-bf16"),
        ({"avx2", "avx512f"}, "openvino", "openvino"),
        ({"avx2"}, "openvino", "openvino"),
        ({"sse4_2"}, "eager", "eager"),
        (set(), "eager", "eager"),
    ],
)
def test_auto_is_chosen_by_the_processors_class(monkeypatch, known, exact, lossy):
    monkeypatch.setattr(processor, "instructions", lambda: frozenset(known))
    monkeypatch.setattr(openvino, "capabilities", lambda: ["FP32", "BF16"])
    assert parse_backends("auto", CPU, F32) == all_on(exact)
    rounded = parse_backends("auto", CPU, F32, "bf16")
    assert {rounded[stage] for stage in LOSSY_STAGES} == {lossy}
    assert {rounded[stage] for stage in STAGES if stage not in LOSSY_STAGES} == {exact}


def test_on_a_gpu_nothing_is_measured():
    assert parse_backends("auto", torch.device("cuda"), F32) == all_on("eager")


def test_a_precision_that_decides_nothing_is_refused(tiny_path):
    assert PRECISIONS == auto.PRECISIONS
    with pytest.raises(ValueError, match="precision 'bf16' needs a backend that is auto; 'eager' is chosen already"):
        Engine.from_pretrained(tiny_path, backend="eager", precision="bf16")
    with pytest.raises(ValueError, match="unknown precision 'fp4'; choose one of exact, bf16"):
        Engine.from_pretrained(tiny_path, backend="auto", precision="fp4")


def test_auto_leaves_to_pytorch_what_plans_cannot_serve(tiny_path, monkeypatch):
    one = partial(Engine.from_pretrained, tiny_path, backend="auto")
    quantized = one(quantization="int8").copies.backends
    assert {quantized["arm_draw"], quantized["arm_prefill"], quantized["unet"]} == {"eager", "openvino"}
    assert quantized["unet"] == "openvino"
    assert one(kernels="triton").backend == "eager"
    monkeypatch.setattr(automatic, "MOST_BYTES", 10_000)
    assert one().copies.backends["unet"] == "eager"
    assert Engine.from_pretrained(tiny_path, backend="openvino").backend == "openvino"  # asked for by name


def test_auto_makes_no_plans_for_a_run_too_short_to_win_back_their_cost(tiny_path):
    one = partial(Engine.from_pretrained, tiny_path)
    assert one(backend="auto", num_frames=automatic.MIN_FRAMES - 1).backend == "eager"
    assert one(backend="auto", num_frames=automatic.MIN_FRAMES).backend == one(backend="auto").backend == "openvino"
    assert one(backend="openvino", num_frames=1).backend == "openvino"  # asked for by name
    assert one(backend="auto", precision="bf16", num_frames=1).backend != "eager"  # rounding is asked for by name


@pytest.mark.parametrize("frames", [automatic.MIN_FRAMES - 1, automatic.MIN_FRAMES])
def test_the_commands_say_how_long_their_runs_are(tiny_path, tmp_path, monkeypatch, frames):
    monkeypatch.chdir(tmp_path)
    found = []

    def loads(*_, num_frames, **__):
        found.append(num_frames)
        raise ValueError("enough")

    monkeypatch.setattr(Engine, "from_pretrained", loads)
    bundle = ["--bundle", str(tiny_path)]
    assert main(["story", *["A fox sat."] * frames, *bundle]) == 2
    stories = [{"sentences": ["A fox sat."] * length} for length in (frames - 2, 2)]
    (tmp_path / "stories.jsonl").write_text("\n".join(map(json.dumps, stories)))
    assert main(["generate", "--stories", "stories.jsonl", *bundle]) == 2
    assert main(["video", "--prompt", "A fox sat.", "--frames", str(frames), *bundle]) == 2
    assert found == [frames] * 3


def test_auto_goes_on_where_a_stage_cannot_be_translated(tiny_path, tmp_path, monkeypatch, caplog):
    def cannot(*_):
        raise PlanRefused("backend 'openvino' cannot translate it")

    monkeypatch.setattr(openvino, "save_ir", cannot)
    engine = Engine.from_pretrained(tiny_path, backend="tokenizer_decoder=auto", cache=PlanCache(tmp_path))
    assert engine.generate(["Benny sat.", "He ran."], correction=False).images[1].any()
    said = [record.message for record in caplog.records]
    assert said == ["backend 'openvino' cannot translate it; going on with eager"]


def test_auto_is_the_fastest_exact_backend_that_can_serve(tiny_path, monkeypatch):
    assert parse_backends("auto", CPU, F32) == all_on("openvino")
    assert parse_backends("auto", CPU, torch.float64) == all_on("eager")
    assert parse_backends("unet=auto", CPU, F32) == {**all_on("eager"), "unet": "openvino"}
    assert Engine.from_pretrained(tiny_path, backend="auto").backend == "openvino"
    monkeypatch.setattr(openvino, "installed", lambda name: None)
    assert Engine.from_pretrained(tiny_path, backend="auto").backend == "eager"


@given(st.fixed_dictionaries({stage: st.sampled_from(["eager", "openvino"]) for stage in STAGES}))
def test_a_description_reads_back_as_the_same_choice(backends):
    backends |= {"correction": "eager"}
    assert parse_backends(describe(backends), CPU, F32) == backends


def test_the_whole_correction_is_described_too():
    chosen = parse_backends("correction=openvino,arm_draw=openvino", CPU, F32)
    assert chosen == {**all_on("eager"), "arm_draw": "openvino", "correction": "openvino"}
    assert parse_backends(describe(chosen), CPU, F32) == chosen


def test_what_is_missing_is_said_with_what_to_do(monkeypatch, capsys):
    assert refusals(CPU)["openvino"] == {stage: [] for stage in (*STAGES, "correction")}
    assert "it runs on cuda, not on cpu" in refusals(CPU)["cudagraph"]["unet"]
    monkeypatch.setattr(openvino, "installed", lambda name: None)
    assert refusals(CPU)["openvino"]["unet"] == ["openvino is not installed: pip install openvino"]
    print_info(collect())
    printed = capsys.readouterr().out
    assert "not available: openvino is not installed: pip install openvino" in printed
    row = next(line.split() for line in printed.splitlines() if line.split()[:1] == ["unet"])
    assert row[1:3] == ["yes", "no"]
