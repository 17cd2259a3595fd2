"""Every stage as a checked ONNX file that ONNX Runtime runs to the results of eager."""

from dataclasses import replace

import onnx
import pytest
import torch
from torch import nn

from acdc.compile import onnx_export
from acdc.compile.onnx_export import check_against_eager, export_onnx, input_names
from acdc.compile.spec import StageSpec
from acdc.engine.runtime.backends import STAGES
from tests.helpers.stages import stage

TOLERANCE = 2e-5  # float32: sums in another order


class Blend(nn.Module):
    """Two results, an int64 input, and inputs that follow one another."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.arange(12.0).reshape(4, 3))

    def forward(self, codes, *parts):
        mixed = self.table[codes] + parts[0] * parts[1]
        return mixed, mixed.argmax(-1)


BLEND = [torch.tensor([3, 0, 2]), torch.rand(3, 3), torch.rand(3, 3)]
SPEC = StageSpec.of("blend", BLEND)


@pytest.fixture(scope="module")
def blend(tmp_path_factory):
    """Its file."""
    return export_onnx(Blend(), SPEC, tmp_path_factory.mktemp("blend"))


@pytest.mark.toolchain
@pytest.mark.parametrize(("name", "batch"), [*((name, 3) for name in STAGES), ("tokenizer_encoder", 1)])
def test_every_stage_equals_eager(tiny_engine, tmp_path, name, batch):
    run, inputs = stage(tiny_engine, name, batch)
    path = export_onnx(run, StageSpec.of(name, inputs), tmp_path)
    check_against_eager(run, path, inputs, TOLERANCE)


@pytest.mark.long
def test_tensors_are_named_as_the_stage_names_them(blend):
    graph = onnx.load(blend).graph
    assert [value.name for value in graph.input] == ["codes", "parts_0", "parts_1"]
    assert [value.name for value in graph.output] == ["output_0", "output_1"]
    kinds = [value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)]
    assert kinds == [7, 1, 1, 1, 7]  # int64 and float32
    assert [[axis.dim_value for axis in value.type.tensor_type.shape.dim] for value in graph.output] == [[3, 3], [3]]
    check_against_eager(Blend(), blend, BLEND, 0)


@pytest.mark.long
def test_it_is_traced_where_the_weights_lie(tmp_path):
    path = export_onnx(Blend(), replace(SPEC, device="cuda"), tmp_path)
    check_against_eager(Blend(), path, BLEND, 0)


@pytest.mark.parametrize(("weight", "found"), [(9.001, r".*e-0."), (torch.nan, "nan")])
def test_a_file_of_other_weights_does_not_pass(blend, weight, found):
    run = Blend()
    run.table.data[3, 0] = weight
    with pytest.raises(ValueError, match=rf"differs from eager by {found}, more than 1\.0e-06") as error:
        check_against_eager(run, blend, BLEND, 1e-6)
    assert "\n" not in str(error.value)


@pytest.mark.long
def test_every_file_is_checked(tmp_path, monkeypatch):
    def refuse(path):
        raise onnx.checker.ValidationError(path)

    monkeypatch.setattr(onnx.checker, "check_model", refuse)
    with pytest.raises(onnx.checker.ValidationError, match=onnx_export.FILE):
        export_onnx(Blend(), SPEC, tmp_path)


def test_missing_packages_are_all_named_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "installed", lambda name: None)
    with pytest.raises(ValueError, match=r"blend.* cannot be exported") as error:
        export_onnx(Blend(), SPEC, tmp_path)
    for name in ("onnx", "onnxscript"):
        assert f"{name} is not installed: pip install 'acdc-engine[onnx]'" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_too_many_tensors_are_our_mistake():
    with pytest.raises(AssertionError, match="not 2 tensors"):
        input_names(nn.Identity(), 2)
