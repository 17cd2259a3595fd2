"""OpenVINO against eager: every planned stage, odd batches, swapped weights, whole stories."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from acdc.compile import openvino
from acdc.compile.backends import compile_stage
from acdc.compile.cache import PlanCache
from acdc.compile.entry import find_adjacent, keep_adjacent
from acdc.compile.openvino_ir import without_gated_mlp, without_gelu_mlp
from acdc.compile.spec import StageSpec
from acdc.engine.engine import Engine
from acdc.engine.examples import EXAMPLES
from tests.helpers.margin import check_same_story
from tests.helpers.stages import stages

ATOL, RTOL = 2e-5, 1e-5  # float32: sums in another order
BF16 = 0.05  # of the output's norm: eight bits of mantissa, a dozen layers deep
SENTENCES = ["Benny the beagle sat in a garden.", "He ran.", "Benny slept near a log."]


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
    """One folder for the module, so that a plan is built once."""
    return PlanCache(tmp_path_factory.mktemp("plans"))


def outputs(found):
    return (found,) if isinstance(found, torch.Tensor) else found


def one_stage(engine):
    return next(stage for stage in stages(engine, 1) if stage[0] == "tokenizer_decoder")


@pytest.mark.parametrize("batch", [*(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2)), 3])
@torch.no_grad()
def test_every_stage_equals_eager(tiny_engine, plans, batch):
    for name, run, inputs in stages(tiny_engine, batch):
        plan = compile_stage(run, StageSpec.of(name, inputs), "openvino", plans)
        torch.testing.assert_close(plan(*inputs), run(*inputs), atol=ATOL, rtol=RTOL, msg=lambda m, n=name: f"{n}: {m}")


@torch.no_grad()
def test_a_second_plan_comes_from_disk(tiny_engine, plans, monkeypatch):
    name, run, inputs = one_stage(tiny_engine)
    spec = StageSpec.of(name, inputs)
    first = compile_stage(run, spec, "openvino", plans)(*inputs)
    monkeypatch.setattr(openvino, "save_ir", lambda *_: pytest.fail("built again"))
    assert torch.equal(compile_stage(run, spec, "openvino", plans)(*inputs), first)


@pytest.mark.long
@torch.no_grad()
def test_what_compiling_made_is_kept_and_a_damaged_copy_is_made_again(tiny_engine, tmp_path, caplog):
    name, run, inputs = one_stage(tiny_engine)
    spec, cache = StageSpec.of(name, inputs), PlanCache(tmp_path)
    wanted = compile_stage(run, spec, "openvino", cache)(*inputs)
    (kept,) = tmp_path.glob("*/compiled-*")
    whole = kept.read_bytes()
    for content in (whole, whole[:-1], b"", b"x" * 500):
        kept.write_bytes(content)
        assert torch.equal(compile_stage(run, spec, "openvino", cache)(*inputs), wanted)
        assert find_adjacent(kept.parent, kept.name) is not None
    data = b"not a compiled model"
    keep_adjacent(kept.parent, kept.name, data)  # whole, but of nothing that OpenVINO reads
    assert torch.equal(compile_stage(run, spec, "openvino", cache)(*inputs), wanted)
    assert "compiling again" in caplog.text
    assert len(list(cache.entries())) == 1


@pytest.mark.long
@torch.no_grad()
@pytest.mark.parametrize(
    "name", ["tokenizer_decoder", *(pytest.param(s, marks=pytest.mark.slow) for s in ("unet", "arm_draw"))]
)
def test_large_weights_are_kept_once_and_give_the_same_bits(tiny_engine, tmp_path, monkeypatch, name):
    _, run, inputs = next(stage for stage in stages(tiny_engine, 1) if stage[0] == name)
    spec = StageSpec.of(name, inputs)
    results, sizes = [], []
    for limit in (openvino.LARGE, 0):
        monkeypatch.setattr(openvino, "LARGE", limit)
        root = tmp_path / str(limit)
        results += [compile_stage(run, spec, "openvino", PlanCache(root))(*inputs) for _ in range(2)]
        (kept,) = root.glob("*/compiled-*")
        sizes.append(kept.stat().st_size)
    assert sizes[1] < sizes[0] - openvino.size(kept.parent) / 2
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], rtol=0, atol=0)


@torch.no_grad()
def test_strided_inputs_are_read_right(tiny_engine, plans):
    """Views and expansions are copied for the call, and the copies live as long as it does."""
    for name, run, inputs in stages(tiny_engine, 3):
        strange = [
            value.transpose(0, -1).contiguous().transpose(0, -1) if value.dim() > 1 else value for value in inputs
        ]
        plan = compile_stage(run, StageSpec.of(name, inputs), "openvino", plans)
        torch.testing.assert_close(plan(*strange), plan(*inputs), rtol=0, atol=0, msg=name)


@torch.no_grad()
def test_results_outlive_the_next_call(tiny_engine, plans):
    name, run, inputs = one_stage(tiny_engine)
    plan = compile_stage(run, StageSpec.of(name, inputs), "openvino", plans)
    first = plan(*inputs)
    kept = first.clone()
    plan(inputs[0] + 1)
    assert torch.equal(first, kept)


def test_no_thread_is_bound_to_a_core(tiny_engine, plans):
    """While a plan runs, bound threads of two processes would share one core and leave another one idle."""
    name, run, inputs = one_stage(tiny_engine)
    plan = compile_stage(run, StageSpec.of(name, inputs), "openvino", plans)
    compiled = plan.request.get_compiled_model()
    assert compiled.get_property("ENABLE_CPU_PINNING") is False
    assert compiled.get_property("INFERENCE_NUM_THREADS") == torch.get_num_threads()


@torch.no_grad()
def test_swapping_weights_there_and_back_is_bit_equal(tiny_engine, plans):
    """No stale plan: A, then B, then A again."""
    name, run, inputs = one_stage(tiny_engine)
    spec, weight = StageSpec.of(name, inputs), run.conv_in.weight
    original = weight.clone()
    results = []
    for factor in (1.0, 1.5, 1.0):
        weight.copy_(original * factor)
        results.append(compile_stage(run, spec, "openvino", plans)(*inputs))
    weight.copy_(original)
    assert torch.equal(results[0], results[2])
    assert not torch.allclose(results[0], results[1])


@pytest.mark.toolchain
@pytest.mark.parametrize(
    "options",
    [
        {},
        pytest.param({"guidance_scale": 1.0}, marks=pytest.mark.slow),
        pytest.param({"sample_posterior": True, "context": "full"}, marks=pytest.mark.slow),
    ],
)
def test_stories_are_the_same_by_the_margin_rule(tiny_path, tiny_engine, plans, options):
    engine = Engine.from_pretrained(tiny_path, backend="openvino", cache=plans)
    options = {"num_inference_steps": 6, **options}
    for seed in range(3):
        reference = tiny_engine.generate(SENTENCES, seed=seed, **options)
        check_same_story(tiny_engine, reference, engine.generate(SENTENCES, seed=seed, **options))


@pytest.mark.long
def test_a_batch_of_stories_too(tiny_path, tiny_engine, plans):
    engine = Engine.from_pretrained(tiny_path, backend="unet=openvino", cache=plans)
    chosen = {"stories": [SENTENCES] * 3, "seeds": [1, 2, 3], "num_inference_steps": 6}
    for one, other in zip(tiny_engine.generate_batch(**chosen), engine.generate_batch(**chosen), strict=True):
        check_same_story(tiny_engine, one, other)
        assert np.abs(one.images[0].astype(int) - other.images[0]).max() <= 1


@pytest.mark.slow
def test_a_hundred_stories_of_the_bundle_are_the_same_by_the_margin_rule():
    """Plans and parallel decoding against eager, one code after another; twenty stories side by side."""
    reference = Engine.from_pretrained("storyworld")
    engine = Engine.from_pretrained("storyworld", backend="openvino")
    flips = 0
    for first in range(0, 100, 20):
        chosen = {"stories": [EXAMPLES["benny"][:2]] * 20, "seeds": range(first, first + 20)}
        wanted = reference.generate_batch(**chosen, decoding="sequential")
        for one, other in zip(wanted, engine.generate_batch(**chosen, decoding="parallel"), strict=True):
            flips += check_same_story(reference, one, other)
    print(f"{flips} of 100 stories parted at a near tie")
    assert flips <= 10


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_another_dtype_is_refused_before_anything_is_loaded(tiny_path, plans, dtype):
    takes = "it takes float32, bfloat16, int64 and bool"
    with pytest.raises(ValueError, match=f"'openvino' cannot run arm_prefill in {dtype} on cpu: {takes}, not {dtype}"):
        Engine.from_pretrained(tiny_path, dtype=dtype, backend="openvino", cache=plans)


@torch.no_grad()
@pytest.mark.parametrize("backend", ["openvino", "openvino-bf16"])
@pytest.mark.toolchain
def test_a_model_in_bfloat16_is_computed_in_bfloat16(tiny_path, tiny_engine, plans, monkeypatch, backend):
    """Weights, inputs and outputs in bfloat16; with another CPU it is refused with the reason."""
    if "BF16" in openvino.capabilities():
        with monkeypatch.context() as patch:
            patch.setattr(
                "acdc.engine.runtime.execution.pack", lambda *_: None
            )  # plans are made of weights as they are
            half = Engine.from_pretrained(tiny_path, dtype="bfloat16", backend="eager")
        for (name, run, inputs), (_, wide, _) in zip(stages(half, 2), stages(tiny_engine, 2), strict=True):
            found = compile_stage(run, StageSpec.of(name, inputs), backend, plans)(*inputs)
            wanted = wide(*(value.float() if value.is_floating_point() else value for value in inputs))
            dtypes = [value.dtype for value in outputs(run(*inputs))]
            for one, other, dtype in zip(outputs(found), outputs(wanted), dtypes, strict=True):
                assert one.dtype == dtype, name
                if other.is_floating_point():
                    assert (one.float() - other).norm() <= BF16 * other.norm(), name
        engine = Engine.from_pretrained(tiny_path, dtype="bfloat16", backend=backend, cache=plans)
        assert engine.generate(SENTENCES[:2], num_inference_steps=4).images[1].any()
    monkeypatch.setattr(openvino, "capabilities", lambda: ["FP32"])
    with pytest.raises(ValueError, match="in bfloat16 on cpu: this CPU has no bfloat16 units"):
        Engine.from_pretrained(tiny_path, dtype="bfloat16", backend=backend, cache=plans)


@torch.no_grad()
def test_bfloat16_is_near_eager_where_the_cpu_has_it_and_refused_elsewhere(tiny_engine, plans):
    for name, run, inputs in stages(tiny_engine, 3):
        spec = StageSpec.of(name, inputs)
        if "BF16" not in openvino.capabilities():
            with pytest.raises(ValueError, match="this CPU has no bfloat16 units"):
                compile_stage(run, spec, "openvino-bf16", plans)
            continue
        wanted, found = run(*inputs), compile_stage(run, spec, "openvino-bf16", plans)(*inputs)
        for ours, theirs in zip(outputs(found), outputs(wanted), strict=True):
            assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype), name
            if ours.is_floating_point():
                assert (ours - theirs).norm() <= BF16 * theirs.norm(), name
            else:  # a near tie may fall the other way: of each row's codes one is drawn, the others are handed through
                assert (ours != theirs).sum() <= len(ours), name
                assert 0 <= ours.min() <= ours.max() < tiny_engine.models.arm.stream.codebook_size, name


@pytest.mark.parametrize("beta", [None, 1.0, 1.7])
@torch.no_grad()
def test_a_gated_layer_without_the_plugins_own_node_computes_the_same(beta):
    """With one thread and bfloat16 that node ends the process (openvino_ir.py)."""
    import openvino as ov
    from openvino import opset13 as ops
    from openvino.utils.node_factory import NodeFactory

    weights = torch.randn(3, 512, 192, generator=torch.Generator().manual_seed(1))
    given = ops.parameter([1, 5, 192], np.float32)
    gate, up = (ops.matmul(given, ops.constant(w.numpy()), False, True) for w in weights[:2])
    node = {"type_name": "Swish", "arguments": [gate.output(0)], "attributes": {}}
    if beta is not None:
        node["arguments"].append(ops.constant(np.float32(beta)).output(0))
    swish = NodeFactory("opset13").create(*node.values())
    model = ov.Model([ops.matmul(ops.multiply(swish, up), ops.constant(weights[2].numpy()), False, False)], [given])
    assert without_gated_mlp(model) == 1
    assert without_gated_mlp(model) == 0, "none is left"
    assert not [op for op in model.get_ops() if op.get_type_name() == "Swish"]
    inputs = torch.randn(1, 5, 192, generator=torch.Generator().manual_seed(2)) / 10
    gate, up = inputs @ weights[0].T, inputs @ weights[1].T
    wanted = (gate * torch.sigmoid((beta or 1) * gate) * up) @ weights[2]
    options = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    found = torch.from_numpy(ov.Core().compile_model(model, "CPU", options)(inputs.numpy())[0])
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.long
def test_bfloat16_shares_the_stored_plan(tiny_engine, tmp_path, monkeypatch):
    monkeypatch.setattr(openvino, "capabilities", lambda: ["FP32", "BF16"])
    name, run, inputs = one_stage(tiny_engine)
    cache = PlanCache(tmp_path)
    for backend in ("openvino", "openvino-bf16"):
        compile_stage(run, StageSpec.of(name, inputs), backend, cache)
    assert len(list(cache.entries())) == 1


@pytest.mark.long
@torch.no_grad()
def test_a_gelu_layer_apart_computes_the_same_and_hides_no_nan():
    """In bfloat16 with one thread the plugin's own node for it divides by zero (openvino_ir.py)."""
    import openvino as ov
    from openvino import opset13 as ops

    weights = torch.randn(3, 512, 192, generator=torch.Generator().manual_seed(1)) / 20
    given = ops.parameter([1, 5, 192], np.float32)
    gate, up = (ops.matmul(given, ops.constant(w.numpy()), False, True) for w in weights[:2])
    product = ops.multiply(ops.gelu(gate, "ERF"), up)
    model = ov.Model([ops.matmul(product, ops.constant(weights[2].numpy()), False, False), product], [given])
    assert without_gelu_mlp(model) == 1
    assert without_gelu_mlp(model) == 0, "none is left"
    inputs = torch.randn(1, 5, 192, generator=torch.Generator().manual_seed(2))
    wanted = torch.nn.functional.gelu(inputs @ weights[0].T) * (inputs @ weights[1].T) @ weights[2]
    options = {"INFERENCE_NUM_THREADS": 1}
    precisions = ["f32", "bf16"] if "BF16" in openvino.capabilities() else ["f32"]
    for precision in precisions:
        compiled = ov.Core().compile_model(model, "CPU", options | {"INFERENCE_PRECISION_HINT": precision})
        bound = 1e-4 if precision == "f32" else BF16
        assert np.linalg.norm(compiled(inputs.numpy())[0] - wanted.numpy()) <= bound * wanted.norm()
        assert np.isnan(compiled(np.full((1, 5, 192), np.nan, np.float32))[0]).all()


@pytest.mark.long
def test_its_conversion_reports_nothing_over_the_network():
    code = "import acdc.compile.openvino; from openvino.tools.ovc import telemetry_utils; print(telemetry_utils.tm)"
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert "telemetry_stub" in done.stdout
