"""Options that several commands share, and their way into ``StoryOptions``."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from ..memory import MEMORY_NAMES
from ..memory.settings import CALLS, ON_FAILURE
from ..options import CONTEXTS, DECODINGS, LAYOUTS, StoryOptions, make_options
from ..utils.streams import log

Command = TypeVar("Command", bound=Callable[..., Any])
DTYPES = ("float32", "bfloat16", "float16", "float64")

FIELD_OF = {  # parameter of the command line -> field of StoryOptions
    "memory": "memory",
    "memory_model": "memory_model",
    "memory_url": "memory_url",
    "memory_calls": "memory_calls",
    "memory_on_failure": "memory_on_failure",
    "memory_timeout": "memory_timeout",
    "correct_first": "correct_first",
    "correct_every": "correct_every",
    "strength": "strength",
    "steps": "num_inference_steps",
    "guidance": "guidance_scale",
    "negative_prompt": "negative_prompt",
    "correction_size": "correction_size",
    "temperature": "temperature",
    "top_k": "top_k",
    "context": "context",
    "decoding": "decoding",
    "arm_guidance": "arm_guidance_scale",
    "arm_steps": "arm_steps",
    "layout": "layout",
    "carry_over": "carry_over",
}

BUNDLE = (click.option("--bundle", default="storyworld", show_default=True, help="Bundle: a name or a directory."),)
RUN = (
    click.option("--models", metavar="DIR", help="Where a published bundle's checkpoints lie."),
    click.option("--random-weights", is_flag=True, help="A published bundle at full size, of noise, for timing."),
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
LANGUAGE_MODEL = (  # the key is in the environment, never among the arguments, which other users may list
    click.option("--memory-model", metavar="MODEL", help="chat: its name there; local: its directory."),
    click.option("--memory-url", metavar="URL", help="chat: the address that /chat/completions is appended to."),
    click.option(
        "--memory-timeout", type=float, metavar="SECONDS", help="Of one rewrite.  [default: chat 180, local 1200]"
    ),
)
CORRECTION = (
    click.option("--memory", type=click.Choice(MEMORY_NAMES), help="Rewrites sentences.  [default: rules]"),
    *LANGUAGE_MODEL,
    click.option("--memory-calls", type=click.Choice(CALLS), help="Asked once a frame, or a story.  [default: chunk]"),
    click.option("--memory-on-failure", type=click.Choice(ON_FAILURE), help="Stop, or go on.  [default: error]"),
    click.option("--strength", type=float, help="t': how far a frame is noised, in (0, 1].  [default: 0.5]"),
    click.option("--steps", type=int, help="N: DDIM steps, of which int(N*t') run.  [default: 50]"),
    click.option("--guidance", type=float, help="Classifier-free guidance.  [default: the bundle's]"),
    click.option(
        "--correction-size", type=int, help="Pixels the corrector works at.  [default: the bundle's, else the frame's]"
    ),
    click.option("--context", type=click.Choice(CONTEXTS), help="What the ARM sees.  [default: the bundle's]"),
    click.option("--arm-guidance", type=float, help="Guidance of the ARM; 1 = none.  [default: the bundle's]"),
    click.option("--arm-steps", type=int, help="Show-o: steps a frame.  [default: 18 at 256 px, 50 at 512]"),
    click.option("--layout", type=click.Choice(LAYOUTS), help="Show-o: how frames follow.  [default: independent]"),
    click.option("--carry-over", type=float, help="Show-o: share of codes kept in that layout.  [default: 0.5]"),
)


def with_options(*groups: tuple[Callable[[Command], Command], ...]) -> Callable[[Command], Command]:
    """Decorate a command with groups of options, in the order in which ``--help`` shows them."""

    def decorate(command: Command) -> Command:
        for option in reversed([option for group in groups for option in group]):
            command = option(command)
        return command

    return decorate


def remark_on_unused(options: StoryOptions, defaults: Mapping[str, Any]) -> None:
    """Say on stderr which of the given options has no effect."""
    guidance = options.resolved(defaults).guidance_scale
    if options.negative_prompt and options.correction and guidance is not None and guidance <= 1:
        why = f"guidance {guidance:g} draws without the branch that it steers; choose --guidance above 1"
        log(f"acdc: --negative-prompt has no effect: {why}")


def story_options(parameters: Mapping[str, Any], **fixed: Any) -> StoryOptions:
    """The options that were given; what was not stays at its default."""
    given = {FIELD_OF[name]: value for name, value in parameters.items() if name in FIELD_OF and value is not None}
    return make_options(**given, **fixed)
