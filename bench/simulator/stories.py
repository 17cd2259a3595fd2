"""Stories to calibrate on: our own words and seeds, so that no launch is timed on what is measured afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, islice

SEED = 1 << 40  # of the first; measured stories have seeds that somebody chose, which are small

BUILT_IN: tuple[tuple[str, ...], ...] = (
    (
        "Pip the hedgehog woke under a heap of golden leaves at the edge of a quiet orchard in the morning mist.",
        "He stretched his short legs and shook the dew off his spines.",
        "Pip followed the smell of ripe apples between the old trees, his nose close to the ground.",
        "A red apple rolled down the slope, and the hedgehog ran after it as fast as he could.",
        "He pushed the apple along the path with his snout, stopping now and then to rest.",
        "Pip curled up beside his apple, tired and content.",
    ),
    (
        "Nora the otter floated on her back in a slow river, between green reeds and smooth grey stones.",
        "She turned over and dived, leaving a ring of ripples behind her.",
        "Nora came up with a shell between her paws, water dripping off her whiskers.",
        "The otter tapped the shell against a stone, listening to its sound.",
        "She slid down the muddy bank on her belly, again and again, splashing into the water.",
    ),
    (
        "Felix, a black cat, sat on the wall of a small farm at dusk, with a barn and a yellow field behind him.",
        "His tail moved slowly from side to side while he watched a moth.",
        "Felix crouched, his eyes wide, and jumped from the wall into the tall grass.",
        "He crept forward without a sound, one paw after the other.",
        "The cat leaped into the air and turned around in mid-jump, but the moth was gone.",
        "Felix licked his paw and walked home along the fence, as if nothing had happened.",
    ),
    (
        "A young horse named Willow stood on a wide beach in the evening, the sea calm and silver behind her.",
        "Willow lowered her head and sniffed at the foam of a small wave.",
        "She trotted along the water, her hooves leaving deep prints in the wet sand.",
        "The horse broke into a gallop, her mane flying in the wind.",
        "She stopped at the rocks, breathing fast, and looked back at the way she had come.",
    ),
)


def stories_of(lengths: Sequence[int]) -> list[tuple[str, ...]]:
    """Stories of these numbers of sentences, each length as often as in ``lengths``, and every built-in story at least
    once.

    [2, 3] gives the first 2 sentences of the first story, 3 of the second, 2 of the third, 3 of the fourth.
    """
    assert lengths, "no story to be like"
    times = -(-len(BUILT_IN) // len(lengths))
    pairs = zip(cycle(BUILT_IN), list(lengths) * times, strict=False)
    return [tuple(islice(cycle(sentences), length)) for sentences, length in pairs]
