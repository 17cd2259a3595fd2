"""Autoregressive models at full size on a CPU, next to plain loops over transformers' modules of the same sizes.

``python -m acdc.bench.real_arm --model show-o --out bench/results/cpu_real_arm_DATE.json``. Show-o 256 draws a frame in
18 MaskGIT steps, LWM decodes tokens of a frame, both with guidance and random weights in bfloat16. The plain loop makes
passes over the whole row for Show-o, as its published code does, and single tokens with a cache for LWM. Each turn is a
process of its own (LWM's 13.5 GB do not fit twice), A B B A. A call adds its table to the file, in place of the model's
earlier one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import click
import torch
from torch import Tensor, nn

from ..engine.loading.bundle import FALLBACKS
from ..engine.loading.families import lwm, show_o
from ..engine.loading.random_weights import fill
from ..engine.models.lwm.published import IMAGE_POLICY, SIZES
from ..engine.models.show_o.model import ShowOConfig
from ..engine.options import make_options
from ..engine.sampling import SamplingParams
from ..engine.utils.atomic import write_bytes, write_json
from ..engine.utils.rng import Purpose, make_keys
from ..engine.utils.versions import versions
from ..engine.utils.weights import skeleton
from .overhead.cli import machine
from .real_size.measure import turns
from .real_size.worker import rates, resident

SENTENCE = "Benny the beagle sat in a vibrant garden."
STEPS, GUIDANCE = 18, 2.75  # Show-o's published ones at 256 px
WIDE = 8  # codes side by side in a pass of parallel decoding
Step = Callable[[], object]


def show_o_engine() -> tuple[nn.Module, Iterator[Step]]:
    """The model, and works that each draw one frame."""
    arm = show_o.make({}, torch.device("cpu"), torch.bfloat16)
    options = make_options(arm_guidance_scale=GUIDANCE, layout="independent").resolved(FALLBACKS)
    params, keys = SamplingParams(guidance_scale=GUIDANCE), make_keys([0], 0, Purpose.TOKEN)

    def frame() -> Tensor:
        session = arm.session(1, 1, options)
        session.begin([SENTENCE])
        return session.generate(params, keys)

    return arm.model, iter(lambda: frame, None)


def show_o_plain() -> tuple[nn.Module, Iterator[Step]]:
    """Phi-1.5 of transformers with Show-o's vocabulary: both branches, the whole row, every step."""
    from transformers import PhiConfig, PhiForCausalLM

    sizes = ShowOConfig()
    first = sizes.llm_vocab_size + 10
    config = PhiConfig(
        vocab_size=first + sizes.codebook_size + 1, hidden_size=sizes.hidden, intermediate_size=sizes.ffn,
        num_hidden_layers=sizes.layers, num_attention_heads=sizes.heads, qk_layernorm=True, partial_rotary_factor=0.5,
        max_position_embeddings=sizes.max_position,
    )  # fmt: skip
    model = of_noise(PhiForCausalLM, config)
    count, prompt = sizes.num_vq_tokens, sizes.text_field + 1
    row = torch.randint(0, sizes.llm_vocab_size, (2, prompt + count + 1), generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(2, 1, row.shape[1], row.shape[1], dtype=torch.bfloat16)
    mask[..., :prompt, :prompt] = torch.full((prompt, prompt), float("-inf")).triu(1)  # text is causal, codes are not
    mask[..., :prompt, prompt:] = float("-inf")

    def frame() -> Tensor:
        ids, unknown = row.clone(), torch.ones(count, dtype=torch.bool)
        for step in range(STEPS):
            ids[:, prompt : prompt + count][:, unknown] = first + sizes.codebook_size
            logits = model(ids, attention_mask=mask, use_cache=False).logits[:, prompt : prompt + count].float()
            logits = logits[..., first : first + sizes.codebook_size]
            probabilities = (logits[1] + GUIDANCE * (logits[0] - logits[1])).softmax(-1)
            drawn = probabilities.multinomial(1)
            sure = probabilities.gather(1, drawn)[:, 0].masked_fill(~unknown, 2.0)
            ids[:, prompt : prompt + count] = torch.where(unknown, first + drawn[:, 0], ids[0, prompt : prompt + count])
            left = int(count * torch.cos(torch.tensor((step + 1) / STEPS * torch.pi / 2)).clamp(min=0))
            unknown = torch.zeros_like(unknown)
            unknown[sure.argsort()[:left]] = True
        return ids

    return model, iter(lambda: frame, None)


def lwm_engine(window: int = 1) -> tuple[nn.Module, Iterator[Step]]:
    """The model, and passes of a frame's decoding, ``window`` codes each."""
    arm = lwm.make({}, torch.device("cpu"), torch.bfloat16)
    options = make_options(arm_guidance_scale=IMAGE_POLICY.guidance_scale, context="full").resolved(FALLBACKS)
    session = arm.session(1, 1, options)
    session.begin([SENTENCE])
    session.start(IMAGE_POLICY, make_keys([0], 0, Purpose.TOKEN), None, window)
    state = session.frame
    assert state is not None
    run = arm.draw_pass(state.params, window)
    return arm.model, iter(lambda: lambda: state.run(run), None)


def lwm_plain() -> tuple[nn.Module, Iterator[Step]]:
    """Llama of transformers with LWM's sizes: both branches, a token a pass with a cache."""
    from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=SIZES.vision_vocab, hidden_size=SIZES.hidden, intermediate_size=SIZES.ffn,
        num_hidden_layers=SIZES.layers, num_attention_heads=SIZES.heads, max_position_embeddings=SIZES.max_position,
    )  # fmt: skip
    model, cache = of_noise(LlamaForCausalLM, config), DynamicCache(config=config)
    prompt = torch.randint(0, SIZES.vision_vocab, (2, 40), generator=torch.Generator().manual_seed(0))
    last = [model(prompt, past_key_values=cache).logits[:, -1].float()]

    def token() -> None:
        guided = last[0][1] + IMAGE_POLICY.guidance_scale * (last[0][0] - last[0][1])
        drawn = guided.softmax(-1).multinomial(1).expand(2, 1)
        last[0] = model(drawn, past_key_values=cache).logits[:, -1].float()

    return model, iter(lambda: token, None)


