"""One story of a run over many stories. No tensors, no models."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import index
from typing import Any

from .constraints import NONE, Constraints
from .options import StoryOptions, check_sentences
from .options.partial_images import PartialImages, check_partial_images
from .outputs import Frame

MAX_ID = 100  # bytes: file systems count them
JOINERS = "\u200c\u200d"  # within words of Persian and of Indian languages


@dataclass(frozen=True)
class StoryRequest:
    """One story to draw. ``id`` names it among the others and is the name of its folder; ``done`` are the frames of an
    earlier, interrupted run; ``constraints`` are its user's. ``partial_images`` k asks for k pictures of each corrected
    frame on its way: the draft, and k - 1 evenly spaced estimates of the corrected frame; a tuple names the steps of
    the estimates (from 0). ``options`` are the story's own, by flat name (``{"strength": 0.4}``), and otherwise the
    run's; its memory is the run's. Raises ``ValueError`` (one line) for invalid values."""

    id: str
    sentences: tuple[str, ...]
    seed: int = 0
    done: Sequence[Frame] = ()
    constraints: Constraints = NONE
    partial_images: PartialImages = 0
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, kind in (("id", str), ("seed", int)):
            if not isinstance(getattr(self, name), kind):
                raise ValueError(f"{name} {getattr(self, name)!r} of a story is no {kind.__name__}")
        object.__setattr__(self, "sentences", check_sentences(self.sentences))
        object.__setattr__(self, "id", unicodedata.normalize("NFC", self.id))  # one folder, however it was typed
        size = len(self.id.encode("utf-8", "replace"))
        if not (0 < size <= MAX_ID and self.id[0].isalnum() and all(map(_fits_a_name, self.id))):
            advice = f"1 to {MAX_ID} bytes of letters, digits, - _ and . , a letter or digit first"
            raise ValueError(f"story id {self.id[:MAX_ID]!r} cannot be a folder's name; choose {advice}")
        check_partial_images(self.partial_images)
        StoryOptions().replace(**self.options)  # checks names and values
        if of_memory := [name for name in self.options if name.startswith("memory")]:
            raise ValueError(f"option {of_memory[0]!r} of a story cannot be its own; give it to generate_many()")
        if not 0 <= self.seed < 2**64:
            raise ValueError(f"seed {self.seed} is out of range; choose an integer from 0 to {2**64 - 1}")
        if len(self.done) > len(self.sentences):
            raise ValueError(
                f"story {self.id!r} has {len(self.done)} finished frames of {len(self.sentences)} sentences"
            )

    def recorded(self, options: StoryOptions) -> dict[str, Any]:
        """Its constraints as ``story.json`` keeps them."""
        return self.constraints.recorded(len(self.sentences), options)


def requests_in_step(
    stories: Sequence[Sequence[str]], seeds: Sequence[int], constraints: Sequence[Constraints] | None = None
) -> list[StoryRequest]:
    """Stories to be drawn side by side. ``ValueError`` for unequal lengths, or if there is not one seed (and, where
    given, one of ``constraints``) a story."""
    checked = [check_sentences(sentences) for sentences in stories]
    lengths = sorted({len(sentences) for sentences in checked})
    if len(lengths) != 1:
        raise ValueError(f"stories have {', '.join(map(str, lengths))} sentences; give stories of one length")
    constraints = [NONE] * len(checked) if constraints is None else constraints
    for name, values in (("seed", seeds), ("constraint", constraints)):
        if len(values) != len(checked):
            raise ValueError(f"{len(values)} {name}s for {len(checked)} stories; give one {name} a story")
    return [
        StoryRequest("story", sentences, index(seed), constraints=own)
        for sentences, seed, own in zip(checked, seeds, constraints, strict=True)
    ]


def _fits_a_name(character: str) -> bool:
    """Letters, digits, the marks that belong to letters, and a few signs."""
    return character.isalnum() or character in "-_." + JOINERS or unicodedata.category(character).startswith("M")
