"""SDXL's second text encoder: OpenCLIP's, whose projection makes one vector of the prompt."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from ..clip_text import CLIPText, CLIPTextConfig


@dataclass(frozen=True)
class ProjectedTextConfig(CLIPTextConfig):
    """With the length of the prompt's vector."""

    projection_dim: int = 512


def current_key(name: str) -> str | None:
    """Our name for a tensor of a published file, None for one to leave out."""
    return None if name.endswith("embeddings.position_ids") else name.removeprefix("text_model.")


class ProjectedText(CLIPText):
    """CLIP's text encoder with the projection into the space that text shares with pictures."""

    def __init__(self, config: ProjectedTextConfig) -> None:
        super().__init__(config)
        self.text_projection = nn.Linear(config.hidden_size, config.projection_dim, bias=False)

    def pooled(self, last: Tensor, ends: Tensor) -> Tensor:
        """The prompt's vector [B, projection_dim]: the projection of the last hidden state [B, S, hidden_size] where
        each text ends, ``ends`` [B] (padding follows)."""
        return self.text_projection(last[range(len(last)), ends])
