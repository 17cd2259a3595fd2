"""Metrics by the names that ``--metrics`` takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..metric import Metric
from ..networks.aesthetic import AestheticScores
from ..networks.clip import CLIPImages, CLIPTexts
from ..networks.clip_scores import DynamicClips, SmoothClips
from ..networks.dino import DINOFeatures
from ..networks.efficientnet import EfficientNetFeatures
from ..networks.image_reward import Rewards
from ..networks.inception_features import InceptionFeatures
from ..networks.musiq_scores import MUSIQScores
from ..sets.story_set import Resize
from ..statistics_file import Statistics
from .consistency import Consistency, next_and_first
from .distances import Frechet, KernelDistance
from .scores import ClipScores, ClipSim, FrameScores, PairScores


@dataclass(frozen=True)
class Choices:
    """Settings that decide which networks metrics use: ``clip`` of frame-consistency and clip-sim, ``resize``
    of fid and kid; ``statistics`` are a reference's, for fid."""

    models: Path | None = None
    clip: str = "vit-b-32"
    resize: Resize = "classic"
    statistics: Statistics | None = None


Make = Callable[[Choices], Metric]
METRICS: Mapping[str, Make] = {
    "frame-consistency": lambda of: Consistency(
        "frame-consistency", "mean cosine of neighbouring frames, over stories", CLIPImages(of.models, of.clip)
    ),
    "clip-sim": lambda of: ClipSim(
        "clip-sim",
        "100 x cosine of frame and text, over frames, then stories; not cut at 0",
        CLIPImages(of.models, of.clip),
        CLIPTexts(of.models, of.clip),
    ),
    "image-reward": lambda of: PairScores(
        "image-reward", "mean reward of frame and text, over frames, then stories", Rewards(of.models)
    ),
    "fid": lambda of: Frechet(
        "fid",
        "Frechet distance of Inception's pooled features, covariances with n - 1",
        InceptionFeatures(of.models, of.resize),
        of.statistics,
    ),
    "kid": lambda of: KernelDistance(
        "kid",
        "MMD^2 with the kernel (x.y / 2048 + 1)^3, unbiased, all pairs",
        InceptionFeatures(of.models, of.resize),
    ),
    "cmmd": lambda of: KernelDistance(
        "cmmd",
        "1000 x MMD^2 of normalised embeddings, Gaussian kernel of sigma 10, with the diagonal",
        CLIPImages(of.models, "vit-l-14-336", "squeezed"),
        "cmmd",
    ),
    "subject": lambda of: Consistency(
        "subject",
        "VBench's: half the cosine with the frame before and half with the first, over pairs",
        DINOFeatures(of.models),
        next_and_first,
        over_pairs=True,
    ),
    "background": lambda of: Consistency(
        "background",
        "VBench's: as subject, by CLIP",
        CLIPImages(of.models, "vit-b-32", "tensor"),
        next_and_first,
        over_pairs=True,
    ),
    "smoothness": lambda of: ClipScores(
        "smoothness",
        "VBench's: (255 - mean difference of the odd frames from those computed between the even ones) / 255",
        SmoothClips(of.models),
        columns=("frames between",),
        notice="AMT-S's weights are CC BY-NC 4.0: not for commercial use",
    ),
    "dynamic": lambda of: ClipScores(
        "dynamic",
        "VBench's: share of clips in which a quarter of the pairs moves",
        DynamicClips(of.models),
        columns=("moving pairs", "pairs", "frames"),
    ),
    "aesthetic": lambda of: FrameScores(
        "aesthetic", "VBench's: LAION's score / 10, over frames", AestheticScores(of.models)
    ),
    "imaging": lambda of: FrameScores(
        "imaging", "VBench's: MUSIQ / 100, over frames", MUSIQScores(of.models), scale=100
    ),
    "consistency-efflite0": lambda of: Consistency(
        "consistency-efflite0",
        "mean cosine of neighbouring frames by EfficientNet-Lite0, not by CLIP",
        EfficientNetFeatures(of.models),
    ),
    "fd-efflite0": lambda of: Frechet(
        "fd-efflite0", "Frechet distance by EfficientNet-Lite0, not FID", EfficientNetFeatures(of.models)
    ),
}


def make_metrics(names: Sequence[str] | None, choices: Choices) -> list[Metric]:
    """These metrics in this order, or all; ``ValueError`` for an unknown name."""
    for name in names or ():
        if name not in METRICS:
            raise ValueError(f"unknown metric {name!r}; choose among {', '.join(METRICS)}")
    return [METRICS[name](choices) for name in dict.fromkeys(names or METRICS)]
