"""Stages of the training of a bundle, in order: a command a stage and what it waits for. Nothing is imported.

The paths in the commands are relative to the folder of the training.
"""

from __future__ import annotations

from typing import NamedTuple

TRAIN, JUDGE = "acdc.bench.storyworld.train.", "acdc.bench.storyworld.judge."
TOKENIZER, VAE, ARM = "runs/tokenizer/tokenizer", "runs/vae/vae", "runs/arm/arm"
JUDGE_WEIGHTS, IDENTITY_WEIGHTS = "runs/judge/weights", "runs/identity/weights"
JUDGES = f"--judge {JUDGE_WEIGHTS} --identity {IDENTITY_WEIGHTS}"
EXPORTS = {  # what a stage is run for, where others only read that
    "tokenizer": TOKENIZER, "vae": VAE, "judge": JUDGE_WEIGHTS, "identity": IDENTITY_WEIGHTS, "arm": ARM,
}  # fmt: skip


class Size(NamedTuple):
    """Amount of rendered data and training time of each part; the strings are options of the stages' commands."""

    stories: int
    heldout: int
    drafts: int  # stories that the ARM redraws for the corrector
    tokenizer: str
    vae: str
    judge: str
    identity: str
    arm: str
    corrector: str
    distill: str
    clips: str
    video: str
    motion: str


FULL = Size(
    12_000, 400, 6_000,
    tokenizer="--steps 8000 --decay 3000 --batch 8 --lr 2.5e-3",
    vae="--channels 32,64,128 --steps 8000 --decay 3000 --batch 8 --lr 2.5e-3",
    judge="--steps 1800 --decay 700 --stories 6000",
    identity="--steps 2400 --decay 800",
    arm="--layers 6 --hidden 256 --heads 4 --windows 1 0.9 --steps 6000 --decay 2000 --every 50",
    corrector="--channels 64,128 --batch 48 --lr 4e-3 --steps 6000 --decay 2000",
    distill="--steps 800 --decay 250 --batch 32",
    clips="--clips 1500",
    video="--steps 3000 --decay 1200 --lr 1.5e-3 --muon-lr 5e-3 --frames 28 --share 0.15 --every 50",
    motion="--steps 1500 --decay 600 --every 50",
)  # fmt: skip
TOY = Size(
    40, 4, 4,
    tokenizer="--steps 4 --decay 2 --batch 2",
    vae="--channels 8,8,8 --steps 4 --decay 2 --batch 2",
    judge="--steps 4 --decay 2 --batch 8",
    identity="--steps 4 --decay 2 --batch 8",
    arm="--layers 1 --hidden 32 --heads 1 --frames 2 --windows 1 1 --steps 2 --decay 1",
    corrector="--channels 32,64 --batch 2 --steps 2 --decay 1 --sheet-every 0",
    distill="--rank 2 --steps 2 --decay 1 --batch 2 --every 1",
    clips="--clips 2",
    video="--steps 2 --decay 1 --frames 4 --every 2",
    motion="--steps 2 --decay 1 --batch 1 --every 2",
)  # fmt: skip


class Stage(NamedTuple):
    """A command of its own process: ``python -m COMMAND --threads N``. ``wide`` stages take every thread."""

    name: str
    command: str
    after: tuple[str, ...] = ()
    wide: bool = False
    threads: str = "--threads"  # its option for how many threads it may take
    device: bool = True  # whether it has --device


def stages(size: Size, few_steps: bool = False) -> tuple[Stage, ...]:
    """From an empty folder to the bundle ``storyworld``, then clips; with ``few_steps`` also the bundle
    ``storyworld-lcm``, whose corrector is distilled from the first's. Each stage comes after all that it waits for."""
    render = f"{TRAIN}dataset --edition 2 --size 64"
    sets = "--data data --heldout heldout"
    coders = f"--tokenizer {TOKENIZER} --vae {VAE}"
    clips = f"{TRAIN}video_data --edition 2 {coders}"
    every = (
        Stage("data", f"{render} --stories {size.stories} --out data", wide=True, threads="--workers", device=False),
        Stage(
            "heldout", f"{render} --stories {size.heldout} --split heldout --out heldout",
            wide=True, threads="--workers", device=False,
        ),
        Stage(
            "tokenizer", f"{TRAIN}tokenizer --data data --out runs/tokenizer --grid 16 --muon {size.tokenizer}",
            ("data",),
        ),
        Stage("vae", f"{TRAIN}vae --data data --out runs/vae --muon {size.vae}", ("data",)),
        Stage("judge", f"{JUDGE}train {sets} --out runs/judge {size.judge}", ("data", "heldout")),
        Stage("identity", f"{JUDGE}train_identity {sets} --out runs/identity {size.identity}", ("data", "heldout")),
        Stage("codes", f"{TRAIN}encode --data data --flip --tokenizer {TOKENIZER}", ("tokenizer",), wide=True),
        Stage(
            "heldout_codes", f"{TRAIN}encode --data heldout --tokenizer {TOKENIZER}",
            ("heldout", "tokenizer"), wide=True,
        ),
        Stage("arm", f"{TRAIN}arm {sets} --out runs/arm {size.arm}", ("codes", "heldout_codes"), wide=True),
        Stage("latents", f"{TRAIN}encode --data data --flip --vae {VAE}", ("vae",), wide=True),
        Stage(
            "drafts", f"{TRAIN}drafts --data data --arm {ARM} {coders} --stories {size.drafts}",
            ("arm", "latents"), wide=True,
        ),
        Stage(
            "corrector", f"{TRAIN}corrector --data data --vae {VAE} --out runs/corrector {size.corrector}",
            ("drafts",), wide=True,
        ),
        Stage(
            "bundle", f"{TRAIN}assemble --arm {ARM} --tokenizer {TOKENIZER} --corrector runs/corrector/corrector "
            "--out storyworld", ("arm", "tokenizer", "corrector"), threads="", device=False,
        ),
        Stage(
            "distill", f"{TRAIN}distill --bundle ./storyworld --data data --out runs/distill --assemble storyworld-lcm "
            f"{size.distill}", ("bundle", "drafts"), wide=True,
        ),
        Stage(
            "round_trip", f"{TRAIN}round_trip --data heldout {coders} {JUDGES} --out runs/round_trip",
            ("heldout", "tokenizer", "vae", "judge", "identity"), threads="", device=False,
        ),
        Stage("clips", f"{clips} {size.clips} --flip --out clips", ("tokenizer", "vae"), wide=True),
        Stage(
            "heldout_clips", f"{clips} --clips {size.heldout // 4} --split heldout --out heldout_clips",
            ("tokenizer", "vae"), wide=True,
        ),
        Stage(
            "video", f"{TRAIN}video --init {ARM} --stories data --clips clips --heldout heldout_clips "
            f"--out runs/video {size.video}", ("arm", "clips", "heldout_clips"), wide=True,
        ),
        Stage(
            "clip_drafts", f"{TRAIN}video_drafts --clips clips --arm runs/video/arm {coders}", ("video",), wide=True,
        ),
        Stage(
            "motion", f"{TRAIN}motion --base runs/corrector/corrector --clips clips --heldout heldout_clips "
            f"--out runs/motion {size.motion}", ("corrector", "clip_drafts"), wide=True,
        ),
    )  # fmt: skip
    return tuple(stage for stage in every if few_steps or stage.name != "distill")
