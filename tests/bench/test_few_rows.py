"""The measurement of products of few rows: each way makes the same product, and every row has its times."""

import json

import pytest
import torch
from click.testing import CliRunner

from acdc.bench import few_rows
from acdc.bench.few_rows import main, ways

pytestmark = pytest.mark.measuring


@pytest.mark.parametrize("rows", [1, 3])
def test_each_way_makes_the_same_product(rows, monkeypatch) -> None:
    monkeypatch.setattr(few_rows, "ALL_BYTES", 1)
    made = {name: call() for name, call in ways(64, 32, rows).items()}
    assert all(value.shape == (rows, 64) for value in made.values())
    torch.testing.assert_close(made["float32 turned"], made["float32"])
    torch.testing.assert_close(made["bfloat16 widened"], made["bfloat16"], rtol=2**-7, atol=2**-7)


def test_every_shape_and_number_of_rows_has_its_times(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(few_rows, "SHAPES", ((8, 4), (4, 8)))
    monkeypatch.setattr(few_rows, "ALL_BYTES", 1)
    out = tmp_path / "found.json"
    result = CliRunner().invoke(main, ["--rows", "1,2", "--rounds", "1", "--out", str(out)])
    assert result.exit_code == 0, result.output
    products = json.loads(out.read_text())["products"]
    assert [(one["outputs"], one["inputs"], one["rows"]) for one in products] == [
        (8, 4, 1), (8, 4, 2), (4, 8, 1), (4, 8, 2),
    ]  # fmt: skip
    assert all(0 < way["low"] <= way["median"] <= way["high"] for one in products for way in one["ms"].values())
