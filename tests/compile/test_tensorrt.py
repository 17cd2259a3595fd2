"""TensorRT without a GPU: real engines of the bundle's stages; how plans run, over a stand-in for the GPU's half."""

import ctypes
from dataclasses import replace
from types import SimpleNamespace

import pytest
import tensorrt_rtx
import torch
from torch import nn

from acdc.compile import tensorrt
from acdc.compile.backends import compile_stage, unsupported_reasons
from acdc.compile.cache import PlanCache, intact
from acdc.compile.spec import StageSpec
from acdc.compile.tensorrt import FILE, TENSORRT, TENSORRT_RTX, TensorRT, TensorRTPlan
from acdc.engine.engine import Engine
from tests.helpers.stages import stage


class Scale(nn.Module):
    def __init__(self, factor: float = 2.0) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.full((5,), factor))

    def forward(self, x):
        return x * self.factor


def for_cuda(name, inputs):
    return replace(StageSpec.of(name, inputs), device="cuda")


X = torch.arange(15.0).reshape(3, 5)
SPEC = for_cuda("scale", [X])


@pytest.fixture(scope="module")
def engine():
    return Engine.from_pretrained("storyworld")


@pytest.fixture
def plans(tmp_path):
    return PlanCache(tmp_path / "plans")


class TestBuild:
    @pytest.mark.toolchain
    @pytest.mark.parametrize(
        ("bundle", "name"),
        [
            ("tiny_engine", "tokenizer_decoder"),
            ("tiny_engine", "tokenizer_encoder"),
            ("engine", "vae_decoder"),
            ("engine", "vae_encoder"),
            pytest.param("engine", "tokenizer_decoder", marks=pytest.mark.slow),
            pytest.param("engine", "tokenizer_encoder", marks=pytest.mark.slow),
        ],
    )
    def test_the_bundles_stages_are_built_once(self, request, plans, monkeypatch, bundle, name):
        run, inputs = stage(request.getfixturevalue(bundle), name, 3)
        folder = self.build_once(run, for_cuda(name, inputs), plans, monkeypatch)
        assert (folder / FILE).stat().st_size > sum(value.nbytes for value in run.state_dict().values())

    @pytest.mark.parametrize("bundle", ["tiny_engine", pytest.param("engine", marks=pytest.mark.slow)])
    @pytest.mark.toolchain
    def test_so_is_a_unet(self, request, plans, monkeypatch, bundle):
        """Projections of the context and the timestep are not part of a pass: it may be smaller than its weights."""
        run, inputs = stage(request.getfixturevalue(bundle), "unet", 3)
        self.build_once(run, for_cuda("unet", inputs), plans, monkeypatch)

    def build_once(self, run, spec, plans, monkeypatch):
        folder = TENSORRT_RTX.stored(run, spec, plans)
        assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", FILE]
        monkeypatch.setattr(TensorRT, "build_engine", lambda *_: pytest.fail("built again"))
        assert TENSORRT_RTX.stored(run, spec, plans) == folder
        return folder

    @pytest.mark.long
    def test_a_damaged_engine_is_built_again(self, plans, caplog):
        file = TENSORRT_RTX.stored(Scale(), SPEC, plans) / FILE
        whole = file.read_bytes()
        file.write_bytes(whole[:-1])
        assert TENSORRT_RTX.stored(Scale(), SPEC, plans) == file.parent
        assert file.read_bytes() == whole
        assert ["damaged" in record.getMessage() for record in caplog.records if record.name == "acdc"] == [True]

    @pytest.mark.toolchain
    def test_other_weights_are_another_engine(self, plans):
        """No stale plan: A, then B, then A again."""
        files = [TENSORRT_RTX.stored(Scale(factor), SPEC, plans) / FILE for factor in (2.0, 3.0, 2.0)]
        assert files[0] == files[2] != files[1]
        assert files[0].read_bytes() != files[1].read_bytes()

    @pytest.mark.long
    def test_what_tensorrt_cannot_parse_is_one_line(self, tmp_path):
        class Determinant(nn.Module):
            def forward(self, x):
                return torch.linalg.det(x)

        spec = for_cuda("determinant", [torch.eye(3)])
        with pytest.raises(
            ValueError, match=r"'tensorrt-rtx' cannot build determinant\(3x3 float32\) on cuda: .*operator: Det"
        ) as error:
            TENSORRT_RTX.build_engine(Determinant(), spec, tmp_path)
        assert "\n" not in str(error.value)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.toolchain
    def test_what_one_build_measures_is_kept_for_the_next(self, tmp_path):
        """The package for RTX keeps the calls, though it measures nothing."""
        path = tmp_path / "timings"
        for content in (None, b"not timings"):
            if content is not None:
                path.write_bytes(content)
            with pytest.warns(DeprecationWarning, match="[Tt]iming cache"):
                TENSORRT_RTX.build_engine(Scale(), SPEC, tmp_path, path)
            assert len(path.read_bytes()) > 100
        assert sorted(file.name for file in tmp_path.iterdir()) == [FILE, "timings"]


