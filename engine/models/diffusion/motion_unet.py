"""The UNet of AnimateDiff (arXiv 2307.04725): Stable Diffusion's, with a motion module after each of its layers.

    layer of a level:   ResNet block, transformer (if any), motion module
    middle:             ResNet block, transformer, motion module (if the adapter has one), ResNet block

Its weights are those of a UNet and of a motion adapter, under the names that both have.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ...utils.weights import skeleton
from .attention import KV
from .motion import MotionAdapter, MotionConfig
from .unet import UNet, UNetConfig


class MotionUNet(UNet):
    """Predicts the noise (or v) in the latents of clips: frames are denoised together, under one prompt."""

    def __init__(self, config: UNetConfig, motion: MotionConfig) -> None:
        """``ValueError`` (one line) if the adapter is of another UNet."""
        check_fit(config, motion)
        super().__init__(config)
        self.motion = motion
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

    @property
    def max_frames(self) -> int:
        """Frames of the longest clip: the number of positions that the motion modules know."""
        return self.motion.motion_max_seq_length

    def adapter_state(self) -> dict[str, Tensor]:
        """The weights that a motion adapter's file holds, by name."""
        return {name: value for name, value in self.state_dict().items() if ".motion_modules." in name}

    def check_length(self, frames: int) -> None:
        """``ValueError`` for a clip of more ``frames`` than the motion modules have positions."""
        if frames > self.max_frames:
            raise ValueError(
                f"a clip of {frames} frames is too long for this motion adapter; choose at most {self.max_frames}"
            )

    def forward(
        self,
        latents: Tensor,
        timesteps: Tensor,
        context: Tensor | Sequence[KV],
        residuals: Sequence[Tensor] = (),
    ) -> Tensor:
        """`latents` [B, L, in, h, w] -> [B, L, out, h, w]; `timesteps` and `context` as in :class:`UNet`, a row a clip.

        Pictures [B, in, h, w] are clips of one frame. Raises ValueError for a clip that is too long.
        """
        if latents.ndim == 4:
            return super().forward(latents, timesteps, context, residuals)
        assert not residuals, "a ControlNet's are of pictures"
        frames = latents.shape[1]
        self.check_length(frames)
        table = timesteps if timesteps.ndim == 2 else self.time_shifts(timesteps)
        if len(table) > 1:  # clips at timesteps of their own
            table = table.repeat_interleave(frames, dim=0)
        kv = self.context_kv(context) if isinstance(context, Tensor) else context
        predicted = self._denoise(latents.flatten(0, 1), table, kv, frames)
        return predicted.unflatten(0, (-1, frames))


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
