"""diffusers' networks as OpenVINO GenAI reads them: the files, names and dynamic shapes of optimum-intel's export.

float16 weights, as that export writes by default; GenAI computes in bfloat16 where the processor has units for it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .weights import CORRECTOR

IR = "openvino_model.xml"
DONE = "exported"  # written last


class UNet(nn.Module):
    """diffusers' UNet with plain results."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, sample: Tensor, timestep: Tensor, encoder_hidden_states: Tensor) -> Tensor:
        out: Tensor = self.unet(sample, timestep, encoder_hidden_states, return_dict=False)[0]
        return out


class VAEEncoder(nn.Module):
    """Mean and log variance side by side."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, sample: Tensor) -> Tensor:
        parameters: Tensor = self.vae.encode(sample, return_dict=False)[0].parameters
        return parameters


class VAEDecoder(nn.Module):
    """Latents to pixels."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, latent_sample: Tensor) -> Tensor:
        sample: Tensor = self.vae.decode(latent_sample, return_dict=False)[0]
        return sample


class TextEncoder(nn.Module):
    """The last hidden states."""

    def __init__(self, text_encoder: nn.Module) -> None:
        super().__init__()
        self.text_encoder = text_encoder

    def forward(self, input_ids: Tensor) -> Tensor:
        states: Tensor = self.text_encoder(input_ids=input_ids, return_dict=False)[0]
        return states


def export(folder: Path) -> Path:
    """The exported directory; made once."""
    target = folder / "genai"
    if (target / DONE).exists():
        return target
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel

    source = folder / CORRECTOR
    target.mkdir(exist_ok=True)
    shutil.copytree(source / "scheduler", target / "scheduler", dirs_exist_ok=True)
    shutil.copy(source / "model_index.json", target)
    _tokenizer(source / "tokenizer", target / "tokenizer")
    if _missing(target / "text_encoder"):
        text = CLIPTextModel.from_pretrained(source / "text_encoder", dtype=torch.float32, attn_implementation="eager")
        ids = ("input_ids", torch.zeros(2, 77, dtype=torch.int64), (0, 1))
        _save(TextEncoder(text), [ids], "last_hidden_state", source / "text_encoder", target / "text_encoder")
    vae = AutoencoderKL.from_pretrained(source / "vae", torch_dtype=torch.float32)
    if _missing(target / "vae_encoder"):
        pixels = ("sample", torch.rand(1, 3, 64, 64), (0, 2, 3))
        _save(VAEEncoder(vae), [pixels], "latent_parameters", source / "vae", target / "vae_encoder")
    if _missing(target / "vae_decoder"):
        latents = ("latent_sample", torch.rand(1, 4, 8, 8), (0, 2, 3))
        _save(VAEDecoder(vae), [latents], "sample", source / "vae", target / "vae_decoder")
    unet = UNet2DConditionModel.from_pretrained(source / "unet", torch_dtype=torch.float32)
    states = ("encoder_hidden_states", torch.rand(2, 77, unet.config.cross_attention_dim), (0, 1))
    inputs = [("sample", torch.rand(2, 4, 16, 16), (0, 2, 3)), ("timestep", torch.tensor([321]), ()), states]
    _save(UNet(unet), inputs, "out_sample", source / "unet", target / "unet")
    (target / DONE).touch()
    return target


def _missing(folder: Path) -> bool:
    """An export that was interrupted goes on where it stopped."""
    return not (folder / IR).exists()


def _save(
    network: nn.Module,
    inputs: Sequence[tuple[str, Tensor, Sequence[int]]],
    output: str,
    source: Path,
    target: Path,
) -> None:
    """``inputs``: name, example, dynamic axes."""
    import openvino

    target.mkdir(exist_ok=True)
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    (target / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with torch.no_grad():
        model = openvino.convert_model(network.eval(), example_input=tuple(example for _, example, _ in inputs))
    for port, (name, example, dynamic) in zip(model.inputs, inputs, strict=True):
        shape = [-1 if axis in dynamic else length for axis, length in enumerate(example.shape)]
        port.get_node().set_partial_shape(openvino.PartialShape(shape))
        port.get_node().set_element_type(openvino.Type.i64 if example.dtype == torch.int64 else openvino.Type.f32)
        port.get_tensor().set_names({name})
    model.outputs[0].get_tensor().set_names({output})
    model.validate_nodes_and_infer_types()
    openvino.save_model(model, str(target / IR), compress_to_fp16=True)


def _tokenizer(source: Path, target: Path) -> None:
    """CLIP's tokenizer as a model of openvino_tokenizers."""
    import openvino
    from openvino_tokenizers import convert_tokenizer
    from transformers import CLIPTokenizerFast

    shutil.copytree(source, target, dirs_exist_ok=True)
    tokenizer = CLIPTokenizerFast.from_pretrained(source)
    openvino.save_model(convert_tokenizer(tokenizer), str(target / "openvino_tokenizer.xml"))
