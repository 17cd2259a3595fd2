"""Put trained parts together as a bundle: ``python -m acdc.bench.storyworld.train.assemble --arm DIR ... --out DIR``.

The directory appears under its name only when it is complete.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import click
import torch

from ....engine.loading.bundle import FORMAT, Bundle, find_bundle
from ....engine.loading.lora import read_loras

LIMIT = 60 * 10**6
CARD = """# storyworld

The embedded bundle of acdc: a small decoder of LWM's kind, a VQGAN of LWM's kind and a Stable Diffusion directory,
trained from scratch on rendered scenes by the scripts in `bench/storyworld/` (see
`bench/results/storyworld_training.md`). It draws eight animals in eight settings and nothing else. Apache-2.0.
"""
FEW_STEPS = {"sampler": "lcm", "num_inference_steps": 8, "strength": 0.5, "guidance_scale": 1.0}  # runs 4 steps
FEW_STEPS_CARD = """# {name}

The bundle `{base}` with a few-step corrector: a LoRA of its UNet, distilled from itself as LCM does
(`python -m acdc.bench.storyworld distill`, see `docs/correct.md`). It runs 4 steps without guidance. Apache-2.0.
"""


def assemble(arm: Path, tokenizer: Path, corrector: Path, out: Path, guidance_scale: float, context: str) -> None:
    """Copy the three parts and write ``bundle.json``. ``ValueError`` if the whole exceeds 60 MB or does not load."""
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for name, source in (("arm", arm), ("tokenizer", tokenizer), ("corrector", corrector)):
        shutil.copytree(source, part / name)
    defaults = {"guidance_scale": guidance_scale, "context": context}
    bundle = {"format": FORMAT, "name": out.name, "arm": "arm", "tokenizer": "tokenizer", "corrector": "corrector"}
    (part / "bundle.json").write_text(json.dumps({**bundle, "defaults": defaults}, indent=1) + "\n", encoding="utf-8")
    (part / "README.md").write_text(CARD, encoding="utf-8")
    size = sum(path.stat().st_size for path in part.rglob("*") if path.is_file())
    if size > LIMIT:
        raise ValueError(f"the bundle has {size} bytes; the limit is {LIMIT}")
    find_bundle(part).load("cpu", torch.float32)
    shutil.rmtree(out, ignore_errors=True)
    part.rename(out)


def assemble_few_steps(base: Bundle, lora: Path, out: Path) -> Path:
    """Write the bundle ``out``: the parts of ``base``, where they lie, and ``lora`` on its corrector, with the options
    that suit it. ``ValueError`` if it does not load, or the LoRA does not fit."""
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    shutil.copyfile(lora, part / lora.name)
    folders = {
        role: os.path.relpath(spec.folders["path"].resolve(), part.resolve()) for role, spec in base.parts.items()
    }
    corrector = {"kind": "stable-diffusion", "path": folders["corrector"], "loras": [lora.name]}
    said = json.loads((base.path / "bundle.json").read_text(encoding="utf-8"))
    bundle = {"format": FORMAT, "name": out.name, **folders, "corrector": corrector}
    bundle["defaults"] = {**said.get("defaults", {}), **FEW_STEPS}
    (part / "bundle.json").write_text(json.dumps(bundle, indent=1) + "\n", encoding="utf-8")
    (part / "README.md").write_text(FEW_STEPS_CARD.format(name=out.name, base=base.name), encoding="utf-8")
    found = find_bundle(part)
    read_loras(found.load("cpu", torch.float32).corrector, found.loras)
    shutil.rmtree(out, ignore_errors=True)
    part.rename(out)
    return out


@click.command()
@click.option("--arm", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--tokenizer", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--corrector", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--guidance", default=5.0, show_default=True)
@click.option("--context", default="window", show_default=True)
def main(arm: Path, tokenizer: Path, corrector: Path, out: Path, guidance: float, context: str) -> None:
    """Write the bundle OUT."""
    assemble(arm, tokenizer, corrector, out, guidance, context)
    click.echo(out)


if __name__ == "__main__":
    main()
