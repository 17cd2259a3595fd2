"""Drift of stories by lossy arithmetic: ``python -m acdc.bench.drift --out bench/results/drift_cpu_DATE.json``.

On held-out stories, each way of keeping the ARM's weights, or of computing the UNet, against float32:

- nats a code that the ARM gives the true frames, each code after the true ones before it,
- the share of those codes that would be drawn otherwise with the same noise,
- frames with the right animal and setting by the judge in whole stories, drafts and corrected frames, the same seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor

from ..engine.engine import Engine
from ..engine.sampling import SamplingParams, choose
from ..engine.utils.atomic import make_directory, write_json
from ..engine.utils.rng import Purpose, gumbel, make_keys
from ..engine.utils.versions import versions
from .decoding.frames import true_codes
from .parts import arm_of
from .storyworld.judge.judge import load as load_judge
from .storyworld.study.evaluate import right_subject, story_labels, verdicts
from .storyworld.study.rows import draw_stories
from .storyworld.world.grammar import StorySample, sample_story

FIRST_SEED = 100_000
WAYS: dict[str, dict[str, Any]] = {  # row -> settings of the engine
    "float32": {},
    "int8": {"quantization": "int8"},
    "fp8": {"quantization": "fp8"},
}
UNET_WAYS: dict[str, dict[str, Any]] = {
    "unet openvino-bf16": {"backend": "unet=openvino-bf16"},
    "unet openvino-int8": {"backend": "unet=openvino-int8"},
}


@torch.inference_mode()
def frame_logits(engine: Engine, story: StorySample, codes: Tensor, index: int) -> Tensor:
    """Logits of frame ``index``'s codes, with the story's true ``codes`` [frames, n] before them: [n, V], in the window
    context."""
    arm, shown = arm_of(engine), range(max(0, index - 1), index + 1)
    stream, ids, vision = arm.stream, list(arm.stream.bos), [False] * len(arm.stream.bos)
    for frame in shown:
        text = [*arm.encode(story.sentences[frame]), *stream.vision]
        image = [*codes[frame].tolist(), stream.eof]
        ids, vision = ids + text + image, vision + [False] * len(text) + [True] * len(image)
    last = stream.frame_tokens + 1  # all before the first code, and the codes but the last
    rows, kinds = torch.tensor([ids], device=engine.device), torch.tensor([vision], device=engine.device)
    hidden = arm.model(rows, kinds)[0, -last : -last + stream.codes_per_frame]
    return arm.model.vision_logits(hidden)[:, : stream.codebook_size].float()


def frames(engine: Engine, samples: Sequence[tuple[int, StorySample, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    """(nats of each true code, the codes that would be drawn there) of every frame: [n] each."""
    for seed, story, codes in samples:
        for index in range(len(codes)):
            logits = frame_logits(engine, story, codes, index)
            keys = make_keys([seed], index, Purpose.TOKEN, engine.device)
            slots = torch.arange(len(logits), device=engine.device)
            noise = gumbel(keys, slots, logits.shape[1])[0]
            nats = torch.nn.functional.cross_entropy(logits, codes[index], reduction="none")
            yield nats, choose(logits, None, noise, SamplingParams())


def row(engine: Engine, samples: Sequence[tuple[int, StorySample, Tensor]], batch: int) -> dict[str, Any]:
    """The measures of one engine; ``codes`` are kept for the comparison with the full weights."""
    nats, drawn = zip(*frames(engine, samples), strict=True)
    seeds, stories = [seed for seed, _, _ in samples], [story for _, story, _ in samples]
    pictures, judge, truth = draw_stories(engine, stories, seeds, {}, batch), load_judge(), story_labels(stories)
    right = {name: right_subject(verdicts(judge, getattr(pictures, name)), truth) for name in ("drafts", "shown")}
    return {
        "nats": float(torch.cat(nats).mean()),
        "codes": torch.cat(drawn),
        **{f"right_{name}": float(values.mean()) for name, values in right.items()},
    }


@click.command()
@click.option("--stories", default=40, show_default=True)
@click.option("--batch", default=20, show_default=True, help="Stories side by side.")
@click.option("--unet", is_flag=True, help="Ways of computing the UNet, not of keeping the ARM's weights.")
@click.option("--bundle", default="storyworld", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A JSON file.")
def main(stories: int, batch: int, unet: bool, bundle: str, out: Path) -> None:
    """Measure the drift of every way."""
    make_directory(out.parent)
    seeds = range(FIRST_SEED, FIRST_SEED + stories)
    pairs = [(seed, sample_story(seed, "heldout")) for seed in seeds]
    full = Engine.from_pretrained(bundle, backend="eager")
    samples = [(seed, story, true_codes(full, story)) for seed, story in pairs]
    rows: dict[str, dict[str, Any]] = {}
    reference: Tensor | None = None
    for name, how in ({"float32": {}, **UNET_WAYS} if unet else WAYS).items():
        measured = row(Engine.from_pretrained(bundle, **{"backend": "eager", **how}), samples, batch)
        codes = measured.pop("codes")
        reference = codes if reference is None else reference
        rows[name] = {**measured, "codes": len(codes), "drawn_otherwise": float((codes != reference).float().mean())}
        write_json(out, {"stories": stories, "first_seed": FIRST_SEED, "versions": versions(), "rows": rows})
        click.echo(f"{name:9} " + "  ".join(f"{key} {value:.4g}" for key, value in rows[name].items()))


if __name__ == "__main__":
    main()
