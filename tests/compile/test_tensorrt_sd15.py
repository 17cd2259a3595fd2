"""Stable Diffusion 1.5 at full size through ONNX into engines for RTX GPUs, on a machine without one.

ACDC_BUILD_REPORT names a file for the figures.
"""

import json
import os
import resource
import time
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from acdc.compile import tensorrt
from acdc.compile.spec import StageSpec
from acdc.engine.models.diffusion.unet import UNet, UNetConfig
from acdc.engine.models.diffusion.vae import VAE, VAEConfig
from acdc.engine.runtime.compiled import UNetPass

TEXT_TOKENS, TEXT_WIDTH = 77, 768
PACKAGES = ("torch", "onnx", "onnxscript", "tensorrt-rtx")


def half(make, config):
    """The model in float16 with small random weights, without a float32 copy on the way."""
    with torch.device("meta"):
        model = make(config).half()
    model = model.to_empty(device="cpu").eval().requires_grad_(False)
    assert not list(model.buffers())
    for value in model.parameters():
        value.normal_(0, 0.02)
    return model


def zeros(*shape):
    return torch.zeros(shape, dtype=torch.float16)


def unet():
    """With the inputs of a pass: two latents of 64x64, a time, keys and values of 77 tokens."""
    model = half(UNet, UNetConfig(cross_attention_dim=TEXT_WIDTH))
    pairs = model.context_kv(zeros(2, TEXT_TOKENS, TEXT_WIDTH))
    kv = [value.contiguous() for pair in pairs for value in pair]
    return UNetPass(model), [zeros(2, 4, 64, 64), model.time_shifts(torch.tensor([1])), *kv]


def vae():
    return half(
        VAE,
        VAEConfig(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
        ),
    )


def stages():
    """The largest last, so that the process' peak of memory after each is its own."""
    model = vae()
    yield "vae_encoder", model.encoder, [zeros(1, 3, 512, 512)]
    yield "vae_decoder", model.decoder, [zeros(1, 4, 64, 64)]
    del model
    yield "unet", *unet()


def build(name, run, inputs, folder, monkeypatch):
    """A row of figures."""
    exported = []
    export = tensorrt.export_onnx

    def timed(*given):
        began, processor = time.perf_counter(), time.process_time()
        path = export(*given)
        exported.append((time.perf_counter() - began, time.process_time() - processor))
        return path

    monkeypatch.setattr(tensorrt, "export_onnx", timed)
    spec = replace(StageSpec.of(name, inputs), device="cuda")
    began, processor = time.perf_counter(), time.process_time()
    built = tensorrt.TENSORRT_RTX.build_engine(run, spec, folder)
    seconds, processor = time.perf_counter() - began, time.process_time() - processor
    monkeypatch.undo()
    return {
        "stage": str(spec),
        "parameters": sum(value.numel() for value in run.parameters()),
        "onnx_layers": built.num_layers,
        "engine_bytes": built.path.stat().st_size,
        "export_seconds": round(exported[0][0], 1),
        "export_cpu_seconds": round(exported[0][1], 1),
        "build_seconds": round(seconds - exported[0][0], 1),
        "build_cpu_seconds": round(processor - exported[0][1], 1),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


@pytest.mark.slow
def test_stable_diffusion_1_5_is_built_without_a_gpu(tmp_path, monkeypatch):
    rows = []
    for name, run, inputs in stages():
        rows.append(build(name, run, inputs, tmp_path, monkeypatch))
        print(json.dumps(rows[-1]), flush=True)
    sizes = {row["stage"].partition("(")[0]: row for row in rows}
    assert sizes["unet"]["parameters"] == 859_520_964
    for name, taken in (("unet", 1.6e9), ("vae_decoder", 90e6), ("vae_encoder", 60e6)):
        assert taken < sizes[name]["engine_bytes"] < 1.5 * taken
    if path := os.environ.get("ACDC_BUILD_REPORT"):
        report = {
            "what": "Stable Diffusion 1.5, random weights, engines built by tensorrt-rtx without a GPU",
            "datetime": datetime.now(UTC).isoformat(timespec="seconds"),
            "threads": torch.get_num_threads(),
            "versions": {package: version(package) for package in PACKAGES},
            "rows": rows,
        }
        Path(path).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
