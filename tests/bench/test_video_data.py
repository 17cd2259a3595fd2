"""The data of moving clips: what is written for a tokenizer, a VAE and mirrored clips, and a stopped run goes on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from acdc.bench.storyworld.__main__ import main as storyworld
from acdc.bench.storyworld.train import video_data
from acdc.bench.storyworld.train.video_data import build_clips, encode_clip

pytestmark = pytest.mark.training

ALWAYS = {"labels.npy", "texts.json"}


@pytest.mark.parametrize(
    ("flags", "arrays"),
    [
        (("--tokenizer",), {"codes"}),
        (("--tokenizer", "--vae", "--flip"), {"codes", "codes_flip", "latents"}),
    ],
)
def test_what_is_asked_for_is_written_and_nothing_that_no_training_reads(
    tiny_path: Path, tmp_path: Path, flags: tuple[str, ...], arrays: set[str]
) -> None:
    folders = {"--tokenizer": ("tokenizer",), "--vae": ("corrector/vae",), "--flip": ()}
    asked = [word for flag in flags for word in (flag, *(str(tiny_path / part) for part in folders[flag]))]
    sizes = ["--clips", "2", "--frames", "3", "--size", "16"]
    result = CliRunner().invoke(
        storyworld, ["clip_data", "--out", str(tmp_path / "clips"), *sizes, *asked], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    assert {path.name for path in (tmp_path / "clips").iterdir()} == ALWAYS | {f"{name}.npy" for name in arrays}
    found = {name: np.load(tmp_path / "clips" / f"{name}.npy") for name in arrays}
    assert all(value.shape[:2] == (2, 3) for value in found.values())
    if "codes_flip" in arrays:
        assert (found["codes"] != found["codes_flip"]).any()


def average(pixels: torch.Tensor) -> torch.Tensor:
    """An encoder in place of a network: four numbers a picture, made of whole levels."""
    levels = ((pixels + 1) * 127.5).round()
    return torch.nn.functional.adaptive_avg_pool2d(levels.mean(1), 2).flatten(1)


def test_data_is_made_once_and_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_data, "PART", 2)
    encoders = {"codes": average, "codes_flip": average}
    whole = {"frames": 3, "size": 32}
    build_clips(tmp_path / "a", 5, encoders, **whole)

    class Stop(Exception):
        pass

    calls = []

    def breaks(*args: object) -> dict[str, np.ndarray]:
        calls.append(args)
        if len(calls) == 4:
            raise Stop
        return encode_clip(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(video_data, "encode_clip", breaks)
    with pytest.raises(Stop):
        build_clips(tmp_path / "b", 5, encoders, **whole)
    with pytest.raises(ValueError, match="parts of another run"):
        build_clips(tmp_path / "b", 5, encoders, frames=2, size=32)
    with pytest.raises(ValueError, match="parts of another run"):
        build_clips(tmp_path / "b", 5, encoders, **whole, edition=2)
    build_clips(tmp_path / "b", 5, encoders, **whole)
    assert len(calls) == 4 + 3, "the first part was not made again"
    for name in ("codes.npy", "codes_flip.npy", "labels.npy"):
        np.testing.assert_array_equal(np.load(tmp_path / "a" / name), np.load(tmp_path / "b" / name))
    assert np.load(tmp_path / "a" / "codes.npy").shape == (5, 3, 4)
    assert not (tmp_path / "b" / "parts").exists()
    texts = json.loads((tmp_path / "a" / "texts.json").read_text())
    assert [len(texts[name]) for name in ("sentences", "refined", "names")] == [5, 5, 5]


def test_mirrored_clips_are_encoded_mirrored() -> None:
    pictures = np.zeros((2, 16, 16, 3), np.uint8)
    pictures[:, :, :8] = 200
    made = encode_clip(pictures, {"codes": average, "codes_flip": average}, "cpu")
    assert made["codes"][0].tolist() == [200, 0, 200, 0]
    assert made["codes_flip"][0].tolist() == [0, 200, 0, 200]


def test_nothing_to_encode_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a tokenizer or a VAE"):
        build_clips(tmp_path, 3, {})
