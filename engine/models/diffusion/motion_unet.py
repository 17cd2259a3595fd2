"""The UNet of AnimateDiff (arXiv 2307.04725): Stable Diffusion's, with a motion module after each of its layers.

    layer of a level:   ResNet block, transformer (if any), motion module
    middle:             ResNet block, transformer, motion module (if the adapter has one), ResNet block

Its weights are those of a UNet and of a motion adapter, under the names that both have.
"""

from __future__ import annotations

from torch import Tensor

from ...utils.weights import skeleton
from .clip_unet import ClipUNet
from .motion import MotionAdapter, MotionConfig
from .unet import UNet, UNetConfig


class MotionUNet(ClipUNet):
    """Predicts the noise (or v) in the latents of clips: frames are denoised together, under one prompt."""

    def __init__(self, config: UNetConfig, motion: MotionConfig) -> None:
        """``ValueError`` (one line) if the adapter is of another UNet."""
        check_fit(config, motion)
        super().__init__(config)
        self.motion = motion
        self.max_frames = motion.motion_max_seq_length  # the positions that the motion modules know
        blocks = [*self.down_blocks, self.mid_block, *self.up_blocks]
        for block, modules in zip(blocks, MotionAdapter(motion).blocks(), strict=True):
            if modules is not None:
                block.motion_modules = modules.motion_modules

    @classmethod
    def of(cls, unet: UNet, adapter: MotionAdapter) -> MotionUNet:
        """``unet`` with the modules of ``adapter``; weights are shared, none is copied."""
        with skeleton():
            joint = cls(unet.config, adapter.config)
        joint.load_state_dict(unet.state_dict() | adapter.state_dict(), strict=True, assign=True)
        return joint.eval().requires_grad_(False)

    def adapter_state(self) -> dict[str, Tensor]:
        """The weights that a motion adapter's file holds, by name."""
        return {name: value for name, value in self.state_dict().items() if ".motion_modules." in name}


def check_fit(unet: UNetConfig, motion: MotionConfig, where: str = "motion adapter") -> None:
    """``ValueError`` (one line, begins with ``where``) that names the field in which an adapter is of another UNet."""
    layers = (unet.layers_per_block,) * len(unet.block_out_channels)
    for key, found, wanted in (
        ("block_out_channels", motion.block_out_channels, unet.block_out_channels),
        ("motion_layers_per_block", motion.per_level("motion_layers_per_block"), layers),
        ("motion_norm_num_groups", motion.motion_norm_num_groups, unet.norm_num_groups),
    ):
        if found != wanted:
            raise ValueError(f"{where}: {key}={found!r} does not fit the UNet, which has {wanted!r}")
