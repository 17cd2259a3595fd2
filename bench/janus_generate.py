"""Janus-Pro's codes drawn by the engine and by transformers' own generate: ``python -m acdc.bench.janus_generate``.

Weights are of noise, so pictures are noise and only time counts; both draw code after code with guidance 5 at
temperature 1, from the same prompts. Turns are engine, transformers, transformers, engine, and the engine draws
sequentially. A last turn of parallel decoding counts its passes: how well codes are guessed depends on the weights, and
noise does not say how it is with trained ones.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import torch

from ..engine.loading.bundle import find_bundle, parse_dtype
from ..engine.loading.families import ComponentSpec
from ..engine.models.janus.family import JanusArm
from ..engine.models.layers.products import choose_products
from ..engine.options import Decoding, make_options
from ..engine.utils.atomic import write_json
from ..engine.utils.rng import Purpose, make_keys
from ..engine.utils.versions import versions
from .full_size import peak_bytes
from .overhead.cli import machine

SENTENCE = "Benny the beagle sat in a vibrant garden."
SCALE = 5.0
Draw = Callable[[int, int], Any]  # numbers of stories and of codes
WARM = 3  # codes before the turns


@click.command()
@click.option("--size", type=click.Choice(["1b", "7b"]), default="1b", show_default=True)
@click.option("--stories", default="1,4", show_default=True, help="Numbers of prompts side by side.")
@click.option("--codes", default=576, show_default=True, help="Codes of a frame; 576 as published.")
@click.option("--rounds", default=1, show_default=True, help="Rounds of four turns.")
@click.option("--dtype", default="bfloat16", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A JSON file.")
def main(size: str, stories: str, codes: int, rounds: int, dtype: str, out: Path) -> None:
    """Draw by both in turns; seconds a turn."""
    config = dict(find_bundle(f"janus-pro-{size}+sd15", random_weights=True).parts["arm"].config)
    cpu, kind = torch.device("cpu"), parse_dtype(dtype)
    arm = ComponentSpec("janus", {}, {**config, "codes_per_frame": codes}).load(cpu, kind)
    choose_products(cpu, kind, [arm.model], [])
    where = {**machine(), "threads": torch.get_num_threads()}
    settings = {"size": size, "codes": codes, "dtype": dtype, "guidance_scale": SCALE, "decoding": "sequential"}
    ours, theirs, rows = engine_draw(arm), peer_draw(arm), []
    for count in (int(text) for text in stories.split(",")):
        rows.append(compare(arm, (ours, theirs), count, rounds))
        write_json(
            out, {**settings, "rows": rows, "versions": versions(), "machine": where, "peak_bytes": peak_bytes()}
        )
        medians = [rows[-1][name]["median"] for name in ("engine", "transformers")]
        said = "{} stories: engine {:.1f} s, transformers {:.1f} s, {:.2f} times as fast"
        click.echo(said.format(count, *medians, rows[-1]["times"]))


def compare(arm: JanusArm, draws: tuple[Draw, Draw], count: int, rounds: int) -> dict[str, Any]:
    """Seconds of each turn of the engine and of transformers, medians, and how many times as fast the engine is."""
    ours, theirs = draws
    taken: dict[str, list[float]] = {"engine": [], "transformers": []}
    busy: dict[str, list[float]] = {"engine": [], "transformers": []}
    turns = (("engine", ours), ("transformers", theirs), ("transformers", theirs), ("engine", ours))
    for draw in draws:
        draw(count, WARM)
    for name, draw in turns * rounds:
        began, began_busy = time.perf_counter(), time.process_time()
        draw(count, arm.stream.codes_per_frame)
        taken[name].append(time.perf_counter() - began)
        busy[name].append(time.process_time() - began_busy)
        click.echo(f"{count} {name} {taken[name][-1]:.2f} s, {busy[name][-1]:.2f} s of processors", err=True)
    spread = {name: {"median": statistics.median(seconds), "seconds": seconds} for name, seconds in taken.items()}
    row: dict[str, Any] = {"stories": count, **spread, "processor_seconds": busy}
    for name, found in (("times", taken), ("times_by_processors", busy)):  # the latter where others use the machine
        row[name] = statistics.median(found["transformers"]) / statistics.median(found["engine"])
    return {**row, "parallel": parallel(arm, count)}


def parallel(arm: JanusArm, count: int) -> dict[str, float]:
    """Seconds and passes of a turn with parallel decoding."""
    passes = [0]

    def note(*_: Any) -> None:
        passes[0] += 1

    hook, draw = arm.model.register_forward_pre_hook(note), engine_draw(arm, "parallel")
    began = time.perf_counter()
    draw(count, arm.stream.codes_per_frame)
    hook.remove()
    return {"seconds": time.perf_counter() - began, "passes": passes[0] - 1}  # one is the prompts'


def engine_draw(arm: JanusArm, decoding: Decoding = "sequential") -> Draw:
    """A frame of each story, from the prompts to the last code."""
    options = make_options(arm_guidance_scale=SCALE, temperature=1.0, top_p=1.0, decoding=decoding)

    def draw(count: int, codes: int) -> Any:
        batch = arm.new_batch([arm.new_sequence([SENTENCE]) for _ in range(count)], options)
        batch.begin([SENTENCE] * count)
        batch.start(make_keys(range(count), 0, Purpose.TOKEN))
        done = batch.advance(codes)
        for _ in range(count):
            batch.release()
        return done

    return draw


def peer_draw(arm: JanusArm) -> Draw:
    """transformers' Janus at the same sizes, from the same ids; what reads pictures is as small as can be."""
    from transformers import GenerationConfig, JanusConfig, JanusForConditionalGeneration

    sizes, ids = arm.model.config, [*arm.stream.bos, *arm.encode(SENTENCE), *arm.stream.vision]
    text = {
        "model_type": "llama", "hidden_size": sizes.hidden, "intermediate_size": sizes.ffn,
        "num_hidden_layers": sizes.layers, "num_attention_heads": sizes.heads, "vocab_size": sizes.text_vocab,
        "max_position_embeddings": sizes.max_position,
    }  # fmt: skip
    vision = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "projection_dim": sizes.hidden}
    vq = {
        "embed_dim": sizes.code_dim, "num_embeddings": sizes.vision_vocab, "projection_dim": sizes.projection,
        "image_token_embed_dim": sizes.hidden, "base_channels": 32, "channel_multiplier": [1], "num_res_blocks": 1,
    }  # fmt: skip
    before = torch.get_default_dtype()
    torch.set_default_dtype(arm.model.vision_head.weight.dtype)
    try:
        config = JanusConfig(text_config=text, vision_config=vision, vq_config=vq)
        model = JanusForConditionalGeneration(config).eval().requires_grad_(False)
    finally:
        torch.set_default_dtype(before)
    generation = GenerationConfig(
        do_sample=True, guidance_scale=SCALE, pad_token_id=arm.pad, bos_token_id=arm.stream.bos[0],
        generation_kwargs={"boi_token_id": arm.stream.vision[0]}, max_length=len(ids) + arm.stream.codes_per_frame,
    )  # fmt: skip

    def draw(count: int, codes: int) -> Any:
        model.model.vision_model.config.num_image_tokens = codes
        rows = torch.tensor([ids] * count)
        with torch.inference_mode():
            return model.generate(
                rows, attention_mask=torch.ones_like(rows), generation_mode="image", generation_config=generation
            )

    return draw


if __name__ == "__main__":
    main()
