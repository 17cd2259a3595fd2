"""The serial loop around Show-o: every layout draws, resumes and differs from the others; options that fit one ARM
only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from acdc.engine.cli.story import story
from acdc.engine.engine import Engine
from acdc.engine.options import LAYOUTS, StoryOptions, make_options
from acdc.engine.storage.resume_story import check_settings
from tests.helpers.cli_runs import parsed
from tests.helpers.small_show_o import small_engine


@pytest.fixture(scope="module")
def show_o_engine(exact_engine: Engine) -> Engine:
    return small_engine(exact_engine)


SENTENCES = ["Benny the beagle sat in a garden.", "He ran.", "Benny slept near a log."]
OTHERS = ["Lu, a very small cat, lived far away.", "She hid.", "Lu ran to the lake at night."]
QUICK = {"num_inference_steps": 4, "arm_steps": 3}
VARIANTS: list[dict[str, Any]] = [
    {},
    {"layout": "carry-over", "carry_over": 0.3},
    {"layout": "carry-over", "correct_every": 2, "arm_guidance_scale": 2.75},
    {"layout": "block-causal", "arm_guidance_scale": 2.75},
    {"layout": "block-causal", "correct_first": 1, "context": "window"},
    {"layout": "block-causal", "feed_back": False},
    {"correction": False, "temperature": 0.5},
]
IDS = [" ".join(f"{k}={v}" for k, v in variant.items()) or "defaults" for variant in VARIANTS]


@pytest.mark.long
@pytest.mark.parametrize("variant", VARIANTS, ids=IDS)
def test_the_serial_loop_draws_stories(show_o_engine: Engine, variant: dict[str, Any]) -> None:
    """Batched equals single, and a resumed story equals an undisturbed one."""
    chosen = {**QUICK, **variant}
    together = show_o_engine.generate_batch([SENTENCES, OTHERS], seeds=[3, 4], **chosen)
    for result, sentences, seed in zip(together, (SENTENCES, OTHERS), (3, 4), strict=True):
        alone = show_o_engine.generate(sentences, seed=seed, **chosen)
        assert [f.draft_codes for f in result.frames] == [f.draft_codes for f in alone.frames]
        assert [f.codes for f in result.frames] == [f.codes for f in alone.frames]
    whole = show_o_engine.generate(SENTENCES, seed=3, **chosen).frames
    for done in range(3):
        rest = list(show_o_engine.stream(SENTENCES, seed=3, done=whole[:done], **chosen))
        assert [f.codes for f in rest] == [f.codes for f in whole[done:]]
        assert all(np.array_equal(a.image, b.image) for a, b in zip(rest, whole[done:], strict=True))


def test_layouts_draw_different_stories(show_o_engine: Engine) -> None:
    drawn = [show_o_engine.generate(SENTENCES, seed=3, **QUICK, layout=layout) for layout in LAYOUTS]
    assert len({result.frames[0].draft_codes for result in drawn}) == 1
    assert len({result.frames[1].draft_codes for result in drawn}) == 3


def test_corrected_codes_reach_the_next_frame(show_o_engine: Engine) -> None:
    for layout, reach in (("independent", False), ("carry-over", True), ("block-causal", True)):
        one, other = (
            show_o_engine.generate(SENTENCES[:2], seed=3, **QUICK, layout=layout, strength=strength)
            for strength in (0.5, 1.0)
        )
        assert one.frames[0].codes != other.frames[0].codes
        assert (one.frames[1].draft_codes != other.frames[1].draft_codes) == reach, layout


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"top_k": 5}, "top_k 5, top_p 1.0: Show-o draws from all codes; choose top_k 0 and top_p 1"),
        ({"top_p": 0.5}, "top_k 0, top_p 0.5: Show-o draws"),
        ({"decoding": "parallel"}, "decoding 'parallel' is for ARMs that draw code after code; choose auto"),
        ({"layout": "grid"}, "unknown layout 'grid'; choose one of independent, block-causal, carry-over"),
        ({"arm_steps": 0}, "arm_steps 0 is too small; choose 1 or more"),
        ({"carry_over": -0.5}, "carry_over -0.5 is out of range; choose 0 <= carry_over < 1"),
        ({"carry_over": 0.5}, "carry_over 0.5 would do nothing in layout 'independent'; .* choose layout carry-over"),
        ({"carry_over": 0.5, "layout": "block-causal"}, "carry_over 0.5 would do nothing in layout 'block-causal'"),
        ({"context": "full"}, "context 'full' would do nothing in layout 'independent'; .* choose layout block-causal"),
        ({"context": "window", "layout": "carry-over"}, "context 'window' would do nothing in layout 'carry-over'"),
        ({"temperature": 0.0}, r"temperature 0 is greedy, and Show-o always draws .*; choose 0.0001 or more"),
    ],
)
def test_options_that_show_o_does_not_have(show_o_engine: Engine, chosen: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        show_o_engine.stream(SENTENCES, **chosen)


def test_a_bundles_defaults_count_in_their_layout_alone(show_o_engine: Engine) -> None:
    """The user did not ask for them, so they are left out of what is recorded, and nothing is refused."""
    recorded = [show_o_engine.settings(make_options(layout=layout)) for layout in (None, *LAYOUTS)]
    assert [(settings["layout"], settings["carry_over"], settings["context"]) for settings in recorded] == [
        ("independent", None, None),
        ("independent", None, None),
        ("block-causal", None, "full"),
        ("carry-over", 0.25, None),
    ]
    for layout in LAYOUTS:
        show_o_engine.stream(SENTENCES, layout=layout)


@pytest.mark.parametrize("chosen", [{"arm_steps": 5}, {"layout": "independent"}, {"carry_over": 0.5}])
def test_options_of_show_o_are_refused_elsewhere(tiny_engine: Engine, chosen: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(chosen))} .* is for Show-o; this ARM draws code after code"):
        tiny_engine.stream(SENTENCES, **chosen)


def test_flags_become_options() -> None:
    argv = "--arm-steps 9 --layout carry-over --carry-over 0.25 --arm-guidance 2.75 --threads 1"
    wanted = make_options(arm_steps=9, layout="carry-over", carry_over=0.25, arm_guidance_scale=2.75)
    assert parsed(story, argv.split()).story() == wanted


def test_a_story_stored_before_these_options_resumes() -> None:
    settings = StoryOptions().flat()
    stored = {name: settings[name] for name in settings if name not in ("arm_steps", "layout", "carry_over")}
    check_settings(stored, settings)
    with pytest.raises(ValueError, match="cannot resume: layout was None, now 'carry-over'"):
        check_settings(stored, {**settings, "layout": "carry-over"})
