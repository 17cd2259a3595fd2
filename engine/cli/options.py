"""Groups of options that several commands share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloup import option, option_group

from ..memory import MEMORY_NAMES
from ..memory.settings import (
    CALLS,
    MODEL_VARIABLE,
    ON_FAILURE,
    OPENAI_URL,
    PAPERS_MODEL,
    TIMEOUT_S,
    URL_VARIABLE,
)
from ..options import DEFAULT_CARRY_OVER, DEFAULT_LAYOUT, FEW_STEPS, StoryOptions
from ..outputs import StoryResult
from ..storage.correction_run import CorrectionRun
from ..utils.streams import log
from .engine_options import EXECUTION, models
from .flags import ASSIGNMENTS, Decorator, flag

BUNDLES = "the bundle's"
TIMEOUTS = ", ".join(f"{seconds:.0f} for {name}" for name, seconds in TIMEOUT_S.items())

SEED = option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Start the random numbers from this integer; the same seed gives the same pictures.",
)
JSON = option("--json", "as_json", is_flag=True, help="Print what was done as JSON instead of one line.")
DECODING = flag(
    "--decoding",
    "sampling.decoding",
    "Draw one token per pass (sequential), several (parallel), or what was measured faster (auto); the tokens are the "
    "same.",
)
GUIDANCE = flag(
    "--guidance",
    "correction.guidance_scale",
    "Scale the diffusion model's classifier-free guidance by this factor; 1 turns it off.",
    unset=BUNDLES,
)


SAMPLING = (
    SEED,
    DECODING,
    flag(
        "--context",
        "sampling.context",
        "Show the autoregressive model the previous sentence and frame (window) or the whole story (full).",
        unset=BUNDLES,
    ),
    flag(
        "--arm-guidance",
        "sampling.guidance_scale",
        "Scale the autoregressive model's classifier-free guidance by this factor; 1 turns it off.",
        unset=BUNDLES,
    ),
)
TOKENS = (
    flag(
        "--temperature",
        "sampling.temperature",
        "Divide logits by this temperature before sampling; 0 takes the most likely token (not available for Show-o).",
        unset=BUNDLES,
    ),
    flag(
        "--top-k",
        "sampling.top_k",
        "Sample among the K most likely tokens; 0 keeps all.",
        unset=BUNDLES,
        metavar="K",
    ),
)
LANGUAGE_MODEL = (  # the key is in the environment: other users can list a process's arguments
    flag(
        "--memory-model",
        "memory.model",
        "Ask this language model: its name at the endpoint (chat), or its directory (local).",
        unset=f"${MODEL_VARIABLE}, or {PAPERS_MODEL} at OpenAI",
        metavar="MODEL",
    ),
    flag(
        "--memory-url",
        "memory.url",
        "Send requests for chat to this OpenAI-compatible address, to which the program appends /chat/completions.",
        unset=f"${URL_VARIABLE}, or {OPENAI_URL}",
        metavar="URL",
    ),
    flag(
        "--memory-timeout",
        "memory.timeout",
        "Fail a request to the language model after this number of seconds, retries included.",
        unset=TIMEOUTS,
        metavar="SECONDS",
    ),
)
MEMORY = option_group(
    "Memory",
    flag(
        "--memory",
        "memory.name",
        "Rewrite each sentence for the models: not at all (none), by rules, or with a language model (chat, local).",
        choices=MEMORY_NAMES,
    ),
    *LANGUAGE_MODEL,
    flag(
        "--memory-calls",
        "memory.calls",
        "Ask the language model once per frame (chunk) or once per story.",
        choices=CALLS,
        unset=CALLS[0],
    ),
    flag(
        "--memory-on-failure",
        "memory.on_failure",
        "Stop the story if the language model fails (error), or continue with the rewrite by rules.",
        choices=ON_FAILURE,
        unset=ON_FAILURE[0],
    ),
)
STRENGTH = (
    flag(
        "--strength",
        "correction.strength",
        "Add noise to a draft up to this fraction t' of the noise schedule, in (0, 1].",
        unset="the bundle's, or 0.5",
    ),
    flag(
        "--steps",
        "correction.num_inference_steps",
        "Divide the noise schedule into N steps; a correction runs int(N * t') of them, or all N where the diffusion "
        "model is an LCM.",
        unset="the bundle's, or 50",
        metavar="N",
    ),
    flag(
        "--sampler",
        "correction.sampler",
        "Take the steps with this sampler.",
        unset="the one that the diffusion model's scheduler names",
    ),
    GUIDANCE,
    flag(
        "--correction-size",
        "correction.size",
        "Resize a frame's shorter side to this number of pixels for the correction.",
        unset="the bundle's, or the frame's own size",
        metavar="PIXELS",
    ),
)


NEGATIVE_PROMPT = flag(
    "--negative-prompt",
    "correction.negative_prompt",
    "Steer the correction away from this text.",
    unset="the empty text",
    metavar="TEXT",
)


def choice_of_frames(unit: str, first: str) -> tuple[Decorator, ...]:
    """Which ``unit`` are corrected (``first``: the default of --correct-first), and away from what."""
    return (
        flag(
            "--no-correction",
            "correction.enabled",
            "Draw with the autoregressive model alone; nothing is corrected.",
            value=False,
        ),
        flag("--correct-first", "correction.first", f"Correct the first K {unit} only.", unset=first, metavar="K"),
        flag("--correct-every", "correction.every", f"Correct {unit} 1, 1+K, 1+2K, ... only.", metavar="K"),
        NEGATIVE_PROMPT,
    )


SHOW_O = option_group(
    "Show-o models",
    flag(
        "--arm-steps",
        "show_o.steps",
        "Draw a frame in this number of MaskGIT steps.",
        unset=f"{BUNDLES}: 18 at 256 pixels, 50 at 512",
        metavar="N",
    ),
    flag(
        "--layout",
        "show_o.layout",
        "Let a frame see the story in this way: nothing of it (independent), earlier frames and sentences "
        "(block-causal), or some tokens of the previous frame (carry-over).",
        unset=DEFAULT_LAYOUT,
    ),
    flag(
        "--carry-over",
        "show_o.carry_over",
        "Keep this fraction of the previous frame's tokens in layout carry-over, in [0, 1).",
        unset=str(DEFAULT_CARRY_OVER),
    ),
)
SLOTS = flag("--slots", "scheduler.slots", "Run this number of launches at the same time.", metavar="N", least=1)
CONCURRENCY = flag(
    "--concurrency",
    "scheduler.stories",
    "Hold this number of stories in memory at the same time.",
    metavar="N",
    least=1,
)
RARE = option_group(
    "Rare options",
    option(
        "--set",
        ASSIGNMENTS,
        multiple=True,
        metavar="PATH=VALUE",
        help="Set any other option by its path, such as sampling.top_p=0.9; an unknown path lists all paths.",
    ),
)


def output(kept: str, default: str, what: str) -> Decorator:
    """Options ``out``, ``resume`` and ``overwrite`` of a command that writes ``kept`` for one ``what``."""
    return option_group(
        "Output",
        option("--out", metavar="DIR", help=f"Write {kept} to this directory.  [default: {default}]"),
        option("--resume", is_flag=True, help=f"Continue the interrupted {what} in --out."),
        option("--overwrite", is_flag=True, help=f"Replace the earlier {what} in --out."),
    )


def drawing(
    *further: Decorator, bundle: str | None = None, unit: str = "frames", first: str = "all"
) -> tuple[Decorator, ...]:
    """Options of every command that draws: ``bundle`` as for :func:`models`, the others as for
    :func:`choice_of_frames`; ``further`` groups follow those of the correction."""
    return (
        models(bundle),
        EXECUTION,
        option_group("Sampling", *SAMPLING, *TOKENS),
        option_group("Correction", *STRENGTH, *choice_of_frames(unit, first)),
        *further,
        MEMORY,
        SHOW_O,
        RARE,
    )


def remark_on_steps(run: StoryResult | CorrectionRun) -> None:
    """Say on stderr which steps the corrections of ``run`` take where their strength alone does not: with few steps,
    and with a sampler that has a grid of its own."""
    steps, sampler = run.settings["num_inference_steps"], run.settings["sampler"]
    if run.start and (steps <= FEW_STEPS or sampler != "ddim"):
        counts, where = f"{run.start['steps_run']} of {steps} steps", f"from timestep {run.start['timestep']:g}"
        log(f"acdc: the correction runs {counts} of {sampler}, {where}")


def remark_on_unused(options: StoryOptions, defaults: Mapping[str, Any], embeds_guidance: bool = False) -> None:
    """Say on stderr which of the given options has no effect; ``embeds_guidance`` of the diffusion model."""
    correction = options.resolved(defaults).correction
    guidance = correction.guidance_scale
    if not (correction.negative_prompt and correction.enabled):
        return
    if embeds_guidance:
        log("acdc: --negative-prompt has no effect: this diffusion model guides itself, without a branch to steer")
    elif guidance is not None and guidance <= 1:
        why = f"guidance {guidance:g} draws without the branch that it steers; choose --guidance above 1"
        log(f"acdc: --negative-prompt has no effect: {why}")
