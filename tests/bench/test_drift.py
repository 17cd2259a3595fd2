"""The drift of lossy weights, on the tiny bundle."""

import json

import pytest
import torch
from click.testing import CliRunner

from acdc.bench.decoding.frames import true_codes
from acdc.bench.drift import FIRST_SEED, WAYS, frame_logits, main
from acdc.bench.storyworld.world.grammar import sample_story
from acdc.engine.models.causal.session import ArmSession

pytestmark = pytest.mark.measuring


def test_the_teacher_forced_logits_are_what_the_session_draws_from(exact_engine):
    story = sample_story(FIRST_SEED, "heldout", 3)
    codes = true_codes(exact_engine, story)
    session = ArmSession(exact_engine.models.arm, 1, 3, "window")
    for index in range(3):
        session.begin([story.sentences[index]])
        logits = frame_logits(exact_engine, story, codes, index)
        first = session.last_logits[0, : exact_engine.models.arm.stream.codebook_size].float()
        torch.testing.assert_close(logits[0], first, rtol=0, atol=1e-6)
        session.extend(codes[index : index + 1])


@pytest.mark.slow
def test_full_weights_do_not_drift_and_lossy_ones_do(tiny_path, tmp_path):
    out = tmp_path / "drift.json"
    result = CliRunner().invoke(main, ["--bundle", str(tiny_path), "--stories", "1", "--out", str(out)])
    assert result.exit_code == 0, result.output
    rows = json.loads(out.read_text())["rows"]
    assert list(rows) == list(WAYS)
    assert rows["float32"]["drawn_otherwise"] == 0
    assert all(rows[kind]["nats"] != rows["float32"]["nats"] for kind in ("int8", "fp8"))
    assert all(0 <= row[key] <= 1 for row in rows.values() for key in ("right_drafts", "right_shown"))
