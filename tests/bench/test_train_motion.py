"""The motion adapter's training: it begins as the frozen UNet, moves the motion modules only, and exports them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tokenizers import Tokenizer

from acdc.bench.storyworld.__main__ import main as storyworld
from acdc.bench.storyworld.train import arm as train_arm
from acdc.bench.storyworld.train.arm_data import Layout, read_stories
from acdc.bench.storyworld.train.motion import by_frames, errors, join, make_adapter, make_optimizers
from acdc.bench.storyworld.train.motion_data import LENGTH, CaptionedClips
from acdc.bench.storyworld.train.video_drafts import redraw_all, redraw_clip
from acdc.engine.models.diffusion.animatediff import AnimateDiff
from acdc.engine.models.diffusion.stable_diffusion import StableDiffusion
from acdc.engine.models.lwm.family import Arm
from tests.helpers.latent_drafts import check_drafts, part_flags

pytestmark = pytest.mark.training

SENTENCE = "Benny the beagle ran."


def write(folder: Path, clips: int, drafts: bool = False) -> Path:
    """A data directory of random latents, 18 frames each."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("latents.npy", "drafts.npy")[: 1 + drafts]:
        np.save(folder / name, rng.normal(size=(clips, LENGTH + 2, 4, 4, 4)).astype(np.float16))
    lines = [[f"{SENTENCE} {k}"] for k in range(clips)]
    (folder / "texts.json").write_text(json.dumps({"sentences": lines, "refined": lines, "names": ["Benny"] * clips}))
    return folder


@pytest.fixture(scope="module")
def networks(tiny_path: Path) -> StableDiffusion:
    return StableDiffusion.from_directory(tiny_path / "corrector")


def load(networks: StableDiffusion, folder: Path) -> CaptionedClips:
    return CaptionedClips.load(folder, lambda captions: networks.embed(captions)[0])


def some(clips: CaptionedClips) -> tuple[torch.Tensor, ...]:
    latents, starts, contexts = clips.batch(np.random.default_rng(1), 3)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(2))
    return latents, starts, noise, torch.tensor([50, 400, 900]), contexts


def test_it_begins_as_the_frozen_unet_on_each_frame(networks: StableDiffusion, tmp_path: Path) -> None:
    clips = load(networks, write(tmp_path / "clips", 4))
    joint = join(networks.unet, make_adapter(networks.unet))
    with torch.no_grad():
        found = errors(joint, *some(clips))
        alone = errors(by_frames(networks.unet), *some(clips))
    assert found.shape == (3,)
    torch.testing.assert_close(found, alone, rtol=1e-5, atol=1e-6)


def test_a_step_moves_motion_modules_only_and_lowers_the_loss(networks: StableDiffusion, tmp_path: Path) -> None:
    clips = load(networks, write(tmp_path / "clips", 4, drafts=True))
    torch.manual_seed(0)
    joint = join(networks.unet, make_adapter(networks.unet))
    before = {name: value.clone() for name, value in joint.state_dict().items()}
    batch = some(clips)
    optimizers = make_optimizers(joint, 3e-3)
    losses = []
    for _ in range(6):
        loss = errors(joint, *batch).mean()
        loss.backward()
        losses.append(float(loss.detach()))
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    assert losses[-1] < losses[0]
    moved = {name for name, value in joint.state_dict().items() if not torch.equal(value, before[name])}
    assert moved
    assert all(".motion_modules." in name for name in moved)
    learned = {name for name, value in joint.named_parameters() if ".motion_modules." in name}
    assert moved == learned


def test_drafts_replace_noise_where_corrections_begin(networks: StableDiffusion, tmp_path: Path) -> None:
    """Only the clip at timestep 400 of (50, 400, 900) reads its draft."""
    clips = load(networks, write(tmp_path / "clips", 4, drafts=True))
    latents, _, noise, timesteps, contexts = some(clips)
    with torch.no_grad():
        clean = errors(by_frames(networks.unet), latents, latents, noise, timesteps, contexts)
        drafted = errors(by_frames(networks.unet), latents, latents + 0.5, noise, timesteps, contexts)
    assert (clean != drafted).tolist() == [False, True, False]


def test_batches_are_stretches_of_clips_with_their_captions(networks: StableDiffusion, tmp_path: Path) -> None:
    clips = load(networks, write(tmp_path / "clips", 5, drafts=True))
    latents, starts, contexts = clips.batch(np.random.default_rng(3), 40)
    assert latents.shape == (40, LENGTH, 4, 4, 4)
    whole = torch.from_numpy(clips.latents.astype(np.float32))
    drafts = torch.from_numpy(clips.drafts.astype(np.float32))
    seen, empty, drafted = set(), 0, 0
    for row, start, context in zip(latents, starts, contexts, strict=True):
        (found,) = [(i, s) for i in range(5) for s in range(3) if torch.equal(row, whole[i, s : s + LENGTH])]
        seen.add(found[1])
        is_empty = torch.equal(context, clips.null_context[0])
        assert is_empty or torch.equal(context, clips.contexts[found[0]])
        is_draft = torch.equal(start, drafts[found[0], found[1] : found[1] + LENGTH])
        assert is_draft or torch.equal(start, row)
        empty, drafted = empty + is_empty, drafted + is_draft
    assert seen == {0, 1, 2}
    assert 0 < empty < 15
    assert 10 < drafted < 30


