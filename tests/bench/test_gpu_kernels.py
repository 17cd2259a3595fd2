"""The kernels' GPU command on the CPU, with kernels that are right, wrong and broken."""

import json
import pkgutil
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from acdc import kernels
from acdc.bench import kernels as cases
from acdc.bench.gpu import kernels as module
from acdc.bench.gpu import stages
from acdc.bench.gpu.__main__ import gpu
from acdc.bench.kernels import Case
from tests.helpers.small_roofline import small_roofline

pytestmark = pytest.mark.measuring

EVERY_CASE = module.every_case
VALUES = torch.tensor([1.0, -2.0, float("inf")])


def broken(x):
    raise RuntimeError("out of shared memory\nand more")


def in_place(x):
    x += 1
    return x


def case(name, run, tolerance=(1e-3, 0.0)):
    return Case(name, run, lambda x: x + 1, (VALUES.clone(),), 2 * 3 * 4, 0, tolerance)


CASES = [
    case("right", lambda x: x + 1.0005),
    case("wrong", lambda x: x + 1.1),
    case("equal", lambda x: x + 1, (0.0, 0.0)),
    case("in place", in_place, (0.0, 0.0)),
    case("broken", broken),
]


@pytest.fixture
def asked(tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "ROUNDS", 3)
    small_roofline(monkeypatch)
    monkeypatch.setattr(module, "every_case", lambda names, device: (("lfq", case) for case in CASES))
    out = tmp_path / "deep" / "kernels.json"
    return out, ["kernels", "--out", str(out), "--device", "cpu", "--only", "lfq", "--columns", "kernel,eager"]


def test_right_wrong_and_failing_kernels_are_distinguished(asked):
    out, arguments = asked
    result = CliRunner().invoke(gpu, arguments)
    assert result.exit_code == 0, result.output
    rows = {row["case"]: row for row in json.loads(out.read_text())["rows"]}
    assert [rows[name]["right"] for name in ("right", "wrong", "equal", "in place")] == [True, False, True, True]
    assert 0 < rows["right"]["error"] < 1 < rows["wrong"]["error"]
    assert rows["equal"]["error"] == 0
    assert rows["broken"]["failed"] == "RuntimeError: out of shared memory"
    for name in ("right", "wrong", "equal"):
        assert 0 < rows[name]["kernel"]["low"] <= rows[name]["kernel"]["median"]
        assert rows[name]["floor"] > 0
    assert "WRONG" in result.output
    assert result.output.count(" of copies") == 4, "all but the broken one"
    assert "5 rows" in result.output


def test_a_kernel_that_gives_no_numbers_is_wrong_and_ends_nothing(asked, monkeypatch):
    """JSON has neither NaN nor infinity."""
    broken = [case("NaN", lambda x: x * torch.nan), case("infinite", lambda x: x / 0), CASES[0]]
    monkeypatch.setattr(module, "every_case", lambda names, device: (("lfq", case) for case in broken))
    out, arguments = asked
    result = CliRunner().invoke(gpu, arguments)
    assert result.exit_code == 0, result.output
    rows = json.loads(out.read_text())["rows"]
    assert [row["right"] for row in rows] == [False, False, True]
    assert [row["error"] for row in rows[:2]] == [stages.WORST] * 2


def test_what_the_time_does_not_suffice_for_is_listed(asked):
    out, arguments = asked
    assert CliRunner().invoke(gpu, [*arguments, "--seconds", "0"]).exit_code == 0
    assert len(json.loads(out.read_text())["not_reached"]) == len(CASES)


def test_inputs_that_cannot_be_made_end_no_other_kernel(asked, monkeypatch):
    def cases(names, device):
        if names == ["lfq"]:
            raise RuntimeError("out of memory\nand more")
        yield names[0], CASES[0]

    monkeypatch.setattr(module, "every_case", cases)
    out, arguments = asked
    assert CliRunner().invoke(gpu, [*arguments, "--only", "lfq,noise"]).exit_code == 0
    rows = json.loads(out.read_text())["rows"]
    assert [(row["name"], row["case"], row.get("failed")) for row in rows] == [
        ("lfq", "inputs", "RuntimeError: out of memory"),
        ("noise", "right", None),
    ]


def test_right_or_wrong_alone_costs_no_time(asked, monkeypatch):
    monkeypatch.setattr(module, "timed", None)
    out, arguments = asked
    assert CliRunner().invoke(gpu, [*arguments, "--columns", "none"]).exit_code == 0
    assert [row.get("right") for row in json.loads(out.read_text())["rows"]] == [True, False, True, True, None]


def test_every_case_is_compiled_for_itself(monkeypatch):
    """Dynamo would run the ninth shape of a function eagerly, and call that compiled."""
    resets = []
    monkeypatch.setattr("torch._dynamo.reset", lambda: resets.append(1))
    for _ in range(9):
        assert module.calls_of(CASES[0], ["kernel", "inductor"]).keys() == {"kernel", "inductor"}
    assert len(resets) == 9
    assert module.calls_of(CASES[0], ["eager"]).keys() == {"eager"}


def test_a_resumed_file_keeps_its_rows_and_its_rates(asked, monkeypatch):
    out, arguments = asked
    assert CliRunner().invoke(gpu, arguments).exit_code == 0
    first = json.loads(out.read_text())
    monkeypatch.setattr(module, "error", lambda case: 0.5)
    assert CliRunner().invoke(gpu, [*arguments, "--resume"]).exit_code == 0
    assert json.loads(out.read_text())["rows"] == first["rows"]
    assert CliRunner().invoke(gpu, [*arguments, "--retry"]).exit_code == 0
    again = json.loads(out.read_text())
    assert [row["case"] for row in again["rows"]] == ["right", "equal", "in place", "wrong", "broken"], "tried again"
    assert again["rates"] == first["rates"]
    assert len(again["processes"]) == 3
    result = CliRunner().invoke(gpu, [*arguments, "--columns", "kernel", "--resume"])
    assert result.exit_code == 1
    assert "has settings" in result.output


def test_every_kernel_has_cases():
    room = Path(kernels.__file__).parent
    measured = {found.name for found in pkgutil.iter_modules(cases.__path__)}
    assert measured == {path.stem for path in room.glob("*.py")} - {"__init__", "attention", "jit"}


def test_cases_of_one_kernel_are_of_published_sizes_and_right_on_the_cpu():
    found = [case for _, case in EVERY_CASE(["rms_norm"], "cpu")]
    assert [case.inputs[0].shape for case in found] == [(rows, 4096) for rows in (2, 32, 1024)]
    for case in found:
        assert case.bytes == 8 * 4096 * case.inputs[0].shape[0] + 2 * 4096
    assert module.error(found[0]) <= 2, "interpreted, bfloat16 is cut off twice"


@pytest.mark.parametrize(("num_bytes", "wanted"), [(1, 20), (module.L2_BYTES, 2), (2**30, 2), (20 * 2**20, 4)])
def test_inputs_push_one_another_out_of_the_cache(num_bytes, wanted):
    assert module.copies(num_bytes) == wanted


def test_an_unknown_kernel_is_named_before_anything_is_measured(asked):
    out, arguments = asked
    result = CliRunner().invoke(gpu, [*arguments[:-4], "--only", "rms_norm,elephant"])
    assert result.exit_code == 2
    assert "unknown kernel 'elephant'; choose among " in result.output
    assert not out.exists()


def test_an_unknown_kernel_is_named():
    with pytest.raises(ValueError, match=r"unknown kernel 'elephant'; choose among .*rms_norm"):
        list(EVERY_CASE(["elephant"], "cpu"))
