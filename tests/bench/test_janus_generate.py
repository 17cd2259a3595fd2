"""The turns of the engine and of transformers at toy size: both draw, and the row says by whom and how long."""

import json

import pytest
from click.testing import CliRunner

from acdc.bench.janus_generate import main
from tests.helpers.small_systems import small_systems

pytestmark = pytest.mark.measuring


def test_both_draw_in_turns(tmp_path, monkeypatch) -> None:
    pytest.importorskip("transformers")
    small_systems(tmp_path / "published", monkeypatch)
    out = tmp_path / "found.json"
    asked = ["--stories", "2", "--codes", "6", "--dtype", "float32", "--out", str(out)]
    result = CliRunner().invoke(main, asked)
    assert result.exit_code == 0, result.output
    (row,) = json.loads(out.read_text())["rows"]
    assert row["stories"] == 2
    assert len(row["engine"]["seconds"]) == len(row["transformers"]["seconds"]) == 2
    assert row["times"] == pytest.approx(row["transformers"]["median"] / row["engine"]["median"])
    assert 1 <= row["parallel"]["passes"] <= 5