def test_a_short_run_trains_and_exports_what_the_engine_loads(tiny_path: Path, tmp_path: Path) -> None:
    clips, heldout = write(tmp_path / "clips", 4), write(tmp_path / "heldout", 2)
    base, out = tiny_path / "corrector", tmp_path / "run"
    options = {"base": base, "clips": clips, "heldout": heldout, "out": out, "steps": 4, "decay": 2, "batch": 2}
    words = [word for name, value in (options | {"every": 2}).items() for word in (f"--{name}", str(value))]
    result = CliRunner().invoke(storyworld, ["train_motion", *words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found = [json.loads(line) for line in (out / "evaluation.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in found] == [0, 2, 4]
    report = json.loads((out / "report.json").read_text())
    assert found[0]["v_mse"] == pytest.approx(report["alone"]["v_mse"], abs=2e-5)
    assert found[-1]["v_mse"] != found[0]["v_mse"]

    networks = AnimateDiff.from_directory(base, adapter=out / "motion_adapter")
    alone = StableDiffusion.from_directory(base)
    assert networks.scheduler_config == alone.scheduler_config, "its own schedule, not that of published adapters"
    latents = torch.randn(1, LENGTH, 4, 4, 4)
    context, timestep = alone.embed([SENTENCE])[0], torch.tensor([400])
    with torch.no_grad():
        assert not torch.equal(
            networks.unet(latents, timestep, context), by_frames(alone.unet)(latents, timestep, context)
        )


@pytest.mark.parametrize(
    ("change", "needle"),
    [
        (lambda folder: (folder / "latents.npy").unlink(), "latents.npy: no such file"),
        (lambda folder: np.save(folder / "latents.npy", np.zeros((3, 20, 4, 4, 4), np.float16)), "different clips"),
        (lambda folder: np.save(folder / "latents.npy", np.zeros((2, 8, 4, 4, 4), np.float16)), "clips of 8 frames"),
        (lambda folder: np.save(folder / "drafts.npy", np.zeros((1, 18, 4, 4, 4), np.float16)), "different clips"),
    ],
)
def test_bad_data_is_named(networks: StableDiffusion, tmp_path: Path, change, needle: str) -> None:
    folder = write(tmp_path / "clips", 2)
    change(folder)
    with pytest.raises(ValueError, match=needle) as error:
        load(networks, folder)
    assert "\n" not in str(error.value)


# -- drafts -----------------------------------------------------------------------------------------------------------


def prepared(tiny_path: Path, folder: Path) -> tuple[Arm, Layout]:
    """A data directory of three clips of five frames in the tiny bundle's codes."""
    arm = Arm.from_directory(tiny_path / "arm")
    layout = Layout(arm.stream.codes_per_frame, arm.stream.codebook_size)
    codes = np.random.default_rng(0).integers(0, layout.codebook_size, (3, 5, layout.codes_per_frame))
    np.save(folder / "codes.npy", codes.astype(np.int16))
    (folder / "texts.json").write_text(json.dumps({"sentences": [[SENTENCE]] * 3}))
    return arm, layout


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_drawn_follows_the_arm(
    tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    """With its choice made certain, each redrawn code is the one the ARM's session would choose there.

    In bfloat16, where the pass rounds what the session does not, it is one that the session holds for as good but for
    that rounding.
    """
    monkeypatch.setattr(train_arm, "compute_dtype", lambda device: dtype)
    arm, layout = prepared(tiny_path, tmp_path)
    arm.model.vision_head.weight.data.mul_(1e6)
    clips = read_stories(tmp_path, Tokenizer.from_file(str(tiny_path / "arm" / "tokenizer.json")))
    clip, text = clips.codes[0][0], clips.texts[0][0][0]
    true = torch.from_numpy(clip.astype(np.int64))
    drawn = torch.full_like(true, -1)
    for seed in range(12):
        found = redraw_clip(arm.model, text, clip, layout, torch.Generator().manual_seed(seed), "cpu")
        changed = found != true
        assert ((drawn == -1) | (drawn == found))[changed].all(), "the same code whenever it is redrawn"
        drawn[changed] = found[changed]
    assert (drawn[0] != -1).any()
    from acdc.engine.models.causal.session import ArmSession

    weight = arm.model.vision_head.weight
    # a state has length sqrt(D) after ln_f; some eight roundings of half an eps precede it; two logits may err apart
    slack = 2 * 4 * torch.finfo(dtype).eps * weight.norm(dim=1).max() * weight.shape[1] ** 0.5
    session = ArmSession(arm, 1, 4, "full")
    session.begin([SENTENCE])
    for frame in range(3):
        logits = session.last_logits[0, : layout.codebook_size]
        code = int(drawn[frame, 0])
        assert code == -1 or logits[code] >= logits.max() - slack
        session.extend(true[frame : frame + 1])
        session.begin(None)
    session.close()


def test_shares_differ_from_clip_to_clip(tiny_path: Path, tmp_path: Path) -> None:
    arm, layout = prepared(tiny_path, tmp_path)
    clips = read_stories(tmp_path, Tokenizer.from_file(str(tiny_path / "arm" / "tokenizer.json")))
    first = redraw_all(arm.model, clips, layout, "cpu")
    assert torch.equal(first, redraw_all(arm.model, clips, layout, "cpu"))
    assert first.shape == (3, 5, layout.codes_per_frame)
    assert 0 <= int(first.min()) <= int(first.max()) < layout.codebook_size
    true = torch.from_numpy(clips.codes[0].astype(np.int64))
    assert 0.1 < (first != true).float().mean() < 0.9


def test_latents_of_drafts_are_written_next_to_the_others(tiny_path: Path, tmp_path: Path) -> None:
    prepared(tiny_path, tmp_path)
    result = CliRunner().invoke(
        storyworld, ["clip_drafts", "--clips", str(tmp_path), *part_flags(tiny_path)], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    assert result.output.startswith("3 clips, ")
    check_drafts(tmp_path, 3, 5)
