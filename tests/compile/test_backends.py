"""One way to a plan: a visible table, all reasons for a refusal, keys that change with what decides a plan."""

import importlib.metadata
import inspect

import pytest
import torch
from torch import nn

from acdc.compile import openvino
from acdc.compile.backends import BACKENDS, compile_stage, unsupported_reasons
from acdc.compile.cache import PlanCache
from acdc.compile.key import plan_key
from acdc.compile.spec import StageSpec


class Twice(nn.Module):
    def __init__(self, factor: float = 2.0) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x):
        return x * self.factor


X = torch.arange(6.0).reshape(2, 3)
SPEC = StageSpec.of("twice", [X])


@pytest.fixture
def cache(tmp_path):
    return PlanCache(tmp_path)


# inductor and inductor-jit compile for many seconds: test_inductor.py has them.
@pytest.mark.parametrize("backend", [name for name in BACKENDS if not name.startswith("inductor")])
def test_every_backend_gives_a_plan_with_the_signature_of_the_stage_or_says_why_not(backend, cache):
    reasons = unsupported_reasons(SPEC, backend)
    assert not (reasons and backend in ("eager", "openvino")), "these two run wherever the package is installed"
    if reasons:
        with pytest.raises(ValueError, match="cannot run twice") as error:
            compile_stage(Twice(), SPEC, backend, cache)
        assert all(reason in str(error.value) for reason in reasons)
        return
    plan = compile_stage(Twice(), SPEC, backend, cache)
    assert torch.equal(plan(X), 2 * X)
    assert torch.equal(plan(X + 1), 2 * X + 2)


def test_eager_is_the_stage_itself(cache):
    run = Twice()
    assert compile_stage(run, SPEC, "eager", cache) is run
    assert list(cache.entries()) == []


def test_an_unknown_backend_is_named_with_the_choices(cache):
    with pytest.raises(ValueError, match="unknown backend 'openvine'; choose among eager, openvino"):
        compile_stage(Twice(), SPEC, "openvine", cache)


def test_a_refusal_lists_all_reasons(cache, monkeypatch):
    monkeypatch.setattr(openvino, "installed", lambda name: None)
    spec = StageSpec.of("twice", [X.to("meta", torch.float64)])
    reasons = unsupported_reasons(spec, "openvino")
    assert len(reasons) == 3
    with pytest.raises(ValueError, match="cannot run") as error:
        compile_stage(Twice(), spec, "openvino", cache)
    message = str(error.value)
    assert "\n" not in message
    assert all(reason in message for reason in reasons)
    assert "twice(2x3 float64) on meta" in message
    assert "pip install openvino" in message


def test_a_missing_package_is_found_out_without_importing_it(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("acdc.compile.installed.version", missing)
    assert unsupported_reasons(SPEC, "openvino") == ["openvino is not installed: pip install openvino"]


class TestKey:
    def test_same_content_same_key(self):
        assert plan_key(Twice(), SPEC, "a", "1") == plan_key(Twice(), SPEC, "a", "1")

    def test_everything_that_decides_a_plan_changes_it(self):
        other_shape = StageSpec.of("twice", [X.T.contiguous()])
        other_dtype = StageSpec.of("twice", [X.double()])
        other_code = nn.Sequential(Twice())
        norms = [nn.GroupNorm(1, 2), nn.GroupNorm(2, 2), nn.GroupNorm(1, 2, eps=1e-3)]  # alike in code and weights
        variants = [
            (Twice(), SPEC, "a", "1"),
            (Twice(3.0), SPEC, "a", "1"),
            (Twice().double(), SPEC, "a", "1"),
            (other_code, SPEC, "a", "1"),
            (Twice(), other_shape, "a", "1"),
            (Twice(), other_dtype, "a", "1"),
            (Twice(), SPEC, "b", "1"),
            (Twice(), SPEC, "a", "2"),
            *((nn.Sequential(Twice(), norm), SPEC, "a", "1") for norm in norms),
        ]
        assert len({plan_key(*variant) for variant in variants}) == len(variants)

    def test_the_code_of_a_base_class_decides_as_well(self, monkeypatch, tmp_path):
        class Derived(Twice):
            """The same weights, forward() inherited."""

        before, other = plan_key(Derived(), SPEC, "a", "1"), tmp_path / "twice.py"
        other.write_text("# edited", encoding="utf-8")
        found = inspect.getfile
        monkeypatch.setattr(inspect, "getfile", lambda kind: str(other) if kind is Twice else found(kind))
        assert plan_key(Derived(), SPEC, "a", "1") != before

    @pytest.mark.parametrize(
        ("edited", "decides"),
        [("engine/models/rotary.py", True), ("kernels/rms_norm.py", True), ("engine/cli/story.py", False)],
    )
    def test_functions_of_neighbours_and_kernels_decide_as_well(self, monkeypatch, tmp_path, edited, decides):
        own = tmp_path / "engine/models/lwm/model.py"
        for file in (own, tmp_path / edited):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        monkeypatch.setattr("acdc.compile.key.PACKAGE", tmp_path)
        monkeypatch.setattr(inspect, "getfile", lambda kind: str(own))
        before = plan_key(Twice(), SPEC, "a", "1")
        (tmp_path / edited).write_text("# edited", encoding="utf-8")
        assert (plan_key(Twice(), SPEC, "a", "1") != before) == decides
