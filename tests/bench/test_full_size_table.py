"""Tables of systems at full size: a row a system or a number of stories, and what it was measured on."""

import pytest

from acdc.bench.full_size_table import PHASES, full_size_table, janus_table, real_size_table

pytestmark = pytest.mark.measuring

WHERE = {"machine": {"threads": 2, "processor": "A CPU"}, "versions": {"torch": "2.13"}}
SYSTEM = {
    "settings": {"bundle": "janus+sd15", "dtype": "bfloat16", "num_inference_steps": 4, "strength": 0.5},
    "seconds": {"made": 9.0, **{phase: 2.0 + place for place, phase in enumerate(PHASES)}},
    "layers": {phase: {"share": 0.1 * place} for place, phase in enumerate(PHASES)},
    "codes": 64,
    "peak_bytes": 3 << 30,
    **WHERE,
}


def test_a_row_a_system():
    table = full_size_table({"a.json": SYSTEM, "b.json": SYSTEM}).splitlines()
    assert table[2] == table[3]
    assert table[2] == (
        "| janus+sd15 | 64 | 2.0 (0 %) | 3.0 (10 %) | 4.0 (20 %) | 5.0 (30 %) | 6.0 (40 %) | 3.0 |"
    )  # fmt: skip
    assert {line.count("|") for line in table[:4]} == {9}
    assert table[-1] == (
        "bfloat16, N 4, t' 0.5, 2 threads, A CPU, torch 2.13. Source: `bench/results/a.json`, `bench/results/b.json`."
    )


def test_a_row_a_number_of_stories():
    rows = [{"stories": 4, "engine": {"seconds": [2.0, 1.0]}, "transformers": {"seconds": [3.0, 3.0]}, "times": 2.0}]
    table = janus_table({"a.json": {"dtype": "float32", "codes": 48, "rows": rows, **WHERE}}).splitlines()
    assert table[2] == "| 4 | float32 | 3.0 | 1.0 to 2.0 | 2.00 |"
    assert table[-1].startswith("48 of 576 codes")


def test_a_row_a_contender_that_every_table_has():
    rows = [{"name": "diffusers", "median": 3.0}, {"name": "ours", "median": 2.0}]
    once = {
        "work": "pass",
        "size": 256,
        "steps": 50,
        "rates": [{}, {}],
        "threads": 2,
        "rows": [*rows, {"name": "c", "median": 1.0}],
    }
    whole = {"work": "correction", "size": 512, "steps": 10, "rates": [{}], "rows": rows}
    table = real_size_table(
        "a.json", {"tables": [once, whole], **WHERE, "machine": {"processor": "A CPU"}}
    ).splitlines()
    assert table[0] == "|  | UNet pass, 256 px, s | correction, 5 of 10 steps, 512 px, s |"
    assert table[2:4] == ["| diffusers | 3.00 (1.00) | 3.00 (1.00) |", "| ours | 2.00 (1.50) | 2.00 (1.50) |"]
    assert table[-1].startswith("Medians of 2, 1 turns")
