"""Unified-IO 2's transformer (arXiv 2312.17172): an encoder of text and pictures, a decoder of a frame's codes.

    encoder   text, last frame, earlier frames in one row, each token with its place; all see all
    decoder   input n is code n - 1 (the beginning before the first) at the place of code n; causal, and each layer
              attends to the encoder's states, whose keys and values are the same in all passes of a frame

Text and image tables are also the matrices of the logits. Both repositories of the authors configure patterns of masks
that never take effect; the decoder is plainly causal, as they run. Names and shapes of the weights are those of
``pytorch_model.bin`` but for ``layers_0``, here ``layers.0``, and a norm's ``scale``, here ``weight``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..attention import PRODUCTS, SDPA, TRITON, AttentionBackend, AttentionMetadata, Cache, KVView
from ..kv_buffers import Buffers
from ..kv_cache import KVCache
from ..layers.norms import RMSNorm
from .config import SPECIAL_CODES, UnifiedIO2Config
from .inputs import HistoryInput, ImageInput, Modality
from .layers import MLP, Attention, Places, PlaceTable, SelfAttention

BEGIN = -SPECIAL_CODES  # the code whose image id is 0, the decoder's first input
SLOTS = 32  # slots of the decoder's cache are a multiple


class EncoderLayer(nn.Module):
    """One pre-norm layer of the encoder."""

    def __init__(self, config: UnifiedIO2Config) -> None:
        super().__init__()
        self.pre_attention_norm = RMSNorm(config.width, config.norm_eps)
        self.attention = SelfAttention(config)
        self.pre_mlp_norm = RMSNorm(config.width, config.norm_eps)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, place: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        q, k, v = self.attention.projected(self.pre_attention_norm(x), place)
        x = x + self.attention.joined(F.scaled_dot_product_attention(q, k, v, attn_mask=mask))
        out: Tensor = x + self.mlp(self.pre_mlp_norm(x))
        return out


class Encoder(nn.Module):
    """Tokens of rows of different lengths see all of their own row."""

    def __init__(self, config: UnifiedIO2Config) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.encoder_norm = RMSNorm(config.width, config.norm_eps)

    def forward(self, x: Tensor, place: tuple[Tensor, Tensor], counts: Tensor) -> Tensor:
        """[R, T, D], of which row r's first ``counts[r]`` are real -> [R, T, D]."""
        mask = owned(counts, x.shape[1])
        for layer in self.layers:
            x = layer(x, place, mask)
        out: Tensor = self.encoder_norm(x)
        return out


class DecoderLayer(nn.Module):
    """One pre-norm layer of the decoder."""

    def __init__(self, config: UnifiedIO2Config) -> None:
        super().__init__()
        self.pre_self_attention_norm = RMSNorm(config.width, config.norm_eps)
        self.self_attention = SelfAttention(config)
        self.pre_cross_attention_norm = RMSNorm(config.width, config.norm_eps)
        self.encoder_decoder_attention = Attention(config)
        self.pre_mlp_norm = RMSNorm(config.width, config.norm_eps)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, here: AttentionMetadata, layer: int, cross: KVView, mask: Tensor) -> Tensor:
        """``cross`` are the encoder's keys and values in this layer, of which ``mask`` [R, 1, T, S] says the real."""
        place, attention = (here.cos, here.sin), self.encoder_decoder_attention
        q, k, v = self.self_attention.projected(self.pre_self_attention_norm(x), place)
        x = x + self.self_attention.joined(here.attend(layer, q, k, v))
        q = attention.queries(self.pre_cross_attention_norm(x), place)
        x = x + attention.joined(PRODUCTS(q, cross, mask))
        out: Tensor = x + self.mlp(self.pre_mlp_norm(x))
        return out


