"""Inductor against eager: stages at an odd batch, packages kept on disk, and what is refused.

A compilation takes about twenty seconds, most of them for headers: the quick tests share a single one.
"""

import logging
import shutil
import zipfile

import pytest
import torch
from torch import nn

from acdc.compile import inductor, inductor_jit
from acdc.compile.backends import compile_stage, unsupported_reasons
from acdc.compile.cache import PlanCache
from acdc.compile.spec import StageSpec
from acdc.engine.runtime.backends import STAGES
from tests.helpers.stages import stage, stages

pytestmark = pytest.mark.toolchain
ATOL, RTOL = 2e-5, 1e-5  # float32: sums in another order
BATCH = 3
QUICK = ("arm_draw", "tokenizer_encoder", "vae_decoder")


class SideBySide(nn.Module):
    """Several stages as one: their inputs one after another, and so their results."""

    def __init__(self, runs, counts) -> None:
        super().__init__()
        self.runs, self.counts = nn.ModuleList(runs), counts

    def forward(self, *inputs):
        results = []
        for run, count in zip(self.runs, self.counts, strict=True):
            result, inputs = run(*inputs[:count]), inputs[count:]
            results += result if isinstance(result, tuple) else [result]
        return tuple(results)


class Sum(nn.Module):
    """x times a weight, plus another."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.tensor(2.0)), nn.Parameter(torch.tensor(1.0))

    def forward(self, x):
        return x * self.scale + self.shift


X = torch.arange(6.0).reshape(2, 3)
SPEC = StageSpec.of("sum", [X])


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
    """One folder for the module, so that a plan is built once."""
    return PlanCache(tmp_path_factory.mktemp("plans"))


@pytest.fixture(scope="module")
def three(tiny_engine):
    """Three stages as one, and their inputs."""
    chosen = [(run, inputs) for name, run, inputs in stages(tiny_engine, BATCH) if name in QUICK]
    run = SideBySide([run for run, _ in chosen], [len(inputs) for _, inputs in chosen])
    return run, [value for _, inputs in chosen for value in inputs]


@pytest.fixture
def package(three, plans):
    """The folder of their package."""
    run, inputs = three
    compile_stage(run, StageSpec.of("three", inputs), "inductor", plans)
    return next(plans.entries()).folder


@pytest.mark.slow  # compiles for a minute
@torch.no_grad()
def test_stages_equal_eager(three, plans):
    run, inputs = three
    plan = compile_stage(run, StageSpec.of("three", inputs), "inductor", plans)
    torch.testing.assert_close(plan(*inputs), run(*inputs), atol=ATOL, rtol=RTOL)
    other = [value + 0.5 if value.is_floating_point() else value for value in inputs]
    torch.testing.assert_close(plan(*other), run(*other), atol=ATOL, rtol=RTOL)


@pytest.mark.slow
@torch.no_grad()
def test_inputs_may_lie_in_memory_in_any_order(three, plans):
    run, inputs = three
    plan = compile_stage(run, StageSpec.of("three", inputs), "inductor", plans)
    turned = [value.transpose(0, -1).contiguous().transpose(0, -1) for value in inputs]
    assert not all(value.is_contiguous() for value in turned)
    assert_bit_equal(plan(*turned), plan(*inputs))


@torch.no_grad()
def test_results_outlive_the_next_call(three, plans):
    run, inputs = three
    plan = compile_stage(run, StageSpec.of("three", inputs), "inductor", plans)
    first = plan(*inputs)
    kept = [value.clone() for value in first]
    plan(*(value + 1 if value.is_floating_point() else value for value in inputs))
    assert_bit_equal(first, kept)


def test_another_shape_never_reaches_the_compiled_code(three, plans):
    run, inputs = three
    plan = compile_stage(run, StageSpec.of("three", inputs), "inductor", plans)
    with pytest.raises(AssertionError, match="checks no shape"):
        plan(inputs[0][:1], *inputs[1:])


@torch.no_grad()
def test_weights_there_and_back_without_a_stale_plan(three, plans, monkeypatch):
    """A from disk, B asks for a build of its own, A again from disk and bit-equal; nothing is compiled."""
    run, inputs = three
    spec = StageSpec.of("three", inputs)
    first = compile_stage(run, spec, "inductor", plans)(*inputs)
    monkeypatch.setattr(torch._inductor, "aoti_compile_and_package", lambda *_, **__: pytest.fail("compiles"))
    weight = run.runs[1].conv_in.weight
    original = weight.clone()
    weight.copy_(original * 1.5)
    with pytest.raises(pytest.fail.Exception, match="compiles"):
        compile_stage(run, spec, "inductor", plans)
    weight.copy_(original)
    assert_bit_equal(compile_stage(run, spec, "inductor", plans)(*inputs), first)


@torch.no_grad()
def test_a_damaged_package_is_built_again_with_one_line(three, plans, package, caplog, monkeypatch, tmp_path):
    run, inputs = three
    sound = shutil.copy(package / inductor.FILE, tmp_path)
    content = bytearray((package / inductor.FILE).read_bytes())
    content[len(content) // 2] ^= 1
    (package / inductor.FILE).write_bytes(content)
    monkeypatch.setattr(inductor, "save_package", lambda run, spec, folder: shutil.copy(sound, folder))
    with caplog.at_level(logging.WARNING, logger="acdc"):
        plan = compile_stage(run, StageSpec.of("three", inputs), "inductor", plans)
    torch.testing.assert_close(plan(*inputs), run(*inputs), atol=ATOL, rtol=RTOL)
    assert [record.name for record in caplog.records].count("acdc") == 1
    assert "damaged" in caplog.text


def test_a_package_holds_nothing_to_unpickle(package):
    """Exported programs and weights on disk are what torch's loader would unpickle."""
    names = [name.partition("/")[2] for name in zipfile.ZipFile(package / inductor.FILE).namelist()]
    models = [name for name in names if not name.startswith("data/aotinductor/model/")]
    assert sorted(models) == [
        ".data/serialization_id",
        ".data/version",
        "archive_format",
        "archive_version",
        "byteorder",
    ]
    assert {name.rpartition(".")[2] for name in names if name not in models} == {"cpp", "json", "so"}


