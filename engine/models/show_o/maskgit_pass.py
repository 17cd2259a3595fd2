"""One step of MaskGIT in Show-o: all slots of a frame in one pass, then draw, score and mask again.

    codes  [B, N], -1 where unknown     a b . . d .
    ids    soi, codes and masks, eoi    S A B M M D M E       after the prompt, whose keys and values are cached
    logits of the N slots, of the 8,192 codes only
    guidance, draw, confidence, mask    see ``kernels/maskgit_step.py``

With guidance the rows are (branch, story): the null branch carries the same frame after an empty prompt.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ....kernels.maskgit_step import maskgit_schedule, maskgit_step, maskgit_step_reference
from .feed_pass import SegmentCache
from .model import ShowO, ShowOConfig


def frame_ids(codes: Tensor, config: ShowOConfig) -> Tensor:
    """``codes`` int64 [B, N], -1 where unknown -> ids [B, N + 2] with ``<|soi|>`` and ``<|eoi|>``."""
    ids = torch.where(codes < 0, config.mask, codes + config.code_offset)
    return F.pad(F.pad(ids, (1, 0), value=config.marker("soi")), (0, 1), value=config.marker("eoi"))


class MaskGitPass(nn.Module):
    """A step of ``num_steps`` as a function of tensors.

    ``temperature`` is that of the first step's confidences, ``guidance_scale`` w combines uncond + w (cond - uncond),
    in Show-o's own terms (1 + g) cond - g uncond with g = w - 1.
    """

    STATIC_INPUTS = (1, 2)  # keys and values: a captured graph reads them where they lie
    schedule: Tensor

    def __init__(self, model: ShowO, num_steps: int, temperature: float, guidance_scale: float) -> None:
        super().__init__()
        self.model, self.guidance_scale = model, guidance_scale
        schedule = maskgit_schedule(model.config.num_vq_tokens, num_steps, temperature)
        self.register_buffer("schedule", schedule.to(model.device), persistent=False)

    def forward(
        self,
        codes: Tensor,
        keys: Tensor,
        values: Tensor,
        lengths: Tensor,
        token_keys: Tensor,
        score_keys: Tensor,
        step: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """The ARM draws (ACDC Eq. 1).

        ``codes`` int64 [B, N], -1 where unknown; the buffers of what is before the frame with ``lengths`` [R],
        branches before stories; the stories' rows of random keys [B, 4] for the draws and for the confidences;
        ``step`` int64 [1] from 0 -> (the codes drawn for all slots, the codes after masking), int64 [B, N] each."""
        stories, guidance = len(codes), self.guidance_scale - 1.0
        ids = frame_ids(codes, self.model.config).repeat(lengths.shape[0] // stories, 1)
        hidden = self.model(ids, SegmentCache(keys, values, lengths, causal=False))
        logits = self.model.code_logits(hidden[:, 1:-1])
        cond, null = logits[:stories], logits[stories:] if guidance != 0.0 else None
        run = maskgit_step if self.model.use_triton else maskgit_step_reference
        drawn, after = run(cond, null, codes, token_keys, score_keys, self.schedule, step, guidance)
        return drawn, after
