"""Chat templates as people write them: what reaches a local model of the instructions, and what becomes of thoughts."""

from __future__ import annotations

import pytest

from acdc.engine.memory import MemoryFailure, MemorySettings
from acdc.engine.memory.ask import Limits
from acdc.engine.memory.language import Language
from acdc.engine.memory.local import LocalModel
from acdc.engine.memory.prompt import story_messages
from acdc.engine.memory.rewrite import Refused
from tests.helpers.chat_runs import GOOD, STORY
from tests.helpers.chat_server import numbered
from tests.helpers.tiny_language_model import START, TEMPLATE, StandIn, make_tokenizer

ASK = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Go on."}]
PARTED = "{% for p in m['content'] %}{% if p['type'] == 'text' %}{{ p['text'] }}{% endif %}{% endfor %}"
TEMPLATES = {  # what a template does -> itself
    "transformers#30545 leaves the system turn out": TEMPLATE.replace(
        "{% for m in messages %}", "{% for m in messages if m['role'] != 'system' %}"
    ),
    "reads the last turn only": TEMPLATE.replace("in messages", "in messages[-1:]"),
    "raises for a system turn": "{{ raise_exception('no system') if messages[0]['role'] == 'system' }}" + TEMPLATE,
    "wants turns to alternate": "{{ raise_exception('no') if messages[0]['role'] != 'user' }}" + TEMPLATE,
    "fails at a system turn": "{{ 1 // 0 if messages[0]['role'] == 'system' }}" + TEMPLATE,
    "takes content in parts": TEMPLATE.replace("{{ m['content'] }}", PARTED),
    "takes parts and leaves the system turn out": TEMPLATE.replace("{{ m['content'] }}", PARTED).replace(
        "{% for m in messages %}", "{% for m in messages if m['role'] != 'system' %}"
    ),
    "trims": TEMPLATE.replace("m['content']", "m['content'] | trim"),
}


def asked(template: str, messages=ASK) -> str:
    """The prompt that a model with this template gets."""
    tokenizer = make_tokenizer(template)
    model = StandIn(tokenizer, "Fine.")
    assert LocalModel(model, tokenizer).complete(messages, timeout_s=5.0) == "Fine."
    return model.prompts[0]


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_every_turn_reaches_the_model_once(template: str) -> None:
    for messages in (ASK, story_messages(STORY)):
        prompt = asked(template, messages)
        for message in messages:
            assert prompt.count(message["content"]) == 1
        assert prompt.endswith(f"{START}assistant\n")


def test_a_template_that_leaves_out_everything() -> None:
    with pytest.raises(MemoryFailure, match="the chat template leaves out the user's turn"):
        asked("hello")


@pytest.mark.parametrize("name", ["enable_thinking", "thinking"])
def test_thinking_is_turned_off_where_the_template_can(name: str) -> None:
    """huggingface/transformers#37949: Qwen 3 thinks unless a flag turns it off."""
    ending = f"{{% if {name} is defined and not {name} %}}<think>\n\n</think>\n\n{{% endif %}}"
    assert asked(TEMPLATE + ending).endswith("assistant\n<think>\n\n</think>\n\n")
    assert asked(TEMPLATE).endswith("assistant\n")


@pytest.mark.parametrize(
    "answer",
    [
        "<think>\nWho?\n</think>\n\n{}",
        "Who?</think>{}",
        "[THINK]Who?[/THINK]{}",
        f"<|channel|>analysis<|message|>Who?{START}assistant<|channel|>final<|message|>{{}}",
    ],
)
def test_thoughts_are_dropped_though_their_tags_be_special_tokens(answer: str) -> None:
    tags = ["<think>", "</think>", "[THINK]", "[/THINK]", "<|channel|>", "<|message|>"]
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": [START, *tags]})
    model = StandIn(tokenizer, answer.format(numbered(GOOD)))
    made = Language(LocalModel(model, tokenizer), MemorySettings("local", "m", calls="story").resolved())
    assert made.rewrite(STORY[:2], STORY[2:]).text == GOOD[1]


def test_thoughts_alone_are_not_an_answer() -> None:
    tokenizer = make_tokenizer()
    with pytest.raises(Refused, match="within its thoughts"):
        LocalModel(StandIn(tokenizer, "<think>Who?"), tokenizer).complete(ASK, timeout_s=5.0)


def test_the_time_of_a_rewrite_reaches_the_model() -> None:
    class Clock(StandIn):
        def generate(self, ids, **how):
            self.seconds = how["generation_config"].max_time
            return super().generate(ids, **how)

    tokenizer = make_tokenizer()
    model = Clock(tokenizer, "2. Fine.")
    settings = MemorySettings("local", "m", timeout=7.0).resolved()
    local = LocalModel(model, tokenizer, Limits(timeout_s=99.0, deadline_s=99.0))
    assert Language(local, settings).refine(STORY[:2]) == "Fine."
    assert 6.0 < model.seconds <= 7.0
