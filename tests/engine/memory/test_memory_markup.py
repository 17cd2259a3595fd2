"""Text that models write around the requested line is taken off, or the answer is refused; it is never drawn."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acdc.engine.memory import Rewrite
from acdc.engine.memory.answer import Refused, parse_line, parse_lines
from acdc.engine.memory.thoughts import without_thoughts
from tests.helpers.chat_runs import GOOD, STORY, memory, rewrites
from tests.helpers.chat_server import numbered, says

THOUGHTS = [  # ollama/ollama#10496 first
    "<think>Who ran?\n1. Luna?\n\n2. Bo?</think>\n\n{}",
    "<think>\n\n</think>\n\n{}",
    "Who ran? Luna.\n</think>\n\n{}",
    "<THINK>a</THINK>{}",
    '<thinking time="3">a</thinking>{}',
    "<thought>a <think> b</thought>{}",
    "<reasoning>a</reasoning>\n<answer>{}</answer>",
    "<seed:think>a</seed:think>{}",
    "[THINK]a[/THINK]{}",
    "◁think▷a◁/think▷{}",
    "<|think|>a<|/think|>{}",
    "<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>{}<|END_RESPONSE|>",
    "<|begin_of_thought|>a<|end_of_thought|>\n{}",
    "<|channel>thought\na<channel|>{}<turn|>",
    "Here is my thought process:\na\n\nHere is my response:\n{}",
    "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>{}<|return|>",
    "analysisWe must rewrite. 2. a\n3. bassistantfinal{}",
    "{}<think>Was that right?</think>",
]
AROUND = [  # vectorize-io/hindsight#2029 first
    "{}<|im_end|>",
    '"{}"',
    "“{}”",
    "«{}»",
    "'{}'",
    '"""\n{}\n"""',
    "```\n{}\n```",
    "```text\n{}\n```",
    "**{}**",
    "`{}`",
    "- {}",
    "* {}",
    "> {}",
    "<|im_start|>assistant\n{}<|im_end|>",
    "<|start_header_id|>assistant<|end_header_id|>\n\n{}<|eot_id|>",
    "<s> {}</s>",
    "{}<end_of_turn>\n<start_of_turn>user\nThanks!",
    "{}<｜end▁of▁sentence｜>",
    "Sure, here is the modified sentence:\n\n{}",
    "Sure! I can do that.\nHere it is:\n{}",
    "Certainly!\n\n{}",
    "### Modified sentence 2\n\n{}",
    "(Modified sentence 2)\n{}",
    "<story>\n{}\n</story>",
    "{}\n\n(Note: I replaced the pronoun.)",
    "{} (Note: I replaced the pronoun.)",
    "{}\n\nLet me know if you would like changes!",
]
LABELS = ["2. {}", "**2.** {}", "**2. {}**", "*2.* {}", "Modified sentence 2: {}", "**Modified sentence 2:** {}"]
LABELS += ["2: {}", "2 - {}", "(2) {}", "[2] {}", "#2 {}", "2.{}", "2\\. {}", "- 2. {}", "## 2. {}", "２．{}", "2️⃣ {}"]
LABELS += ["Sentence two: {}", "Here's modified sentence 2: {}", "The modified sentence is: {}", "Answer: {}"]
LABELS += ["2. Modified sentence: {}", '2. "{}"', "Sentence 2: 2. {}", "**2. {}"]
PLAIN = ["2 foxes ran.", "2.5 metres tall, Luna ran.", "10:30 came and Luna ran.", "The line was short: Luna waited."]
PLAIN += [
    '"Stop!" said Luna.',
    '"Stop!" said Luna, "now!"',
    "Luna's fox ran.",
    "Here is Luna: the fox.",
    "She said: run!",
]
PLAIN += ["Luna the *brave* fox ran.", "Sorry, Luna can't come out.", "Luna <3 Bo.", "I can't sleep, thought Luna."]
REFUSED = {
    "3. Luna ran.": "its number, 2",
    "Modified sentence 3: Luna ran.": "its number, 2",
    "**1.** Luna ran.": "its number, 2",
    '{"2": "Luna ran."}': "data",
    '```json\n["Luna ran."]\n```': "data",
    "| 2 | Luna ran. |": "data",
    "I'm sorry, but I can't help with that.": "declines",
    "I’m very sorry, I can’t assist with that request.": "declines",
    "As an AI, I run no foxes.": "declines",
    "Luna <|image|> ran.": "marks",
    "Luna ran.<|im_end|>user": "marks",
    "<think>Luna? No": "within its thoughts",
    "<|channel|>analysis<|message|>Luna?": "thoughts and no answer",
    "1. Luna sat.\n2. Luna ran.": "2 lines instead of 1",
    "Original: She ran.\nModified: Luna ran.": "2 lines instead of 1",
    "Modified sentence 2:": "0 lines instead of 1",
    "**2.**": "empty",
}


@pytest.mark.parametrize("form", [*THOUGHTS, *AROUND, *LABELS])
def test_one_line_comes_out_bare(form: str) -> None:
    assert parse_line(form.format("Luna ran."), 2) == "Luna ran."


@pytest.mark.parametrize("form", [*THOUGHTS, *AROUND[4:]])
def test_so_do_many(form: str) -> None:
    answer = form.format(numbered(["Luna sat.", "Luna ran."])).replace("`1. ", "`\n1. ")
    if form in {"**{}**", "`{}`", "- {}", "* {}", "> {}", "'{}'", "{} (Note: I replaced the pronoun.)"}:
        lines = [form.format(f"{number}. {text}") for number, text in enumerate(["Luna sat.", "Luna ran."], 1)]
        answer = "\n".join(lines)
    assert parse_lines(answer, (1, 2)) == ["Luna sat.", "Luna ran."]


@pytest.mark.parametrize("form", [form for form in LABELS if form.count("2") == 1])
def test_so_do_labels_of_many(form: str) -> None:
    lines = [form.replace("2", str(number)).format(text) for number, text in enumerate(["Luna sat.", "Luna ran."], 1)]
    assert parse_lines("\n\n".join(lines).replace("２", "1", 1), (1, 2)) == ["Luna sat.", "Luna ran."]


@pytest.mark.parametrize("text", PLAIN)
def test_sentences_that_look_a_little_like_it_stay(text: str) -> None:
    assert parse_line(text, 2) == text
    assert parse_lines(f"1. {text}\n2. {text}", (1, 2)) == [text, text]


@pytest.mark.parametrize(("answer", "words"), REFUSED.items(), ids=REFUSED)
def test_markup_that_does_not_come_off_is_refused(answer: str, words: str) -> None:
    with pytest.raises(Refused, match=words):
        parse_line(answer, 2)


@given(st.text(), st.text(st.characters(exclude_characters="<>[]◁▷|"), max_size=50))
def test_nothing_of_a_thought_is_left(thought: str, answer: str) -> None:
    if "channel|" not in thought and "my response:" not in thought.casefold():
        assert without_thoughts(f"<think>{thought.replace('/think', '')}</think>{answer}") == answer


@pytest.mark.long
@pytest.mark.parametrize(
    "piece", ["<think>", "</think>", "<|channel|>", "**", "[", "<", "Sure, ", "here is ", "2. ", "`"]
)
def test_an_answer_of_a_megabyte_is_read_quickly(piece: str) -> None:
    began = time.process_time()
    with pytest.raises(Refused):
        parse_line("Luna" + piece * ((1 << 20) // len(piece)), 2)
    assert time.process_time() - began < 5.0


@pytest.mark.usefixtures("chat_environment")
def test_by_way_of_a_server(server) -> None:
    server.does(says(f"<think>Hm.\n\nWho?</think>\n\nSure, here they are:\n\n{numbered(GOOD)}\n\nI hope this helps!"))
    assert rewrites(memory(server)) == [Rewrite(text) for text in (STORY[0], *GOOD[1:])]
    assert len(server.asked) == 1