def of_noise(kind: Any, config: Any) -> nn.Module:
    """A model of transformers with random weights in bfloat16."""
    with skeleton():
        model = kind(config)
    model.model.rotary_emb = type(model.model.rotary_emb)(config)  # its table is not a weight and has values from here
    found: nn.Module = fill(model, "cpu", torch.bfloat16)
    return found


CONTENDERS: Mapping[str, Mapping[str, Callable[[], tuple[nn.Module, Iterator[Step]]]]] = {
    "show-o": {"transformers": show_o_plain, "engine": show_o_engine},
    "lwm": {"transformers": lwm_plain, "engine": lwm_engine, f"engine, {WIDE} codes a pass": lambda: lwm_engine(WIDE)},
}


@torch.inference_mode()
def one_turn(model: str, name: str, calls: int) -> dict[str, Any]:
    """Seconds of every call after the first two (the first, of frames)."""
    network, steps = CONTENDERS[model][name]()
    taken = []
    for _ in range(calls + (1 if model == "show-o" else 2)):
        work = next(steps)
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    tables = sum(m.weight.nbytes for m in network.modules() if isinstance(m, nn.Embedding))
    read = sum(p.nbytes for p in network.parameters()) - tables
    return {"name": name, "seconds": taken[-calls:], "weight_bytes": read, **resident()}


def measure(model: str, rounds: int, calls: int) -> dict[str, Any]:
    """All turns, and the machine's rates between them."""
    found: list[dict[str, Any]] = []
    reached = []
    for order in turns(list(CONTENDERS[model]), rounds):
        reached.append(rates())
        for name in order:
            command = [sys.executable, "-m", __spec__.name if __spec__ else "acdc.bench.real_arm", "--model", model]
            done = subprocess.run(
                [*command, "--calls", str(calls), "--turn", name], stdout=subprocess.PIPE, text=True, check=True
            )
            found.append(json.loads(done.stdout.splitlines()[-1]))
    return {"model": model, "threads": torch.get_num_threads(), "calls": calls, "rates": reached, "turns": found}


def page(found: Mapping[str, Any]) -> str:
    """Markdown: a table a model."""
    lines = []
    for table in found["tables"]:
        frames = table["model"] == "show-o"
        bandwidth = max(one["bandwidth"] for one in table["rates"])
        lines += [
            f"## {'Show-o 256, a frame in 18 steps' if frames else 'LWM 7B, a pass of decoding'}",
            "",
            f"bfloat16, guidance, {table['threads']} threads, {len(table['rates'])} turns of {table['calls']} calls; "
            f"memory {bandwidth / 1e9:.1f} GB/s.",
            "",
            "| contender | s, median | min to max | times transformers | weights read at once / time | MiB (peak) |",
            "|---" * 6 + "|",
        ]
        by_name = {name: [one for one in table["turns"] if one["name"] == name] for name in CONTENDERS[table["model"]]}
        seconds = {name: [s for one in own for s in one["seconds"]] for name, own in by_name.items()}
        for name, own in by_name.items():
            taken, reads = median(seconds[name]), STEPS if frames else 1
            floor = reads * own[0]["weight_bytes"] / bandwidth
            lines.append(
                f"| {name} | {taken:.3f} | {min(seconds[name]):.3f} to {max(seconds[name]):.3f} "
                f"| {median(seconds['transformers']) / taken:.2f} | {floor / taken:.0%} "
                f"| {own[-1]['mib']} ({max(one['peak_mib'] for one in own)}) |"
            )
        lines.append("")
    return "\n".join(lines)


@click.command()
@click.option("--model", type=click.Choice(tuple(CONTENDERS)), required=True)
@click.option("--rounds", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--calls", type=click.IntRange(min=1), default=3, show_default=True, help="Frames or tokens of a turn.")
@click.option("--turn", help="Run this contender alone and print its seconds.")
@click.option("--out", type=click.Path(path_type=Path), help="A JSON file.")
def main(model: str, rounds: int, calls: int, turn: str | None, out: Path | None) -> None:
    """Measure one model, and add its table to OUT."""
    if turn is not None:
        answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)  # what libraries print goes to stderr
        print(json.dumps(one_turn(model, turn, calls)), file=answers, flush=True)
        return
    if out is None:
        raise click.UsageError("give --out FILE")
    table = measure(model, rounds, calls)
    earlier = json.loads(out.read_text(encoding="utf-8"))["tables"] if out.exists() else []
    tables = [*(old for old in earlier if old["model"] != model), table]
    found = {"versions": versions(), "machine": machine(), "tables": tables}
    write_json(out, found)
    write_bytes(out.with_suffix(".md"), page(found).encode())
    click.echo(page(found))


if __name__ == "__main__":
    main()