def test_nothing_else_is_left_in_the_cache(package, plans):
    assert [path.name for path in plans.root.iterdir()] == [package.name]


def test_the_processor_and_the_threads_are_part_of_the_key(monkeypatch):
    here = inductor.machine("cpu")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 97)
    assert inductor.machine("cpu") != here
    assert "avx" in here.lower() or "neon" in here.lower() or "default" in here.lower()


@torch.no_grad()
def test_compiled_in_the_process_it_equals_eager_too(plans, monkeypatch):
    """Two shapes with room for one: the shapes of a stage do not count together."""
    monkeypatch.setattr(torch._dynamo.config, "recompile_limit", 1)
    run, wide = Sum(), torch.arange(10.0).reshape(2, 5)
    one = compile_stage(run, SPEC, "inductor-jit", plans)
    two = compile_stage(run, StageSpec.of("sum", [wide]), "inductor-jit", plans)
    for plan, x in ((one, X), (two, wide), (one, X + 1)):
        torch.testing.assert_close(plan(x), run(x), atol=ATOL, rtol=RTOL)
    run.scale.mul_(2)
    torch.testing.assert_close(one(X), run(X), atol=ATOL, rtol=RTOL)


def test_what_is_missing_is_said_with_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(inductor, "find_spec", lambda name: None)
    monkeypatch.setattr(inductor_jit.sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    no_compiler = "it needs a C++ compiler and finds no 'no-such-compiler': install g++, or name another one in CXX"
    assert unsupported_reasons(SPEC, "inductor") == [no_compiler]
    no_gpu = [no_compiler, "torch sees no CUDA device", "triton is not installed: pip install triton"]
    assert unsupported_reasons(StageSpec("sum", SPEC.inputs, "cuda"), "inductor") == no_gpu
    jit = unsupported_reasons(SPEC, "inductor-jit")
    assert jit[0] == no_compiler
    assert jit[1].endswith("install python3-dev")
    with pytest.raises(ValueError, match="on meta: it runs on cpu and cuda, not on meta; it needs a C"):
        compile_stage(Sum(), StageSpec.of("sum", [X.to("meta")]), "inductor", PlanCache(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("name", STAGES)
@torch.no_grad()
def test_every_stage_equals_eager(tiny_engine, plans, name):
    run, inputs = stage(tiny_engine, name, BATCH)
    plan = compile_stage(run, StageSpec.of(name, inputs), "inductor", plans)
    torch.testing.assert_close(plan(*inputs), run(*inputs), atol=ATOL, rtol=RTOL)


@pytest.mark.slow
@torch.no_grad()
def test_swapping_weights_there_and_back_is_bit_equal(plans):
    run, results = Sum(), []
    for factor in (1.0, 1.5, 1.0):
        run.scale.fill_(factor)
        results.append(compile_stage(run, SPEC, "inductor", plans)(X))
    assert torch.equal(results[0], results[2])
    assert torch.equal(results[1], 1.5 * X + 1)


def assert_bit_equal(one, other) -> None:
    assert len(one) == len(other)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
