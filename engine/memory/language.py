"""Memory by a language model, as in the paper (ACDC section 3.3, appendix D), whichever model answers."""

from __future__ import annotations

from collections.abc import Sequence

from .answer import parse_line, parse_lines
from .ask import LanguageModel, ask
from .prompt import chunk_messages, story_messages
from .rewrite import Memory, MemoryFailure, Rewrite
from .rules import Rules
from .settings import MemorySettings

Story = tuple[str, ...]


class Language(Memory):
    """Asks ``model``, decoding greedily. A first sentence is kept as it is: Table 7 modifies the second and onwards.

    With calls "chunk" the model is asked once a sentence and sees only sentences 1..k, so the rewrite is causal
    whatever it answers; a story of K sentences takes K - 1 calls. With "story" it is asked once and sees all of them;
    that the rewrite of sentence k uses 1..k alone is then a request of the prompt's, not a fact. Answers are kept for
    as long as this object lives, and so is a story's failure: one story is not asked for over and over.
    """

    def __init__(self, model: LanguageModel, settings: MemorySettings) -> None:
        """``settings`` are resolved."""
        assert settings.calls is not None
        assert settings.on_failure is not None
        self.name, self.model, self.timeout_s = settings.name, model, settings.timeout
        self.by_story, self.falls_back = settings.calls == "story", settings.on_failure == "rules"
        self._answers: dict[Story, Story | MemoryFailure] = {}
        self._rules = Rules()

    def refine(self, prompts: Sequence[str]) -> str:
        """The rewrite of ``prompts[-1]``; an empty sequence is a ``ValueError``."""
        return self.rewrite(prompts).text

    def rewrite(self, prompts: Sequence[str], later: Sequence[str] = ()) -> Rewrite:
        """The rewrite of ``prompts[-1]``, or the one by rules and a note of why."""
        if not prompts:
            raise ValueError("refine needs at least one sentence, got none")
        if len(prompts) == 1:
            return Rewrite(prompts[0])
        story = (*prompts, *later) if self.by_story else tuple(prompts)
        answer = self._answer(story)
        if isinstance(answer, MemoryFailure):
            if not self.falls_back:
                raise answer
            return Rewrite(self._rules.refine(prompts), f"rewritten by rules: {answer}")
        if not self.by_story:
            return Rewrite(answer[0])
        return Rewrite(answer[len(prompts) - 1], later=answer[len(prompts) :])

    def restore(self, sentences: Sequence[str], rewrites: Sequence[str]) -> None:
        """The answer of an earlier run for this story; nothing where not all of it is there."""
        if self.by_story and len(rewrites) == len(sentences):
            self._answers[tuple(sentences)] = tuple(rewrites)

    def _answer(self, story: Story) -> Story | MemoryFailure:
        """All sentences (calls "story") or the last one, rewritten; asked for once."""
        if story not in self._answers:
            try:
                self._answers[story] = self._ask(story)
            except MemoryFailure as failure:
                self._answers[story] = failure
        return self._answers[story]

    def _ask(self, story: Story) -> Story:
        count = len(story)
        if not self.by_story:
            line = ask(
                self.model, chunk_messages(story), lambda text: parse_line(text, count), timeout_s=self.timeout_s
            )
            return (line,)
        numbers = range(1, count + 1)
        lines = ask(
            self.model, story_messages(story), lambda text: parse_lines(text, numbers), timeout_s=self.timeout_s
        )
        return tuple(lines)
