"""Options of one story and their limits. No tensors, no models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from .memory.settings import MemorySettings

MAX_WORDS = 60
LOWEST_TEMPERATURE = 1e-4  # below it logits / T may leave the range of numbers
Context = Literal["window", "full"]
CONTEXTS: tuple[str, ...] = get_args(Context)
Decoding = Literal["auto", "sequential", "parallel"]
DECODINGS: tuple[str, ...] = get_args(Decoding)
Layout = Literal["independent", "block-causal", "carry-over"]
LAYOUTS: tuple[str, ...] = get_args(Layout)
LAYOUT_OPTIONS: Mapping[str, Layout] = {
    "carry_over": "carry-over",
    "context": "block-causal",
}  # options that it alone has


@dataclass(frozen=True)
class StoryOptions:
    """How a story is generated; ``None`` takes the bundle's default.

    Correction (ACDC section 3.2, SDEdit): ``strength`` t' in (0, 1] and ``num_inference_steps`` N run
    min(int(N * t'), N) DDIM steps, as diffusers counts them. ``correct_first`` corrects frames 1..K only,
    ``correct_every`` frames 1, 1+K, 1+2K, ...; ``feed_back=False`` shows the corrected frame but leaves the
    model's own tokens in its context. ``correction_size`` is the shorter side, in pixels, at which the diffusion model
    works (None: the bundle's, or else the frame's own, which can also be named; bicubic there and back). Drawing: the
    token is argmax(logits / ``temperature`` + Gumbel noise) after ``top_k`` (0 = all) and ``top_p`` (1 = all);
    temperature 0 is greedy. ``context`` is what the ARM sees:
    "window" (the sentence and frame before) or "full" (the whole story). ``decoding`` says whether codes are drawn
    one after another or several in a pass, which changes no code up to rounding; "auto" is what was measured faster.

    Show-o alone has ``arm_steps`` (MaskGIT steps a frame), ``layout`` (what a frame sees of the story:
    ``models/arm/show_o_session.py``) and ``carry_over``: the share of codes that "carry-over" keeps of the last frame.
    Its ``context`` counts in layout "block-causal" only. Its ``temperature`` is, as published, that of the confidences
    by which codes are kept or drawn anew; the codes themselves are always drawn at 1, so there is no greedy draw.

    ``memory`` rewrites the sentences; ``memory_model``, ``memory_url``, ``memory_calls``, ``memory_on_failure`` and
    ``memory_timeout`` are for those by a language model (``memory/settings.py``). An API key is in the environment and
    in no option.
    """

    memory: str = "rules"
    memory_model: str | None = None
    memory_url: str | None = None
    memory_calls: str | None = None
    memory_on_failure: str | None = None
    memory_timeout: float | None = None
    correction: bool = True
    correct_first: int | None = None
    correct_every: int = 1
    feed_back: bool = True
    strength: float = 0.5
    num_inference_steps: int = 50
    guidance_scale: float | None = None
    negative_prompt: str = ""
    sample_posterior: bool = False
    correction_size: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    arm_guidance_scale: float | None = None
    context: Context | None = None
    decoding: Decoding = "auto"
    arm_steps: int | None = None
    layout: Layout | None = None
    carry_over: float | None = None

    def __post_init__(self) -> None:
        """Refuse impossible values, each with one line that names the value and the choices."""
        _ = self.memory_settings  # refuses what cannot be
        check_text("negative_prompt", self.negative_prompt)
        if not 0.0 < self.strength <= 1.0:
            raise ValueError(f"strength {self.strength} is out of range; choose 0 < strength <= 1")
        if self.num_inference_steps < 1:
            raise ValueError(f"num_inference_steps {self.num_inference_steps} is too small; choose 1 or more")
        if self.num_steps_run < 1:
            needed = 1.0 / self.num_inference_steps
            raise ValueError(
                f"strength {self.strength} leaves no step of {self.num_inference_steps}; "
                f"choose strength >= {needed:g} or more steps"
            )
        if self.correct_first is not None and self.correct_first < 0:
            raise ValueError(f"correct_first {self.correct_first} is negative; choose 0 or more frames")
        if self.correction_size is not None and self.correction_size < 1:
            raise ValueError(f"correction_size {self.correction_size} is too small; choose a multiple of 8 pixels")
        if self.correct_every < 1:
            raise ValueError(f"correct_every {self.correct_every} is too small; choose 1 or more")
        warm = self.temperature is None or LOWEST_TEMPERATURE <= self.temperature < float("inf")
        if not warm and self.temperature != 0:
            raise ValueError(
                f"temperature {self.temperature} is out of range; choose 0 (greedy) or {LOWEST_TEMPERATURE} and more"
            )
        if self.top_k is not None and self.top_k < 0:
            raise ValueError(f"top_k {self.top_k} is negative; choose 0 (all tokens) or more")
        if self.top_p is not None and not 0.0 < self.top_p <= 1.0:
            raise ValueError(f"top_p {self.top_p} is out of range; choose 0 < top_p <= 1")
        for name in ("guidance_scale", "arm_guidance_scale"):
            value = getattr(self, name)
            if value is not None and not 0.0 <= value < float("inf"):
                raise ValueError(f"{name} {value} is out of range; choose 0 or more (1 = no guidance)")
        if self.context is not None and self.context not in CONTEXTS:
            raise ValueError(f"unknown context {self.context!r}; choose one of {', '.join(CONTEXTS)}")
        if self.decoding not in DECODINGS:
            raise ValueError(f"unknown decoding {self.decoding!r}; choose one of {', '.join(DECODINGS)}")
        if self.arm_steps is not None and self.arm_steps < 1:
            raise ValueError(f"arm_steps {self.arm_steps} is too small; choose 1 or more")
        if self.layout is not None and self.layout not in LAYOUTS:
            raise ValueError(f"unknown layout {self.layout!r}; choose one of {', '.join(LAYOUTS)}")
        if self.carry_over is not None and not 0.0 <= self.carry_over < 1.0:
            raise ValueError(f"carry_over {self.carry_over} is out of range; choose 0 <= carry_over < 1")

    @property
    def memory_settings(self) -> MemorySettings:
        """Which memory module, and how it asks its model."""
        asked = (self.memory_model, self.memory_url, self.memory_calls, self.memory_on_failure, self.memory_timeout)
        return MemorySettings(self.memory, *asked)

    @property
    def num_steps_run(self) -> int:
        """DDIM steps that a correction runs: min(int(N * t'), N)."""
        return min(int(self.num_inference_steps * self.strength), self.num_inference_steps)

    def corrects(self, index: int) -> bool:
        """Is frame ``index`` (from 0) corrected?"""
        within = self.correct_first is None or index < self.correct_first
        return self.correction and within and index % self.correct_every == 0

    def resolved(self, defaults: Mapping[str, Any]) -> "StoryOptions":
        """A copy in which every ``None`` with a default in ``defaults`` (the bundle's) is filled, but for options that
        the layout does not have: what is left of those was given."""
        layout = self.layout or defaults.get("layout")
        idle = {name for name, home in LAYOUT_OPTIONS.items() if layout not in (None, home)}
        missing = {n: value for n, value in defaults.items() if getattr(self, n) is None and n not in idle}
        return replace(self, **missing)


def make_options(**given: Any) -> StoryOptions:
    """``StoryOptions`` from keyword arguments; an unknown name is a ``ValueError`` that lists the known ones."""
    known = [f.name for f in fields(StoryOptions)]
    for name in given:
        if name not in known:
            raise ValueError(f"unknown option {name!r}; choose among {', '.join(known)}")
    return StoryOptions(**given)


def check_sentences(sentences: Sequence[str]) -> tuple[str, ...]:
    """The story's sentences, stripped; ``ValueError`` for none, an empty one, or more than ``MAX_WORDS`` words."""
    if isinstance(sentences, str):
        raise ValueError("sentences is one string; give a list with one sentence a frame")
    if not sentences:
        raise ValueError("no sentence given; give at least one, one a frame")
    for number, sentence in enumerate(sentences, 1):
        words = len(sentence.split())
        if words == 0:
            raise ValueError(f"sentence {number} is empty; give one sentence a frame")
        if words > MAX_WORDS:
            raise ValueError(f"sentence {number} has {words} words; the limit is {MAX_WORDS}")
        check_text(f"sentence {number}", sentence)
    return tuple(" ".join(sentence.split()) for sentence in sentences)


def check_text(name: str, text: str) -> None:
    """``ValueError`` for half of a surrogate pair: how Python holds bytes of the command line that are no UTF-8."""
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError(f"{name} is not UTF-8 text; give it in UTF-8")
