"""New stories by a language model (ACDC, arXiv 2410.04721, appendix C: Algorithm 1 and Table 4).

Each query shows three example stories and asks for one of six sentences at temperature 1. The paper's authors wrote ten
examples and print two; here the pool is the paper's six-sentence stories (two of the authors', two of GPT-4o's:
Tables 5 and 6), or the user's own. Algorithm 1 as printed never draws the last example; here all may be drawn.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from ..examples import EXAMPLES
from ..memory.answer import parse_lines
from ..memory.ask import LanguageModel, ask
from ..memory.prompt import Messages, numbered
from ..memory.rewrite import Refused
from ..options import check_sentences

SENTENCES, SHOWN = 6, 3
TEMPERATURE = 1.0  # Algorithm 1
POOL: dict[str, tuple[str, ...]] = {name: story for name, story in EXAMPLES.items() if len(story) == SENTENCES}

# Table 4; that lines are numbered, and that nothing else is written, is our addition: Table 6 shows such answers.
SYSTEM = (
    "You are a helpful and creative story generator. You should brainstorm creative and impressive yet concise stories "
    "so that a text-to-image generative AI will be able to easily generate the images with it. You are given 3 such "
    'example stories. Reference examples are delimited with """ as a guide. Each story will consist of 6 sentences '
    "separated with linebreaks."
)
USER = (
    "Similar to the examples above, a single story consists of 6 sentences. The story is about an animal main "
    "character with a name. The prompts should be simple and concise. The first sentence should describe the "
    "background. The following prompts should describe the motion of the main character. Be creative, and do not make "
    "a copy of the above examples.\n\nAnswer with exactly 6 lines and nothing else: line k is k, a full stop and "
    "sentence k, at most 60 words.\n\nGenerated story:"
)


class Written(NamedTuple):
    """Story ``number`` (from 1) of a run, and the names of the examples that its query showed."""

    number: int
    sentences: tuple[str, ...]
    examples: tuple[str, ...]


def draw_examples(names: Sequence[str], seed: int, number: int) -> tuple[str, ...]:
    """Three of ``names``, in the order drawn: a function of the run's seed and the story's number alone, so that a
    story depends neither on how many are written nor on where a run was interrupted.

    ``random.Random("SEED/NUMBER")`` gives each name a key, and the three smallest are taken: Python promises the same
    keys in every version, which it does not for ``sample``.
    """
    source = random.Random(f"{seed}/{number}")
    keys = {name: source.random() for name in names}
    return tuple(sorted(names, key=keys.__getitem__)[:SHOWN])


def query_seed(seed: int, number: int) -> int:
    """The 31-bit seed that is sent with the query of a story; endpoints that know none ignore it."""
    return random.Random(f"query {seed}/{number}").getrandbits(31)


def story_query(examples: Sequence[Sequence[str]]) -> Messages:
    """System and user turn with the examples, each between triple quotes."""
    shown = [f'Example {number}:\n"""\n{numbered(story)}\n"""' for number, story in enumerate(examples, 1)]
    return [{"role": "system", "content": "\n\n".join((SYSTEM, *shown))}, {"role": "user", "content": USER}]


def write_story(
    model: LanguageModel,
    pool: Mapping[str, Sequence[str]],
    seed: int,
    number: int,
    taken: Collection[tuple[str, ...]] = (),
    timeout_s: float | None = None,
) -> Written:
    """Story ``number``; :class:`~.memory.MemoryFailure` if no answer can be used.

    An answer is used if it has six numbered sentences of at most 60 words, repeats no sentence of the examples that it
    was shown, and is none of the stories ``taken``.
    """
    names = draw_examples(list(pool), seed, number)
    shown = [pool[name] for name in names]
    forbidden = {_bare(sentence) for story in shown for sentence in story}

    def parse(answer: str) -> tuple[str, ...]:
        try:
            sentences = check_sentences(parse_lines(answer, range(1, SENTENCES + 1)))
        except ValueError as error:
            raise Refused(str(error)) from None
        if any(_bare(sentence) in forbidden for sentence in sentences):
            raise Refused("it copies a sentence of the examples")
        if sentences in taken:
            raise Refused("it is a story that was written before")
        return sentences

    query = story_query(shown)
    sentences = ask(model, query, parse, temperature=TEMPERATURE, seed=query_seed(seed, number), timeout_s=timeout_s)
    return Written(number, sentences, names)


def _bare(sentence: str) -> str:
    return "".join(c for c in sentence.casefold() if c.isalnum())
