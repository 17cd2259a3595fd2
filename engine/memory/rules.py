"""Memory by rules: offline and deterministic. It puts name, kind and setting first and resolves the referent."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from .english.words import split_words
from .head import head
from .resolve import resolve
from .rewrite import Memory
from .state import State

# A prompt's head must fit well into the 77 tokens of a CLIP text encoder, in front of everything else.
HEAD_WORDS = 16


class Rules(Memory):
    """The rewrite of sentence k uses sentences 0..k only, so a story may still grow while it is drawn."""

    name = "rules"

    def __init__(self) -> None:
        self._after = lru_cache(maxsize=4096)(self._state)  # sentence k is refined after k - 1 others, again and again

    def refine(self, prompts: Sequence[str]) -> str:
        """Rewrite ``prompts[-1]``; text without a protagonist comes back unchanged. Empty: ``ValueError``."""
        if not prompts:
            raise ValueError("refine needs at least one sentence, got none")
        for count in range(len(prompts) + 1):  # shorter beginnings first: each takes one step from the last
            state = self._after(tuple(prompts[:count]))
        before = self._after(tuple(prompts[:-1]))
        return rewrite(prompts[-1], state, first=before.subject is None)

    def refine_story(self, prompts: Sequence[str]) -> list[str]:
        """All rewrites of a story; entry k equals ``refine(prompts[: k + 1])``."""
        return [self.refine(prompts[: k + 1]) for k in range(len(prompts))]

    def _state(self, prompts: tuple[str, ...]) -> State:
        return self._after(prompts[:-1]).after(prompts[-1]) if prompts else State()


def rewrite(sentence: str, state: State, first: bool) -> str:
    """Head ("Benny the beagle in a vibrant garden.") and the sentence with its first referent named."""
    if state.subject is None:
        return sentence
    if first and _is_self_contained(sentence, state):
        return sentence
    resolved = resolve(sentence.strip(), state)
    return f"{head(state, resolved)} {resolved}".strip()


def _is_self_contained(sentence: str, state: State) -> bool:
    """True if a first sentence begins with its subject and soon names its setting."""
    assert state.subject is not None
    words = [word.low for word in split_words(sentence) if not word.mark and not word.low.startswith("'")]
    hero = state.subject.hero
    who = (hero.kind or hero.name or "").lower().split()[-1]
    names = [name.lower().split()[-1] for name in state.subject.names()]
    begins = who in words[:6] and all(name in words[:8] for name in names)
    if state.setting is None:
        return begins
    place = split_words(state.setting.phrase)[-1].low
    return begins and place in words[:HEAD_WORDS]
