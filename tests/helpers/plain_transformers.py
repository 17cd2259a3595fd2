"""CLIP and a vision transformer restated from their papers, under the names of their authors' files."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Residual(nn.Module):
    """A block of OpenAI's CLIP."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attn, self.ln_1 = nn.MultiheadAttention(width, heads), nn.LayerNorm(width)
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)})
        self.ln_2 = nn.LayerNorm(width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """[T, N, C] -> the same."""
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=mask)[0]
        y = self.mlp["c_fc"](self.ln_2(x))
        return x + self.mlp["c_proj"](y * torch.sigmoid(1.702 * y))


class Tower(nn.Module):
    """Blocks, one after another."""

    def __init__(self, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(Residual(width, heads) for _ in range(layers))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """[N, T, C] -> the same."""
        x = x.transpose(0, 1)
        for block in self.resblocks:
            x = block(x, mask)
        return x.transpose(0, 1)


class Visual(nn.Module):
    """Pixels -> embeddings."""

    def __init__(self, width: int, layers: int, patch: int, size: int, out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        self.class_embedding = nn.Parameter(torch.empty(width))
        self.positional_embedding = nn.Parameter(torch.empty((size // patch) ** 2 + 1, width))
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.transformer = Tower(width, layers, max(1, width // 64))
        self.proj = nn.Parameter(torch.empty(width, out))

    def forward(self, pixels: Tensor) -> Tensor:
        """[N, 3, H, W] -> [N, out]."""
        x = self.conv1(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], 1) + self.positional_embedding
        x = self.transformer(self.ln_pre(x), None)
        return self.ln_post(x[:, 0]) @ self.proj


class PlainCLIP(nn.Module):
    """Pixels and ids -> their embeddings."""

    def __init__(
        self, width: int = 128, text: int = 64, vocabulary: int = 49408, size: int = 64, out: int = 32
    ) -> None:
        super().__init__()
        self.visual = Visual(width, 2, 32, size, out)
        self.token_embedding = nn.Embedding(vocabulary, text)
        self.positional_embedding = nn.Parameter(torch.empty(77, text))
        self.transformer, self.ln_final = Tower(text, 2, max(1, text // 64)), nn.LayerNorm(text)
        self.text_projection = nn.Parameter(torch.empty(text, out))
        self.logit_scale = nn.Parameter(torch.empty(()))

    def forward(self, pixels: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """[N, 3, H, W], [M, 77] -> [N, out], [M, out]."""
        x = self.token_embedding(ids) + self.positional_embedding
        mask = torch.full((77, 77), float("-inf")).triu(1)
        x = self.ln_final(self.transformer(x, mask))
        ends = x[torch.arange(len(x)), ids.argmax(-1)]
        return self.visual(pixels), ends @ self.text_projection


def plain_vit(weights: dict[str, Tensor], pixels: Tensor, heads: int, patch: int) -> Tensor:
    """The class token after the last norm of timm's vision transformer, which DINO has: [N, 3, H, W] -> [N, D]."""
    x = F.conv2d(pixels, weights["patch_embed.proj.weight"], weights["patch_embed.proj.bias"], patch)
    x = x.flatten(2).transpose(1, 2)
    x = torch.cat([weights["cls_token"].expand(len(x), -1, -1), x], 1) + weights["pos_embed"]

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-6)

    def linear(x: Tensor, name: str) -> Tensor:
        return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    layers = {name.split(".")[1] for name in weights if name.startswith("blocks.")}
    for layer in sorted(layers, key=int):
        block = f"blocks.{layer}"
        parts = linear(norm(x, f"{block}.norm1"), f"{block}.attn.qkv").chunk(3, -1)
        q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in parts)
        seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + linear(seen, f"{block}.attn.proj")
        x = x + linear(F.gelu(linear(norm(x, f"{block}.norm2"), f"{block}.mlp.fc1")), f"{block}.mlp.fc2")
    return norm(x, "norm")[:, 0]
