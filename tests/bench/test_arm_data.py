"""The ARM is trained on the engine's inputs, and learns only the tokens that it must predict."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from acdc.bench.storyworld.train.arm import export, main, make_model
from acdc.bench.storyworld.train.arm_data import (
    CODE_LOSS,
    TEXT_LOSS,
    Layout,
    buckets,
    collate,
    read_stories,
    sample,
    whole,
)
from acdc.bench.storyworld.train.arm_data import window as window_of
from acdc.bench.storyworld.train.arm_text import BOS, VISION, train_tokenizer
from acdc.engine.models.causal.session import ArmSession
from acdc.engine.models.lwm.family import Arm
from acdc.engine.options import Context

pytestmark = pytest.mark.training

LAYOUT = Layout(codes_per_frame=4, codebook_size=10)
LINES = ["Benny the beagle sat.", "He ran.", "The dog slept by a log."]
TOKENIZER = train_tokenizer(LINES * 3, vocab=280)
TEXTS = [TOKENIZER.encode(line).ids for line in LINES]
CODES = np.arange(12, dtype=np.int16).reshape(3, 4) % 10


def write(folder: Path, stories: int) -> None:
    rng = np.random.default_rng(0)
    np.save(folder / "codes.npy", rng.integers(0, 10, (stories, 3, 4)).astype(np.int16))
    (folder / "texts.json").write_text(json.dumps({"sentences": [LINES] * stories}))


@pytest.mark.parametrize("context", ["full", "window"])
def test_rows_are_what_a_session_feeds(tmp_path: Path, context: Context) -> None:
    """The exported model's session gives the same logits for a frame's first code as the training row."""
    torch.manual_seed(0)
    export(make_model(1, 32, 2, TOKENIZER.get_vocab_size(), LAYOUT), TOKENIZER, LAYOUT, tmp_path)
    arm = Arm.from_directory(tmp_path, dtype=torch.float64)
    session = ArmSession(arm, stories=1, frames=3, context=context)
    for k, line in enumerate(LINES):
        session.begin([line])
        row = whole(TEXTS, CODES, LAYOUT) if context == "full" else window_of(TEXTS, CODES, LAYOUT, k)
        batch = collate([row])
        first = int(np.flatnonzero(row.loss == CODE_LOSS)[4 * k if context == "full" else 0])
        hidden = arm.model(batch.ids, batch.is_vision)[:, first - 1]
        torch.testing.assert_close(arm.model.vision_logits(hidden), session.last_logits, rtol=0, atol=1e-11)
        session.extend(torch.from_numpy(CODES[k : k + 1].astype(np.int64)))


def test_a_window_learns_its_last_frame_only() -> None:
    for frame in range(3):
        row = window_of(TEXTS, CODES, LAYOUT, frame)
        assert row.ids[row.loss == CODE_LOSS].tolist() == CODES[frame].tolist()
        assert (row.is_vision & (row.ids == LAYOUT.eof)).sum() == min(frame, 1) + 1
        assert not (row.loss == TEXT_LOSS).any()


def test_a_whole_story_learns_texts_and_codes_but_no_marker_of_an_end() -> None:
    row = whole(TEXTS, CODES, LAYOUT)
    assert row.ids[row.loss == CODE_LOSS].tolist() == CODES.flatten().tolist()
    assert row.ids[row.loss == TEXT_LOSS].tolist() == [i for text in TEXTS for i in (*text, VISION)]
    assert row.ids[0] == BOS
    assert (row.loss[row.is_vision & (row.ids == LAYOUT.eof)] == 0).all()


def test_windows_in_training_learn_the_previous_frame_too(tmp_path: Path) -> None:
    write(tmp_path, 5)
    stories = read_stories(tmp_path, TOKENIZER)
    rows = sample(stories, LAYOUT, np.random.default_rng(0), frames=8, windows=1.0)
    assert len(rows) == 4
    for row in rows:
        assert (row.loss == CODE_LOSS).sum() == 2 * LAYOUT.codes_per_frame
        assert (row.loss != TEXT_LOSS).all()


def test_buckets_hold_every_row_once_and_pad_little(tmp_path: Path) -> None:
    write(tmp_path, 5)
    stories = read_stories(tmp_path, TOKENIZER, spellings=2)
    rows = sample(stories, LAYOUT, np.random.default_rng(0), frames=30, windows=0.4)
    assert sum((row.loss == CODE_LOSS).sum() // 4 for row in rows) == 30
    batches = buckets(rows, tokens=256)
    assert sum(len(batch.ids) for batch in batches) == len(rows)
    assert sum(int((batch.loss == CODE_LOSS).sum()) for batch in batches) == 120
    assert all(batch.ids.shape[1] % 32 == 0 for batch in batches)


def test_the_tokenizer_is_deterministic_and_spells_any_text() -> None:
    again = train_tokenizer(reversed(LINES * 3), vocab=280)
    assert again.to_str() == TOKENIZER.to_str()
    assert TOKENIZER.decode(TOKENIZER.encode("Zoë, 鯉 & <s>").ids).strip() == "Zoë, 鯉 & <s>"


def test_a_short_run_trains_evaluates_and_exports(tmp_path: Path) -> None:
    write(tmp_path, 20)
    numbers = {"steps": 3, "decay": 2, "frames": 6, "layers": 1, "hidden": 32, "heads": 1, "codebook-size": 10}
    options = [word for name, value in numbers.items() for word in (f"--{name}", str(value))]
    out = tmp_path / "run"
    result = CliRunner().invoke(main, ["--data", str(tmp_path), "--out", str(out), *options], catch_exceptions=False)
    assert result.exit_code == 0
    report = json.loads((out / "evaluation.json").read_text())["validation"]
    assert {name: len(values) for name, values in report.items()} == {"full": 3, "window": 3}
    assert Arm.from_directory(out / "arm").stream.codes_per_frame == 4


def test_missing_codes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"codes\.npy: no such file"):
        read_stories(tmp_path, TOKENIZER)
