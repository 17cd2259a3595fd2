"""A user's constraints of frames, which are pictures, as the tensors that a correction takes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from ..constraints import Constraints, FrameConstraints, Pixels
from ..models.diffusion.attention import KV
from ..models.diffusion.schedule import Schedule
from ..models.diffusion.stable_diffusion import StableDiffusion
from ..options import StoryOptions
from .constrained import Constrained
from .region import check_marks, region_of, resized
from .resize import resize, working_size
from .steering import Control, scales_of_steps


class Constrainer:
    """Constraints for one diffusion model, one set of options and the schedule that they make."""

    def __init__(self, corrector: StableDiffusion, options: StoryOptions, schedule: Schedule) -> None:
        """``options`` are resolved."""
        self.corrector, self.options, self.schedule = corrector, options, schedule

    def check(self, constraints: Constraints, length: int, resolution: int) -> None:
        """``ValueError`` (one line) for depth without a ControlNet, and for a mask that leaves nothing to change in a
        frame of ``resolution`` pixels."""
        if constraints.has_depth and self.corrector.controlnet is None:
            raise ValueError("a depth map is given, but there is no ControlNet; give --controlnet DIR")
        frame, downscale = (resolution, resolution), self.corrector.vae.downscale
        working = working_size(*frame, self.options.correction.size)
        for index in filter(self.options.corrects, range(length)):
            if (mask := constraints.of(index).mask) is not None:
                check_marks(mask, frame, working, downscale, f"mask of frame {index + 1}")

    def controls(self, given: FrameConstraints) -> bool:
        """Does a ControlNet steer this frame?"""
        known = given.depth is not None or self.corrector.depth_model is not None
        return self.corrector.controlnet is not None and known

    @cached_property
    def control_table(self) -> Tensor:
        """The ControlNet's time embeddings, for all frames: [steps, P]."""
        control = self.corrector.controlnet
        assert control is not None, "asked for with a ControlNet"
        device = self.corrector.text_encoder.final_layer_norm.weight.device
        return control.time_shifts(torch.tensor([step.timestep for step in self.schedule.steps], device=device))

    def constrained(
        self, pixels: Tensor, given: Sequence[FrameConstraints], control_kv: Sequence[KV], masked_noise: Tensor | None
    ) -> Constrained | None:
        """For frames [B, 3, H, W], all of them with a mask or none, all steered or none; ``control_kv`` as
        ``Conditioning`` has it, ``masked_noise`` as :class:`Constrained` has it. None: nothing is constrained."""
        if not given:
            return None
        masked, inpaints = given[0].mask is not None, self.corrector.inpaints
        frame, options = (pixels.shape[-2], pixels.shape[-1]), self.options
        region = None
        if masked or inpaints:
            working = working_size(*frame, options.correction.size)
            region = region_of([one.mask for one in given], frame, working, self.corrector.vae.downscale, pixels)
        control = self.control(pixels, given, control_kv) if self.controls(given[0]) else None
        if region is None and control is None:
            return None
        from_noise = masked and options.correction.strength == 1.0
        paste_back = masked and options.constraint.paste_back
        return Constrained(region, control, inpaints, from_noise, paste_back, masked_noise)

    def control(self, pixels: Tensor, given: Sequence[FrameConstraints], kv: Sequence[KV]) -> Control:
        """The ControlNet's inputs for these frames."""
        network, options = self.corrector.controlnet, self.options.constraint
        assert network is not None, "asked for with a ControlNet"
        size = working_size(pixels.shape[-2], pixels.shape[-1], self.options.correction.size)
        pictures = [self.picture(pixels[i : i + 1], one.depth, size) for i, one in enumerate(given)]
        steps = len(self.schedule.steps), options.controlnet_scale, options.controlnet_start, options.controlnet_end
        hint = network.hint(torch.cat(pictures))
        return Control(network, hint, self.control_table, scales_of_steps(*steps), kv, options.guess_mode)

    def picture(self, pixels: Tensor, depth: Pixels | None, size: tuple[int, int]) -> Tensor:
        """The depth map of one frame [1, 3, H, W] at the correction's size, in [0, 1]: the given one, or an estimate of
        what is corrected."""
        if depth is None:
            assert self.corrector.depth_model is not None, "there is a depth map or a model"
            return self.corrector.depth_model(resize(pixels, size))
        levels = torch.from_numpy(resized(depth, size).copy()).to(pixels.device)
        return levels.permute(2, 0, 1)[None].to(torch.float32).div(255).to(pixels.dtype)
