"""Everything that a user can choose, as frozen dataclasses that check themselves. No tensors, no models."""

from .checks import LOWEST_TEMPERATURE, MAX_WORDS, check_sentences, check_text
from .constraint import ConstraintOptions
from .correction import FEW_STEPS, SAMPLERS, CorrectionOptions
from .engine import (
    ATTENTIONS,
    BACKEND_VARIABLE,
    DTYPES,
    KERNELS,
    PRECISIONS,
    QUANTIZATIONS,
    EngineOptions,
    default_backend,
)
from .lora import Lora, as_loras
from .sampling import CONTEXTS, DECODINGS, Context, Decoding, SamplingOptions
from .show_o import DEFAULT_CARRY_OVER, DEFAULT_LAYOUT, LAYOUT_OPTIONS, LAYOUTS, Layout, ShowOOptions
from .story import FLAT_NAMES, StoryOptions, make_options, merge_options

__all__ = [
    "ATTENTIONS",
    "BACKEND_VARIABLE",
    "CONTEXTS",
    "DECODINGS",
    "DEFAULT_CARRY_OVER",
    "DEFAULT_LAYOUT",
    "DTYPES",
    "FEW_STEPS",
    "FLAT_NAMES",
    "KERNELS",
    "LAYOUTS",
    "LAYOUT_OPTIONS",
    "LOWEST_TEMPERATURE",
    "MAX_WORDS",
    "PRECISIONS",
    "QUANTIZATIONS",
    "SAMPLERS",
    "ConstraintOptions",
    "Context",
    "CorrectionOptions",
    "Decoding",
    "EngineOptions",
    "Layout",
    "Lora",
    "SamplingOptions",
    "ShowOOptions",
    "StoryOptions",
    "as_loras",
    "check_sentences",
    "check_text",
    "default_backend",
    "make_options",
    "merge_options",
]
