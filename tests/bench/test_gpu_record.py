"""The file of a measurement on a GPU: rows as they come, what was under way, and a device that is lost."""

import json

import pytest

from acdc.bench.gpu import record as module
from acdc.bench.gpu.record import DEVICE_LOST, Output, Record, faults, read

pytestmark = pytest.mark.measuring


@pytest.fixture
def output(tmp_path):
    return Output(tmp_path / "deep" / "rows.json", 60.0)


def begun(output, **settings):
    return Record(output, "cpu", settings)


def test_the_row_under_way_is_named_before_it_is_measured(output):
    record, seen = begun(output), []
    record.add({"row": 1}, lambda: seen.append(read(output.path)["under_way"]) or {"median": 1.0})
    assert seen == [{"row": 1}]
    found = read(output.path)
    assert (found["under_way"], found["complete"]) == (None, False)
    assert found["rows"] == [{"row": 1, "median": 1.0, "clocks": {"missing": "nothing of cpu"}}]
    assert record.finish()["complete"]


def test_a_row_that_raises_says_so_in_a_line_and_numbers_that_json_lacks_make_no_row(output):
    record = begun(output)

    def breaks():
        raise RuntimeError("out of memory\nand more")

    record.add({"row": 1}, breaks)
    record.add({"row": 2}, lambda: {"median": 2.0})
    assert [row.get("failed") for row in record.finish()["rows"]] == ["RuntimeError: out of memory", None]


def test_a_row_whose_numbers_are_none_fails_alone(output):
    record = begun(output)
    record.add({"row": 1}, lambda: {"median": float("nan")})
    record.add({"row": 2}, lambda: {"median": 2.0})
    first, second = json.loads(output.path.read_text())["rows"]
    assert "not JSON compliant" in first["failed"]
    assert second["median"] == 2.0


def test_items_that_cannot_be_made_are_a_row(output):
    record = begun(output)

    def items():
        yield 1
        raise RuntimeError("no room for the second one")

    assert list(record.each({"row": "inputs"}, items())) == [1]
    assert record.finish()["rows"][0]["failed"] == "RuntimeError: no room for the second one"


def test_a_file_of_another_kind_is_left_alone(output):
    begun(output, dtype="float32").finish()
    before = output.path.read_text()
    with pytest.raises(ValueError, match=r'has settings .*"float32".*, not .*"bfloat16".*; give another --out'):
        begun(output._replace(resume=True), dtype="bfloat16")
    assert output.path.read_text() == before
    begun(output, dtype="bfloat16").finish()
    assert read(output.path)["settings"] == {"dtype": "bfloat16"}, "not resumed, it is begun again"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"rows": 3}'])
def test_a_file_that_cannot_be_read_is_begun_again(output, content):
    output.path.parent.mkdir()
    output.path.write_text(content)
    begun(output._replace(resume=True)).finish()
    assert read(output.path)["rows"] == []


def test_retry_measures_again_what_failed_or_was_refused(output):
    rows = {
        "good": {"median": 1.0},
        "failed": {"failed": "x"},
        "refused": {"refused": ["no GPU"]},
        "wrong": {"right": False},
        "column": {"right": True, "inductor": {"failed": "x"}},
        "replay": {"replay": {"passed": False}},
    }
    record = begun(output)
    for name, row in rows.items():
        record.add({"row": name}, lambda row=row: row)
    record.finish()
    measured = []
    again = begun(output._replace(resume=True, retry=True))
    for name in rows:
        again.add({"row": name}, lambda name=name: measured.append(name) or {})
    assert measured == [name for name in rows if name != "good"]


def test_what_is_wrong_in_a_row():
    assert faults({"row": 1, "right": True, "kernel": {"median": 1.0}, "refused": ["x"]}) == []
    assert faults({"right": False, "error": 3.5, "kernel": {"failed": "no memory"}}) == [
        "wrong: error 3.5",
        "no memory",
    ]
    assert faults({"variants": [{"x": {"failed": "one"}}], "replay": {"passed": False}}) == ["one", "replays differ"]


@pytest.mark.parametrize("said", [None, "AcceleratorError: illegal address"])
def test_a_process_that_lost_its_device_ends_when_the_row_is_written(output, monkeypatch, said):
    """A device that answers after a failure is not lost; asked only then."""
    left = []
    monkeypatch.setattr(module, "lost", lambda device: said)
    monkeypatch.setattr(module, "leave", lambda status: left.append((status, read(output.path)["rows"][-1])))
    record = begun(output)
    record.add({"row": 1}, lambda: {"median": 1.0})
    assert left == []
    record.add({"row": 2}, lambda: {"failed": "AcceleratorError: illegal address"})
    if said is None:
        assert left == []
    else:
        ((status, row),) = left
        assert (status, row["row"]) == (DEVICE_LOST, 2)


def test_a_cpu_is_not_lost():
    assert module.lost("cpu") is None


def test_a_copy_without_history_says_its_commit(output, monkeypatch):
    monkeypatch.setattr(module, "commit", lambda: None)
    monkeypatch.setenv("GIT_COMMIT", "abc")
    assert begun(output).finish()["processes"][0]["commit"] == "abc"
