"""The corrector's training: fast modules equal diffusers' own, and the export is a directory diffusers loads."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner

from acdc.bench.storyworld.train.caption_tokenizer import (
    END,
    MODEL_MAX_LENGTH,
    build_tokenizer,
    encode,
    learn_merges,
    load_merges,
    save_tokenizer,
)
from acdc.bench.storyworld.train.corrector import main
from acdc.bench.storyworld.train.corrector_data import CaptionedLatents
from acdc.bench.storyworld.train.corrector_model import Corrector, CorrectorSize, load_weights
from acdc.bench.storyworld.train.diffusion_schedule import (
    SCHEDULER_CONFIG,
    alphas_cumprod,
    min_snr_weights,
    noised,
    stratified_timesteps,
)
from acdc.bench.storyworld.train.fused_norm import FusedGroupNorm, library
from acdc.bench.storyworld.train.matrix_muon import orthogonalize

pytestmark = pytest.mark.training

STORY = [
    "Benny the beagle sat in a vibrant garden.",
    "Suddenly, he jumped over the log!",
    "It's Luna's kite & 12 balloons ...",
    "Zoë  the OWL hooted\tcafé 日本",
    "",
    "He slept. " * 40,
]
SIZE = CorrectorSize(channels=(32, 32), text_hidden=32, norm_num_groups=8)


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from diffusers import AutoencoderKL

    folder = tmp_path_factory.mktemp("vae")
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    AutoencoderKL(block_out_channels=(8, 8), norm_num_groups=4, scaling_factor=0.7, **blocks).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    latents = np.random.default_rng(0).standard_normal((3, 6, 4, 16, 16)).astype(np.float16)
    np.save(folder / "latents.npy", latents)
    np.save(folder / "latents_flip.npy", latents[..., ::-1])
    refined = [f"Benny the beagle. {text}" for text in STORY]
    (folder / "texts.json").write_text(json.dumps({"sentences": [STORY] * 3, "refined": [refined] * 3}))
    return folder


def test_trains_and_exports_what_diffusers_loads(data: Path, vae: Path, tmp_path: Path) -> None:
    from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionPipeline

    options = ["--data", data, "--vae", vae, "--out", tmp_path, "--steps", 2, "--decay", 1, "--batch", 2]
    options += ["--channels", "32,32", "--text-hidden", 32]
    result = CliRunner().invoke(main, list(map(str, options)), catch_exceptions=False)
    assert result.exit_code == 0
    log = [json.loads(line) for line in (tmp_path / "evaluation.jsonl").read_text().splitlines()]
    assert log[-1]["step"] == 2
    assert 0 < log[-1]["held_out"] < 10
    assert (tmp_path / "samples-000002.png").is_file()

    folder = tmp_path / "corrector"
    pipe = StableDiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    assert pipe.scheduler.config.prediction_type == "v_prediction"
    assert pipe.tokenizer.model_max_length == MODEL_MAX_LENGTH
    ids = encode(build_tokenizer(load_merges(folder / "tokenizer")), STORY)
    theirs = pipe.tokenizer(STORY, padding="max_length", truncation=True, max_length=MODEL_MAX_LENGTH)["input_ids"]
    assert ids.tolist() == theirs

    image = pipe(STORY[0], height=32, width=32, num_inference_steps=2, output_type="np").images
    assert image.shape == (1, 32, 32, 3)
    assert np.isfinite(image).all()
    img2img = StableDiffusionImg2ImgPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    img2img.set_progress_bar_config(disable=True)
    image = img2img(STORY[0], image=image, strength=0.5, num_inference_steps=2, output_type="np").images
    assert np.isfinite(image).all()

    checkpoint = (folder / "unet" / "diffusion_pytorch_model.safetensors").read_bytes()
    options = ["--out", str(tmp_path), "--vae", str(vae), "--export-only"]
    assert CliRunner().invoke(main, options, catch_exceptions=False).exit_code == 0
    assert (folder / "unet" / "diffusion_pytorch_model.safetensors").read_bytes() == checkpoint

    size = CorrectorSize(channels=(32, 32), attention_levels=(False, True), text_hidden=32)
    continued = Corrector(size, len(ids_of_vocabulary(folder)), fast=False)
    load_weights(continued, folder)
    for name, value in pipe.unet.state_dict().items():
        assert torch.equal(continued.unet.state_dict()[name], value), name


def ids_of_vocabulary(folder: Path) -> dict[str, int]:
    vocabulary: dict[str, int] = json.loads((folder / "tokenizer" / "vocab.json").read_text())
    return vocabulary


def test_fast_modules_equal_diffusers() -> None:
    torch.manual_seed(0)
    fast, plain = Corrector(SIZE, 600), Corrector(SIZE, 600, fast=False)
    assert fast.state_dict().keys() == plain.state_dict().keys()
    plain.load_state_dict(fast.state_dict())
    inputs = torch.randn(2, 4, 16, 16), torch.tensor([10, 900]), torch.randint(600, (2, MODEL_MAX_LENGTH))
    torch.testing.assert_close(fast(*inputs), plain(*inputs), rtol=1e-4, atol=1e-5)
    rough = fast.low_precision(*inputs)
    assert (rough - plain(*inputs)).norm() < 0.03 * rough.norm()
    rough.square().mean().backward()
    plain(*inputs).square().mean().backward()
    for (name, ours), theirs in zip(fast.named_parameters(), plain.parameters(), strict=True):
        if ours.grad is not None and theirs.grad is not None and ours.ndim > 1:
            assert (ours.grad - theirs.grad).norm() <= 0.1 * theirs.grad.norm() + 1e-6, name


@pytest.mark.parametrize(("dtype", "bound"), [(torch.bfloat16, 0.01), (torch.float32, 1e-5)], ids=str)
@pytest.mark.parametrize("silu", [False, True])
@pytest.mark.parametrize(("channels", "groups"), [(32, 8), (24, 3), (40, 40)])
def test_fused_norm_equals_torch(silu: bool, channels: int, groups: int, dtype: torch.dtype, bound: float) -> None:
    torch.manual_seed(1)
    norm = FusedGroupNorm(groups, channels)
    norm.silu = silu
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x = (torch.randn(3, channels, 5, 4) * 2 + 1).to(dtype).requires_grad_()
    dy = torch.randn_like(x)
    ours = norm(x)
    assert ("FusedNorm" in type(ours.grad_fn).__name__) == (library() is not None)
    wide = [value.detach().double().requires_grad_() for value in (x, norm.weight, norm.bias)]
    theirs = F.group_norm(wide[0], groups, wide[1], wide[2], norm.eps)
    theirs = F.silu(theirs) if silu else theirs
    found = (ours, *torch.autograd.grad(ours, (x, norm.weight, norm.bias), dy))
    wanted = (theirs, *torch.autograd.grad(theirs, wide, dy.double()))
    for mine, other in zip(found, wanted, strict=True):
        assert (mine.double() - other).norm() < bound * other.norm()


def test_noise_matches_diffusers() -> None:
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(**SCHEDULER_CONFIG)
    latents, noise, timesteps = (
        torch.randn(4, 4, 2, 2),
        torch.randn(4, 4, 2, 2),
        torch.tensor([0, 1, 500, 999]),
    )
    noisy, v = noised(latents, noise, timesteps, alphas_cumprod())
    torch.testing.assert_close(noisy, scheduler.add_noise(latents, noise, timesteps), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(v, scheduler.get_velocity(latents, noise, timesteps), rtol=1e-4, atol=1e-5)


def test_timesteps_are_stratified_and_weights_average_to_one() -> None:
    timesteps = stratified_timesteps(10)
    assert (timesteps // 100).tolist() == list(range(10))
    every = torch.arange(1000)
    assert min_snr_weights(every, alphas_cumprod(), 5.0).mean() == pytest.approx(1.0, rel=1e-4)
    assert min_snr_weights(every, alphas_cumprod(), 0.0).unique().tolist() == [1.0]


@pytest.mark.parametrize("shape", [(8, 8), (8, 40), (40, 8)])
def test_orthogonalize_levels_singular_values(shape: tuple[int, int]) -> None:
    torch.manual_seed(2)
    values = torch.linalg.svdvals(orthogonalize(torch.randn(shape)).float())
    assert values.min() > 0.4
    assert values.max() < 1.4


def test_tokenizer_is_deterministic_and_covers_bytes(tmp_path: Path) -> None:
    merges = learn_merges(STORY, 60)
    assert merges == learn_merges(STORY[::-1], 60)
    save_tokenizer(merges, tmp_path)
    assert load_merges(tmp_path) == merges
    tokenizer = build_tokenizer(merges)
    assert tokenizer.get_vocab_size() == 512 + len(merges) + 2
    ids = encode(tokenizer, ["Ω beagle"])[0]
    end = tokenizer.token_to_id(END)
    assert end not in ids[: ids.tolist().index(end)]
    assert tokenizer.decode(ids[1:6].tolist()).replace("</w>", " ").strip().startswith("ω")


def test_batches_mix_captions_and_keep_stories_back(data: Path) -> None:
    pairs = CaptionedLatents.load(data, build_tokenizer([]))
    latents, ids, starts = pairs.batch(np.random.default_rng(0), 2000)
    assert latents.shape == (2000, 4, 16, 16)
    assert torch.equal(starts, latents), "no drafts, so each frame starts from itself"
    empty = (ids == torch.from_numpy(pairs.empty)).all(1).float().mean()
    assert 0.07 < empty < 0.13
    held = torch.from_numpy(pairs.latents[-pairs.held_back :].astype(np.float32)).flatten(2)[0, :, 0]
    assert not torch.isin(latents.flatten(1)[:, 0], held).any()


def test_drafted_target_leads_from_the_draft_to_the_frame() -> None:
    torch.manual_seed(0)
    latents, drafts, noise = torch.randn(3, 3, 4, 2, 2, dtype=torch.float64)
    timesteps, alphas = torch.tensor([200, 481, 699]), alphas_cumprod().double()
    noisy, v = noised(latents, noise, timesteps, alphas, drafts)
    a, s = (value.sqrt()[:, None, None, None] for value in (alphas[timesteps], 1 - alphas[timesteps]))
    torch.testing.assert_close(noisy, a * drafts + s * noise)
    torch.testing.assert_close(a * noisy - s * v, latents)
    for plain, same in zip(
        noised(latents, noise, timesteps, alphas), noised(latents, noise, timesteps, alphas, latents), strict=True
    ):
        torch.testing.assert_close(same, plain)


def test_half_of_the_frames_with_a_draft_start_from_it(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path, dirs_exist_ok=True)
    stories = len(np.load(data / "latents.npy"))
    shape = (stories // 2, *np.load(data / "latents.npy").shape[1:])
    np.save(tmp_path / "drafts.npy", np.full(shape, 9.0, np.float16))
    pairs = CaptionedLatents.load(tmp_path, build_tokenizer([]))
    latents, _, starts = pairs.batch(np.random.default_rng(0), 4000)
    drafted = (starts == 9).flatten(1).all(1)
    expected = (stories // 2 - pairs.held_back) / (stories - pairs.held_back)
    upright = 1.0 if pairs.mirrored is None else 0.5  # the mirrored frames have no drafts
    assert drafted.float().mean() == pytest.approx(expected * upright / 2, abs=0.03)
    assert torch.equal(starts[~drafted], latents[~drafted])
    plain = CaptionedLatents.load(data, build_tokenizer([])).batch(np.random.default_rng(0), 4000)
    assert torch.equal(plain[0], latents), "drafts change no other draw"
    assert (pairs.evaluation(8)[2] == 9).all()
    np.save(tmp_path / "drafts.npy", np.zeros((stories + 1, *shape[1:]), np.float16))
    with pytest.raises(ValueError, match=r"drafts\.npy: \d+ stories, expected"):
        CaptionedLatents.load(tmp_path, build_tokenizer([]))


def test_mistakes(data: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.json").write_text('{"sentences": [], "refined": []}')
    with pytest.raises(ValueError, match=r"latents\.npy: no such file"):
        CaptionedLatents.load(tmp_path, build_tokenizer([]))
    result = CliRunner().invoke(main, ["--out", str(tmp_path), "--channels", "a"])
    assert "separated by commas" in result.output
    result = CliRunner().invoke(main, ["--out", str(tmp_path), "--export-only"])
    assert result.exit_code != 0
