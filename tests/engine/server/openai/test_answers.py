"""Answers and events as the client's own types have them."""

from openai.types import ImageGenCompletedEvent, ImageGenPartialImageEvent, ImagesResponse

from acdc.engine.server.openai.answers import Shown, Usage, Waited, pictures_answer
from acdc.engine.server.openai.events import Partial, completed_event, partial_event
from acdc.engine.server.openai.picture_fields import GenerationFields

ASKED = GenerationFields(prompt="One.", quality="low")
PHASES = {"draw": 1200.0, "correct": 600.0}
FRAMES = [Shown(0, "One.", "One, red.", 7, True, 64, 48, Usage(21, 256), PHASES)] * 2


def test_an_answer_has_what_the_clients_type_has_and_more():
    entries = [FRAMES[0].entry("YQ=="), FRAMES[1].entry("Yg==", "Yw==")]
    found = pictures_answer(ASKED, 1790000000, entries, FRAMES, ["a", "b"], Waited(0.5, 3.6))
    typed = ImagesResponse.model_validate(found)
    assert (typed.size, typed.quality, typed.background, typed.output_format) == ("64x48", "low", "opaque", "png")
    assert typed.usage.total_tokens == 2 * 277
    assert [image.b64_json for image in typed.data] == ["YQ==", "Yg=="]
    assert typed.data[0].revised_prompt == "One, red."
    assert (typed.data[1].seed, typed.data[1].draft_b64_json) == (7, "Yw==")
    assert (typed.story_id, typed.acdc) == ("a", {"stories": ["a", "b"]})
    assert typed.metrics["stage_durations"] == {"draw": 2.4, "correct": 1.2}
    plain = GenerationFields(prompt="One.", quality="standard")
    assert "quality" not in pictures_answer(plain, 1, entries, FRAMES, ["a"], Waited(0, 1))


def test_events_are_of_the_clients_types():
    partial = partial_event("image_generation", ASKED, Partial(0, 0, "One.", 64, 48), "YQ==", 1790000000)
    typed = ImageGenPartialImageEvent.model_validate(partial)
    assert (typed.partial_image_index, typed.size, typed.quality, typed.stage) == (0, "64x48", "low", "draft")
    later = partial_event("image_edit", ASKED, Partial(0, 0, "One.", 64, 48), "YQ==", 1790000000)
    assert (later["type"], later["stage"]) == ("image_edit.partial_image", "correcting")
    done = completed_event("image_generation", ASKED, FRAMES[0], "YQ==", 1790000000, last=True)
    typed = ImageGenCompletedEvent.model_validate(done)
    assert (typed.usage.output_tokens, typed.revised_prompt, typed.last) == (256, "One, red.", True)
