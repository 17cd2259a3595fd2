"""Everything that a user can choose, as frozen dataclasses that check themselves. No tensors, no models."""

from .checks import LOWEST_TEMPERATURE, MAX_WORDS, check_sentences, check_text
from .correction import CorrectionOptions
from .engine import ATTENTIONS, DTYPES, KERNELS, QUANTIZATIONS, EngineOptions
from .sampling import CONTEXTS, DECODINGS, Context, Decoding, SamplingOptions
from .show_o import DEFAULT_CARRY_OVER, DEFAULT_LAYOUT, LAYOUT_OPTIONS, LAYOUTS, Layout, ShowOOptions
from .story import FLAT_NAMES, StoryOptions, make_options

__all__ = [
    "ATTENTIONS",
    "CONTEXTS",
    "DECODINGS",
    "DEFAULT_CARRY_OVER",
    "DEFAULT_LAYOUT",
    "DTYPES",
    "FLAT_NAMES",
    "KERNELS",
    "LAYOUTS",
    "LAYOUT_OPTIONS",
    "LOWEST_TEMPERATURE",
    "MAX_WORDS",
    "QUANTIZATIONS",
    "Context",
    "CorrectionOptions",
    "Decoding",
    "EngineOptions",
    "Layout",
    "SamplingOptions",
    "ShowOOptions",
    "StoryOptions",
    "check_sentences",
    "check_text",
    "make_options",
]