class TestReasons:
    def test_a_machine_without_a_gpu_lists_all(self, monkeypatch, plans):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setattr(tensorrt, "installed", lambda name: None)
        spec = StageSpec.of("scale", [X.double()])
        for backend, command in (
            ("tensorrt", "pip install --extra-index-url https://pypi.nvidia.com 'acdc-engine[tensorrt]'"),
            ("tensorrt-rtx", "pip install 'acdc-engine[tensorrt-rtx]'"),
        ):
            with pytest.raises(ValueError, match="cannot run") as error:
                compile_stage(Scale(), spec, backend, plans)
            reasons = unsupported_reasons(spec, backend)
            assert f"{backend} is not installed: {command}" in reasons
            assert "it takes float32, float16, bfloat16, int64, bool, not float64" in reasons
            assert "it runs on cuda, not on cpu" in reasons
            assert "this machine has no CUDA device" in reasons
            assert len(reasons) == 4
            assert all(reason in str(error.value) for reason in reasons)
            assert "\n" not in str(error.value)

    def test_a_missing_exporter_is_among_them(self, monkeypatch):
        monkeypatch.setattr(tensorrt, "missing_packages", lambda: ["onnx is not installed"])
        assert "onnx is not installed" in unsupported_reasons(SPEC, "tensorrt-rtx")

    def test_a_gpu_and_the_package_are_enough(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        assert unsupported_reasons(SPEC, "tensorrt-rtx") == []

    def test_only_the_package_for_rtx_builds_without_a_gpu(self, monkeypatch, tmp_path):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        assert TENSORRT_RTX.build_reasons(SPEC) == []
        with pytest.raises(ValueError, match=r"'tensorrt' cannot build scale\(.*this machine has no CUDA device"):
            TENSORRT.build_engine(Scale(), SPEC, tmp_path)

    def test_a_number_type_is_refused_before_anything_is_built(self, tmp_path):
        spec = for_cuda("scale", [X.double()])
        with pytest.raises(ValueError, match=r"cannot build .*not float64"):
            TENSORRT_RTX.build_engine(Scale(), spec, tmp_path)


class Context:
    """An execution context's work on its addresses, computed on the CPU: mixed = x + 2 y, and the codes again."""

    def __init__(self) -> None:
        self.outputs = {"output_0": ((3, 5), "FLOAT"), "output_1": ((3,), "INT64")}
        self.engine, self.addresses, self.streams, self.works = self, {}, [], True
        self.num_io_tensors = 5

    def get_tensor_shape(self, name):
        return self.outputs[name][0]

    def get_tensor_dtype(self, name):
        return getattr(tensorrt_rtx.DataType, self.outputs[name][1])

    def set_tensor_address(self, name, address):
        assert address % 256 == 0
        self.addresses[name] = address

    def execute_async_v3(self, stream):
        self.streams.append(stream)
        x, y, mixed = (self._floats(name) for name in ("x", "y", "output_0"))
        mixed[:] = [a + 2 * b for a, b in zip(x, y, strict=True)]
        ctypes.memmove(self.addresses["output_1"], self.addresses["codes"], 3 * 8)
        return self.works

    def _floats(self, name):
        return (ctypes.c_float * 15).from_address(self.addresses[name])


def aligned(shape, dtype):
    """A tensor at an address that TensorRT takes, as every new one is on a GPU."""
    size = torch.Size(shape).numel() * dtype.itemsize
    memory = torch.zeros(size + 256, dtype=torch.uint8)
    return memory[-memory.data_ptr() % 256 :][:size].view(dtype).view(shape)


class TestRun:
    @pytest.fixture(autouse=True)
    def cuda(self, monkeypatch):
        """A stream, and memory as a GPU's allocator gives it."""
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=77))
        monkeypatch.setattr(torch.Tensor, "clone", lambda value: aligned(value.shape, value.dtype).copy_(value))
        monkeypatch.setattr(torch, "empty", lambda shape, dtype, device: aligned(shape, dtype))

    @pytest.fixture
    def plan(self):
        saved = []
        made = TensorRTPlan(Context(), ["codes", "x", "y"], lambda: saved.append(True))
        made.saved = saved
        return made

    def test_tensors_of_any_layout_come_back_as_the_stage_returns_them(self, plan):
        codes = torch.arange(8)[1:4]  # not where TensorRT may read
        y = torch.rand(5, 3).T  # not in memory order
        for shift in range(3):
            mixed, same = plan(codes + shift, X, y)
            torch.testing.assert_close(mixed, X + 2 * y)
            assert torch.equal(same, codes + shift)
        assert plan.context.streams == [77] * 3
        assert plan.saved == [True]

    def test_results_outlive_the_next_call(self, plan):
        first, _ = plan(torch.arange(3), X, X)
        plan(torch.arange(3), X + 1, X)
        assert torch.equal(first, 3 * X)

    def test_a_run_that_fails_is_an_error(self, plan):
        plan.context.works = False
        with pytest.raises(RuntimeError, match="did not run an engine of codes, x, y"):
            plan(torch.arange(3), X, X)
        assert plan.saved == []