class Decoder(nn.Module):
    """Codes of a frame, which see those before them and the encoder's states."""

    def __init__(self, config: UnifiedIO2Config) -> None:
        super().__init__()
        layers = [DecoderLayer(config) for _ in range(config.decoder_layers)]
        self.layers, self.cross = nn.ModuleList(layers), [layer.encoder_decoder_attention for layer in layers]
        self.decoder_norm = RMSNorm(config.width, config.norm_eps)

    def cross_keys_values(self, states: Tensor, place: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """The encoder's states [R, T, D] -> keys and values of all layers [layers, R, H, T, head_dim]."""
        keys, values = zip(*(attention.keys_values(states, place) for attention in self.cross), strict=True)
        return torch.stack(keys), torch.stack(values)


class UnifiedIO2(nn.Module):
    """The transformer with what makes its inputs; knows no sampling, no text and no backend."""

    def __init__(self, config: UnifiedIO2Config) -> None:
        super().__init__()
        self.config, self.kv_buffers, self.use_triton = config, Buffers(), False
        self.text_token_embedder = nn.Embedding(config.text_vocab, config.width)
        self.image_token_embedder = nn.Embedding(config.image_vocab, config.width)
        text, image, history = Modality(config.width), ImageInput(config), HistoryInput(config)
        self.input_embedders = nn.ModuleDict({"text": text, "image": image, "image_history": history})
        self.target_embedders = nn.ModuleDict({"image": Modality(config.width)})
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.read_places = PlaceTable(config.head_dim, config.rope_theta, *read_places(config))
        rows = -(-self.slots // config.grid)
        self.drawn_places = PlaceTable(config.head_dim, config.rope_theta, Places(config.grid, rows))
        self.code_head: nn.Linear | None = None

    def tie_code_head(self) -> None:
        """The rows of the codes in the image table as the matrix of their logits, in float32 at least: guidance
        multiplies what rounding does to logits. Called once device and dtype are final."""
        codes = self.image_token_embedder.weight.detach()[SPECIAL_CODES : SPECIAL_CODES + self.config.codebook_size]
        head = nn.Linear(codes.shape[1], codes.shape[0], bias=False, device="meta")
        head.weight = nn.Parameter(codes.to(torch.promote_types(codes.dtype, torch.float32)), requires_grad=False)
        self.code_head = head

    @property
    def slots(self) -> int:
        """Slots of the decoder's cache: a frame's inputs and one more, on which padding may land."""
        return -(-(self.config.codes_per_frame + 1) // SLOTS) * SLOTS

    @property
    def device(self) -> torch.device:
        return self.image_token_embedder.weight.device

    @property
    def blocks(self) -> nn.ModuleList:
        """The layers of both sides."""
        return nn.ModuleList([self.encoder.layers, self.decoder.layers])

    @property
    def read_backend(self) -> AttentionBackend:
        """Attention backend of the passes that only read their cache."""
        return TRITON if self.use_triton else PRODUCTS

    def enable_triton(self) -> None:
        """Passes that draw attend to earlier codes by our kernel."""
        self.use_triton = True

    def text_vectors(self, ids: Tensor) -> Tensor:
        """int64 [T] -> [T, D]."""
        out: Tensor = self.input_embedders["text"](self.text_token_embedder(ids))
        return out

    def image_vectors(self, pictures: Tensor) -> Tensor:
        """The last frames uint8 [B, 3, H, W] -> [B, image_tokens, D]."""
        return self.image.vectors(pictures)

    def history_vectors(self, pictures: Tensor) -> Tensor:
        """Earlier frames uint8 [B, 3, H, W] -> [B, latents, D]."""
        history: HistoryInput = self.input_embedders["image_history"]  # type: ignore[assignment]
        return history.vectors(pictures, self.image.vit)

    @property
    def image(self) -> ImageInput:
        """The input of the last frame."""
        found: ImageInput = self.input_embedders["image"]  # type: ignore[assignment]
        return found

    def encode(self, x: Tensor, places: Tensor, counts: Tensor) -> Tensor:
        """Vectors [R, T, D] at ``places`` int64 [R, T], of which row r's first ``counts[r]`` are real -> states."""
        out: Tensor = self.encoder(x, self.read_places(places), counts)
        return out

    def cross_keys_values(self, states: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of the encoder's states in all layers of the decoder: [layers, R, H, T, head_dim] each."""
        rows = self.read_places(places)
        return self.decoder.cross_keys_values(states, rows)

    def decode(
        self, codes: Tensor, cache: Cache, cross: tuple[Tensor, Tensor, Tensor], backend: AttentionBackend = SDPA
    ) -> Tensor:
        """``codes`` int64 [R, T], :data:`BEGIN` before the first, after what ``cache`` holds; ``cross`` are keys,
        values and lengths of the encoder's states -> hidden [R, T, D] after the final norm."""
        here = AttentionMetadata.of(cache.positions(codes.shape[1]), self.drawn_places, cache, backend)
        x = self.target_embedders["image"](self.image_token_embedder(codes + SPECIAL_CODES))
        keys, values, lengths = cross
        mask = owned(lengths, keys.shape[3]).expand(-1, -1, codes.shape[1], -1)
        for index, layer in enumerate(self.decoder.layers):
            x = layer(x, here, index, KVView((keys[index],), (values[index],)), mask)
        cache.advance([codes.shape[1]] * len(codes))
        out: Tensor = self.decoder.decoder_norm(x)
        return out

    def code_logits(self, hidden: Tensor) -> Tensor:
        """[..., D] -> [..., codebook_size] of the codes alone, float32 (float64 in a float64 model)."""
        assert self.code_head is not None, "tie_code_head() comes after the weights"
        logits: Tensor = self.code_head(hidden.to(self.code_head.weight.dtype))
        return logits * self.config.width**-0.5

    def new_cache(self, rows: int, slots: int | None = None) -> KVCache:
        """An empty cache of the decoder, for a frame of each row, or for ``slots`` states of the encoder."""
        config, like = self.config, self.image_token_embedder.weight
        sizes = (config.decoder_layers, rows, config.heads, slots or self.slots, config.head_dim)
        return KVCache(*sizes, dtype=like.dtype, device=like.device, buffers=self.kv_buffers)


def read_places(config: UnifiedIO2Config) -> tuple[Places, Places, Places]:
    """Places of text, of the last frame's patches, which span the same range as codes, and of earlier frames: row by
    row, a frame's latents side by side."""
    scale = config.grid / config.image_patches
    image = Places(config.image_patches, config.image_patches, scale)
    return Places(config.max_text), image, Places(config.resampler.latents, config.history_frames)


def owned(counts: Tensor, slots: int) -> Tensor:
    """True for the first ``counts[r]`` of the slots: bool [R, 1, 1, slots]."""
    return (torch.arange(slots, device=counts.device) < counts[:, None])[:, None, None]
