"""A UNet that denoises clips: the frames of one together, under one prompt."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .attention import KV
from .unet import UNet


class ClipUNet(UNet):
    """Predicts the noise (or v) in the latents of clips of up to ``max_frames``. A subclass sets that number and its
    layers between frames."""

    max_frames: int

    def check_length(self, frames: int) -> None:
        """``ValueError`` for a clip of more ``frames`` than the network takes."""
        if frames > self.max_frames:
            raise ValueError(f"a clip of {frames} frames is too long for this UNet; choose at most {self.max_frames}")

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