class Runtime:
    """An engine's runtime configuration and the cache of its code, without a GPU."""

    def __init__(self) -> None:
        self.given, self.attached = None, None

    def create_runtime_config(self):
        return self

    def create_runtime_cache(self):
        return self

    def set_runtime_cache(self, cache):
        self.attached = cache

    def create_execution_context(self, config=None):
        return self

    def deserialize(self, content):
        self.given = content

    def serialize(self):
        return b"code for this GPU"


class TestRuntimeCache:
    def test_it_lies_in_the_plans_folder_and_damages_nothing(self, plans):
        folder = plans.entry("0123abcd", "scale", lambda folder: (folder / FILE).write_bytes(b"engine"))
        for known in (None, b"code for this GPU"):
            runtime = Runtime()
            _, save = tensorrt._context(runtime, folder / tensorrt.RUNTIME_CACHE)
            assert (runtime.given, runtime.attached) == (known, runtime)
            save()
        assert intact(folder)
        assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", FILE, tensorrt.RUNTIME_CACHE]

    def test_a_folder_that_made_room_is_not_an_error(self, tmp_path):
        _, save = tensorrt._context(Runtime(), tmp_path / "gone" / tensorrt.RUNTIME_CACHE)
        save()
        assert not (tmp_path / "gone").exists()

    def test_the_other_package_has_none(self):
        runtime = Runtime()
        _, save = tensorrt._context(runtime, None)
        save()
        assert runtime.attached is None
