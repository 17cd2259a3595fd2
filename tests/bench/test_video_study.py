"""The study of videos with pictures that are known: true renders, of which some rows lack frames."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from acdc.bench.storyworld.__main__ import main as storyworld
from acdc.bench.storyworld.study import video
from acdc.bench.storyworld.train.video_data import draw_clip
from acdc.bench.storyworld.world.clips import ClipSample

pytestmark = pytest.mark.training

CLIPS, FRAMES = 3, 6


class NoEngine:
    """Says which bundle was loaded."""

    def __init__(self, bundle: str) -> None:
        self.bundle = bundle

    @classmethod
    def from_pretrained(cls, bundle: str, backend: str) -> NoEngine:
        return cls(bundle)


def known(engine: NoEngine, clips: Sequence[ClipSample], options: Mapping[str, Any]) -> tuple[np.ndarray, float]:
    """True renders; the plain ARM's last two frames are those of the next clip, and flicker."""
    shown = np.stack([draw_clip(clip, video.SIZE) for clip in clips])
    if options == {"correction": False}:
        shown[:, -2:] = np.roll(shown[:, -2:], 1, axis=0)
    assert engine.bundle == "storyworld-video"
    return shown, 1.5


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[str]]:
    monkeypatch.setattr(video, "Engine", NoEngine)
    monkeypatch.setattr(video, "draw", known)
    out = tmp_path / "deep" / "video.json"
    return out, ["evaluate_video", "--out", str(out), "--clips", str(CLIPS), "--frames", str(FRAMES)]


def test_rows_are_judged_and_compared_with_the_plain_arm(asked: tuple[Path, list[str]]) -> None:
    """Whatever the order in which they are asked for."""
    out, words = asked
    result = CliRunner().invoke(storyworld, [*words, "--rows", "acdc,plain"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found = json.loads(out.read_text())
    rows = found["rows"]
    assert list(rows) == ["truth", "plain", "acdc"]
    figures = ("right", "last", "through", "jump", "movement", "by_frame")
    assert all(rows["acdc"][name] == rows["truth"][name] for name in figures), "the same pictures"
    assert rows["truth"]["right"]["mean"] == 1.0
    assert rows["plain"]["last"]["mean"] < 1.0
    assert rows["plain"]["by_frame"][:4] == [1.0] * 4
    assert rows["plain"]["seconds_a_clip"] == 1.5
    assert list(found["smoother_than_plain"]) == ["acdc"]
    gap = found["smoother_than_plain"]["acdc"]
    assert gap["mean"] == pytest.approx(rows["plain"]["jump"]["mean"] - rows["acdc"]["jump"]["mean"])
    assert gap["low"] > 0
    assert (found["clips"], found["frames"], found["edition"]) == (CLIPS, FRAMES, 1)


def test_an_unknown_row_is_named_before_anything_is_drawn(asked: tuple[Path, list[str]]) -> None:
    out, words = asked
    result = CliRunner().invoke(storyworld, [*words, "--rows", "plain,acdd"])
    assert result.exit_code == 2
    assert "unknown row 'acdd'; choose among plain, acdc, acdc_motion" in result.output
    assert not out.exists()


def test_an_unwritable_place_is_refused_before_anything_is_drawn(
    asked: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, words = asked
    out.parent.write_text("a file")
    monkeypatch.setattr(video, "load_judge", None)
    with pytest.raises(ValueError, match="is not a directory; choose another --out"):
        CliRunner().invoke(storyworld, words, catch_exceptions=False)
