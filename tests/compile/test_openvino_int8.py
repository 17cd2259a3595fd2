"""The UNet in int8: its samples, its plan, what is refused."""

import pytest
import torch

from acdc.bench import workloads
from acdc.compile import openvino_int8
from acdc.compile.backends import compile_stage, unsupported_reasons
from acdc.compile.cache import PlanCache
from acdc.compile.openvino_int8 import Calibration, saturates
from acdc.compile.openvino_ir import FILE
from acdc.compile.spec import StageSpec
from acdc.engine.engine import Engine
from acdc.engine.pipeline.calibration import SENTENCES, STEPS, STORIES, rows_of, unet_samples
from acdc.engine.runtime.compiled import UNetPass

INT8 = 0.2  # of the output's norm: a tiny network of random weights; bfloat16's bound is .05


def unet_stage(engine, batch):
    tokens = engine.models.corrector.embed(["a beagle"])[0].shape[1]
    every = workloads.stages(engine, batch, slots=12, text_tokens=tokens)
    return next(stage for stage in every if stage[0] == "unet")


def test_rows_belong_to_stories_and_begin_again():
    both = torch.arange(8).reshape(8, 1)  # four stories, unconditional rows first
    assert rows_of(both, range(3, 5), 4).flatten().tolist() == [3, 0, 7, 4]
    assert rows_of(both[:4], range(1, 2), 4).flatten().tolist() == [1]
    assert rows_of(both[:1], range(3), 4).shape == (1, 1)


@pytest.mark.parametrize(("rows", "portions"), [(1, 4), (3, 2)])
def test_samples_have_the_shapes_of_the_plan_and_are_the_same_each_time(tiny_engine, rows, portions):
    _, _, inputs = unet_stage(tiny_engine, rows)
    spec = StageSpec.of("unet", inputs)
    first, again = (unet_samples(tiny_engine.models, tiny_engine.defaults, spec) for _ in range(2))
    assert len(first) == SENTENCES * STEPS * portions
    assert len(STORIES) == 4
    for one, other in zip(first, again, strict=True):
        assert StageSpec.of("unet", one) == spec
        assert all(torch.equal(mine, yours) for mine, yours in zip(one, other, strict=True))
    assert not torch.equal(first[0][0], first[-1][0])


def test_other_pictures_than_the_bundle_draws_are_refused(tiny_engine):
    _, _, (latents, *rest) = unet_stage(tiny_engine, 1)
    spec = StageSpec.of("unet", (torch.cat((latents, latents), -1), *rest))
    with pytest.raises(ValueError, match="cannot be calibrated: corrections of this bundle have other shapes"):
        unet_samples(tiny_engine.models, tiny_engine.defaults, spec)


def test_a_missing_package_and_another_stage_are_refused_by_name(tiny_path, tiny_engine, monkeypatch):
    monkeypatch.setattr(openvino_int8, "installed", lambda name: None)
    spec = StageSpec.of("unet", unet_stage(tiny_engine, 1)[2])
    assert unsupported_reasons(spec, "openvino-int8") == ["nncf is not installed: pip install 'acdc-engine[int8]'"]
    monkeypatch.setattr(openvino_int8, "installed", lambda name: "3")
    assert unsupported_reasons(spec, "openvino-int8") == []
    with pytest.raises(ValueError, match="cannot run arm_prefill in float32 on cpu: only unet can be in int8"):
        Engine.from_pretrained(tiny_path, backend="openvino-int8")


@pytest.mark.parametrize(
    ("found", "expected"),
    [("avx2", True), ("avx2 avx512f", True), ("avx2 avx_vnni", False), ("avx2 avx512_vnni", False), ("asimd", False)],
)
def test_weights_use_half_of_their_range_where_products_saturate(found, expected):
    """AMD EPYC with AVX2: the error of a tiny UNet was .29 with all of it."""
    assert saturates(found.split()) is expected


@pytest.mark.toolchain
@torch.no_grad()
def test_the_plan_is_near_eager_in_int8_and_is_kept(tiny_engine, tmp_path):
    pytest.importorskip("nncf")
    _, run, inputs = unet_stage(tiny_engine, 1)
    spec, asked = StageSpec.of("unet", inputs), []

    def samples(spec):
        asked.append(spec)
        return [inputs] * 2

    cache = PlanCache(tmp_path)
    staged = UNetPass(run.unet, Calibration("one", samples))
    wanted, results = run(*inputs), []
    for _ in range(2):
        results.append(compile_stage(staged, spec, "openvino-int8", cache)(*inputs))
    assert asked == [spec], "the second plan comes from disk"
    assert torch.equal(*results)
    error = (results[0] - wanted).norm() / wanted.norm()
    assert 0 < error < INT8
    ir = next(path for path in tmp_path.glob(f"*/{FILE}") if "FakeQuantize" in path.read_text())
    assert 'element_type="i8"' in ir.read_text()
    other = UNetPass(run.unet, Calibration("two", lambda spec: pytest.fail("asked")))
    with pytest.raises(pytest.fail.Exception, match="asked"):  # another calibration is another plan
        compile_stage(other, spec, "openvino-int8", cache)
