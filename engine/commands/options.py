"""Options that several commands share, and their way into ``StoryOptions``."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from ..memory import MEMORIES
from ..story import CONTEXTS, DECODINGS, StoryOptions, make_options

Command = TypeVar("Command", bound=Callable[..., Any])
DTYPES = ("float32", "bfloat16", "float16", "float64")

FIELD_OF = {  # parameter of the command line -> field of StoryOptions
    "memory": "memory",
    "correct_first": "correct_first",
    "correct_every": "correct_every",
    "strength": "strength",
    "steps": "num_inference_steps",
    "guidance": "guidance_scale",
    "negative_prompt": "negative_prompt",
    "temperature": "temperature",
    "top_k": "top_k",
    "context": "context",
    "decoding": "decoding",
}

RUN = (
    click.option("--bundle", default="storyworld", show_default=True, help="Bundle: a name or a directory."),
    click.option("--seed", type=int, default=0, show_default=True, help="Same seed, same pictures."),
    click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N."),
    click.option("--dtype", type=click.Choice(DTYPES), default="float32", show_default=True, help="Numbers."),
    click.option("--backend", default="eager", show_default=True, help="Runs the stages: auto, NAME or stage=NAME,..."),
    click.option(
        "--decoding", type=click.Choice(DECODINGS), help="One code a pass, or several; same codes.  [default: auto]"
    ),
    click.option("--attention", default="sdpa", show_default=True, help="Of the UNet: sdpa or xformers."),
    click.option("--kernels", default="torch", show_default=True, help="torch, or ours on CUDA: triton."),
    click.option("--quantization", default="none", show_default=True, help="ARM's weights: int8 or fp8, lossy."),
    click.option("--threads", type=click.IntRange(min=1), help="CPU threads.  [default: torch's choice]"),
)
CORRECTION = (
    click.option("--memory", type=click.Choice(list(MEMORIES)), help="Rewrites sentences.  [default: rules]"),
    click.option("--strength", type=float, help="t': how far a frame is noised, in (0, 1].  [default: 0.5]"),
    click.option("--steps", type=int, help="N: DDIM steps, of which int(N*t') run.  [default: 50]"),
    click.option("--guidance", type=float, help="Classifier-free guidance.  [default: the bundle's]"),
    click.option("--context", type=click.Choice(CONTEXTS), help="What the ARM sees.  [default: the bundle's]"),
)


def with_options(*groups: tuple[Callable[[Command], Command], ...]) -> Callable[[Command], Command]:
    """Decorate a command with groups of options, in the order in which ``--help`` shows them."""

    def decorate(command: Command) -> Command:
        for option in reversed([option for group in groups for option in group]):
            command = option(command)
        return command

    return decorate


def story_options(parameters: Mapping[str, Any], **fixed: Any) -> StoryOptions:
    """The options that were given; what was not stays at its default."""
    given = {FIELD_OF[name]: value for name, value in parameters.items() if name in FIELD_OF and value is not None}
    return make_options(**given, **fixed)
