"""The correction by itself: the engine's own, of pictures of any kind and size."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from acdc.engine import Corrector
from acdc.engine.models.diffusion.motion import MotionAdapter, MotionConfig
from acdc.engine.options import CorrectionOptions, StoryOptions
from acdc.engine.sdedit.correction import Correction
from acdc.engine.sdedit.pixels import from_array
from tests.helpers.lora import factors, write

OPTIONS = CorrectionOptions(strength=0.5, num_inference_steps=4, guidance_scale=3.0)
PROMPT = "A cat in a garden."


@pytest.fixture(scope="module")
def exact(tiny_path):
    corrector = Corrector.from_pretrained(tiny_path, dtype="float64", backend="eager")
    corrector.native = None  # pictures are corrected at their own size
    return corrector


@pytest.fixture(scope="module")
def clips(tiny_path, tmp_path_factory):
    """A diffusers directory that holds a motion adapter."""
    folder = shutil.copytree(tiny_path / "corrector", tmp_path_factory.mktemp("clips") / "animated")
    sizes = {"block_out_channels": [8, 16], "motion_layers_per_block": 1, "motion_num_attention_heads": 2}
    sizes |= {"motion_norm_num_groups": 4, "motion_max_seq_length": 4}
    torch.manual_seed(0)
    adapter = MotionAdapter(MotionConfig.from_dict(sizes))
    (folder / "motion_adapter").mkdir()
    save_file(adapter.state_dict(), folder / "motion_adapter" / "diffusion_pytorch_model.safetensors")
    (folder / "motion_adapter" / "config.json").write_text(json.dumps({"_class_name": "MotionAdapter", **sizes}))
    return Corrector.from_pretrained(folder, dtype="float64", backend="eager")


def pictures(*sizes, seed=0):
    random = np.random.default_rng(seed)
    return [random.integers(0, 256, (height, width, 3), np.uint8) for height, width in sizes]


def of_engine(corrector, pixels, seed, index, options=OPTIONS):
    """The correction as the engine runs it, of pixels [B, 3, H, W] or clips."""
    correction = Correction(corrector.corrector, StoryOptions(correction=options))
    with torch.inference_mode():
        conditioning, _ = correction.condition([PROMPT] * len(pixels))
        return correction.run(pixels.double(), conditioning, [seed] * len(pixels), index)


@pytest.mark.parametrize("size", [None, 16, 24])
def test_is_the_correction_of_the_engine(exact, size):
    given = torch.rand(2, 3, 16, 24, dtype=torch.float64)
    options = replace(OPTIONS, size=size)
    found = exact(given, PROMPT, seed=5, index=3, options=options)
    wanted = of_engine(exact, given.float() * 2 - 1, 5, [3, 4], options)
    assert found.dtype == torch.float64
    assert torch.allclose(found, (wanted.float().double() + 1) / 2, rtol=0, atol=1e-6)


def test_noise_depends_on_seed_and_number_alone(exact):
    given = pictures((16, 16), (16, 16), (16, 20), (16, 16), (16, 16))
    at_once = exact(given, PROMPT, seed=1, batch=4, options=OPTIONS)
    for number, picture in enumerate(given):
        alone = exact(picture, PROMPT, seed=1, index=number, options=OPTIONS)
        assert np.abs(alone.astype(int) - at_once[number]).max() <= 1
    some = exact([given[3], given[1]], PROMPT, seed=1, index=[3, 1], batch=2, options=OPTIONS)
    assert np.abs(np.stack(some).astype(int) - np.stack([at_once[3], at_once[1]])).max() <= 1
    same = exact(given[0], PROMPT, seed=1, index=1, options=OPTIONS), exact(given[0], PROMPT, seed=2, options=OPTIONS)
    assert all((other != at_once[0]).any() for other in same)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (15, 18), (17, 33), (3, 5), (1, 1)])
def test_odd_sizes_keep_their_size_and_are_those_of_the_picture_with_repeated_edges(exact, height, width):
    (picture,) = pictures((height, width))
    found = exact(picture, PROMPT, seed=1, options=OPTIONS)
    assert found.shape == (height, width, 3)
    padded = np.pad(picture, ((0, -height % 4), (0, -width % 4), (0, 0)), mode="edge")
    whole = exact(padded, PROMPT, seed=1, options=OPTIONS)
    assert np.array_equal(whole[:height, :width], found)


def test_kinds_come_back_as_they_were(exact):
    (picture,) = pictures((16, 20))
    image, tensor = Image.fromarray(picture), torch.from_numpy(picture).permute(2, 0, 1) / 255
    run = lambda given: exact(given, PROMPT, seed=1, options=OPTIONS)  # noqa: E731
    wanted = run(picture)
    assert wanted.dtype == np.uint8
    assert isinstance(run(image), Image.Image)
    assert np.array_equal(np.asarray(run(image)), wanted)
    assert np.abs(run(tensor).permute(1, 2, 0).numpy() * 255 - wanted).max() <= 0.51
    assert [type(one) for one in run([image, picture, tensor])] == [Image.Image, np.ndarray, torch.Tensor]
    assert run(picture[None]).shape == (1, 16, 20, 3)
    assert run(tensor[None].half()).dtype == torch.float16
    assert run([]) == []


def modes():
    """Pictures of one content in many modes: upright, in RGB, is what the first one is."""
    (array,) = pictures((16, 20))
    rgb = Image.fromarray(array // 64 * 64)
    turned = rgb.transpose(Image.Transpose.ROTATE_90)
    turned.getexif()[0x0112] = 6  # to be shown turned to the right
    return {"RGB": (rgb, rgb), "palette": (rgb.quantize(256), rgb.quantize(256).convert("RGB")), "EXIF": (turned, rgb)}


@pytest.mark.parametrize("mode", ["RGB", "palette", "EXIF"])
def test_modes_are_corrected_as_a_viewer_shows_them(exact, mode):
    given, shown = modes()[mode]
    found = exact(given, PROMPT, seed=1, options=OPTIONS)
    assert (found.mode, found.size) == ("RGB", shown.size)
    assert np.array_equal(np.asarray(found), np.asarray(exact(shown, PROMPT, seed=1, options=OPTIONS)))


@pytest.mark.parametrize("mode", ["CMYK", "L", "1", "I;16", "YCbCr", "LAB", "HSV"])
def test_other_modes_become_rgb(exact, mode):
    (array,) = pictures((16, 20))
    deep = Image.fromarray(array[..., 0].astype(np.uint16) * 257)
    found = exact(deep if mode == "I;16" else Image.fromarray(array).convert(mode), PROMPT, options=OPTIONS)
    assert (found.mode, found.size) == ("RGB", (20, 16))
    if mode == "I;16":
        grey = exact(Image.fromarray(array[..., 0]), PROMPT, options=OPTIONS)
        assert np.array_equal(np.asarray(found), np.asarray(grey))


def test_alpha_is_kept_and_the_rest_is_corrected_as_on_white(exact):
    (array,) = pictures((16, 20))
    alpha = np.arange(320, dtype=np.uint8).reshape(16, 20)
    rgba = np.dstack([array, alpha])
    run = lambda given: exact(given, PROMPT, seed=1, options=OPTIONS)  # noqa: E731
    white = Image.new("RGBA", (20, 16), "white")
    shown = Image.alpha_composite(white, Image.fromarray(rgba)).convert("RGB")
    wanted = np.asarray(run(shown))
    for found in (np.asarray(run(Image.fromarray(rgba))), run(rgba)):
        assert np.array_equal(found, np.dstack([wanted, alpha]))
    tensor = torch.from_numpy(rgba).permute(2, 0, 1) / 255
    assert torch.equal(run(tensor)[3], tensor[3])
    clear = Image.new("P", (20, 16))
    clear.info["transparency"] = 0
    assert np.asarray(run(clear).getchannel("A")).max() == 0


def test_small_pictures_are_enlarged_to_the_size_of_training(tiny_path, tmp_path):
    folder = shutil.copytree(tiny_path / "corrector", tmp_path / "base")
    config = json.loads((folder / "unet" / "config.json").read_text())
    (folder / "unet" / "config.json").write_text(json.dumps(config | {"sample_size": 3}))
    corrector = Corrector.from_pretrained(folder, backend="eager")
    trained = 3 * corrector.corrector.vae.downscale
    assert corrector.native == trained
    assert corrector._size(8, 16, OPTIONS) == (trained, 2 * trained)
    assert corrector._size(trained + 1, 2 * trained, OPTIONS) == (trained + 1, 2 * trained)
    assert corrector._size(8, 16, replace(OPTIONS, size=40)) == (40, 80)
    config.pop("sample_size", None)
    (folder / "unet" / "config.json").write_text(json.dumps(config))
    assert Corrector.from_pretrained(folder, backend="eager").native is None


def test_a_clip_without_motion_adapter_has_equal_noise(exact):
    (picture,) = pictures((16, 16))
    still = exact.clip([picture] * 3, PROMPT, seed=1, options=OPTIONS)
    assert np.array_equal(still[0], still[2])
    assert np.array_equal(still[0], exact(picture, PROMPT, seed=1, options=OPTIONS))
    assert exact.clip_frames is None


def test_a_clip_with_motion_adapter_is_corrected_together(clips):
    frames = pictures((16, 16), (16, 16), (16, 16))
    found = clips.clip(frames, PROMPT, seed=1, index=2, options=replace(OPTIONS, size=16))
    pixels = from_array(np.stack(frames))
    wanted = of_engine(clips, pixels[None], 1, [2])[0]
    assert np.abs(np.stack(found) - ((wanted.movedim(1, -1) + 1) * 127.5).numpy()).max() <= 0.51
    alone = clips(frames[0], PROMPT, seed=1, index=2, options=replace(OPTIONS, size=16))
    assert (alone != found[0]).any()
    with pytest.raises(ValueError, match=f"choose at most {clips.clip_frames}"):
        clips.clip([frames[0]] * (clips.clip_frames + 1), PROMPT)
    with pytest.raises(ValueError, match="one size"):
        clips.clip(pictures((16, 16), (16, 20)), PROMPT)


def test_a_published_bundle_needs_its_corrector_alone(tiny_path, tmp_path):
    shutil.copytree(tiny_path / "corrector", tmp_path / "stable-diffusion-v1-5")
    corrector = Corrector.from_pretrained("lwm+sd15", models=tmp_path, backend="eager")
    assert corrector.resolved(CorrectionOptions()).size == 512
    with pytest.raises(ValueError, match="is for bundles"):
        Corrector.from_pretrained(tiny_path / "corrector", models=tmp_path)


def test_loras_are_merged_and_recorded(tiny_path, tmp_path):
    plain = Corrector.from_pretrained(tiny_path, backend="eager")
    layer = plain.corrector.unet.conv_in
    path = write(tmp_path / "l.safetensors", {("unet", "conv_in"): factors(layer, 2, None, 0)}, "peft")
    styled = Corrector.from_pretrained(tiny_path, backend="eager", loras=[f"{path}=2"])
    (picture,) = pictures((16, 16))
    assert (styled(picture, PROMPT, options=OPTIONS) != plain(picture, PROMPT, options=OPTIONS)).any()
    assert styled.settings(OPTIONS)["loras"][0]["weight"] == 2
    assert "loras" not in plain.settings(OPTIONS)
    assert plain.settings(OPTIONS)["strength"] == 0.5
    assert not {"correct_first", "correct_every", "feed_back", "correction"} & plain.settings(OPTIONS).keys()


def test_runs_on_a_backend(tiny_path):
    eager, planned = (Corrector.from_pretrained(tiny_path, backend=name) for name in ("eager", "text_encoder=openvino"))
    (picture,) = pictures((16, 16))
    one, two = (corrector(picture, PROMPT, seed=1, options=OPTIONS) for corrector in (eager, planned))
    assert np.abs(one.astype(int) - two).max() <= 1
    assert planned.settings(OPTIONS)["backend"] == "text_encoder=openvino"
    with pytest.raises(ValueError, match="needs a bundle's other models"):
        Corrector.from_pretrained(tiny_path, backend="correction=openvino")


@pytest.mark.parametrize(
    ("given", "prompts", "values", "text"),
    [
        ("cat.png", PROMPT, {}, "pictures is a str"),
        ([1], PROMPT, {}, "picture 1 is a int"),
        (np.zeros((8, 8, 3), np.uint8), PROMPT, {"index": -1}, "index -1 is negative"),
        (np.zeros((8, 8, 3), np.uint8), PROMPT, {"index": [1, 2]}, "2 numbers for 1 pictures"),
        (np.zeros((8, 8, 3)), PROMPT, {}, "array float64"),
        (np.zeros((8, 8, 2), np.uint8), PROMPT, {}, r"array uint8 \[8, 8, 2\]"),
        (torch.zeros(3, 8, 8) - 1, PROMPT, {}, "values from -1 to -1; give 0 to 1"),
        (torch.zeros(1, 8, 8), PROMPT, {}, r"tensor float32 \[1, 8, 8\]"),
        (torch.full((3, 8, 8), torch.nan), PROMPT, {}, "give 0 to 1"),
        (np.zeros((8, 8, 3), np.uint8), ["a", "b"], {}, "2 prompts for 1 pictures"),
        (np.zeros((8, 8, 3), np.uint8), [3], {}, "prompt 1 is a int"),
        (np.zeros((8, 8, 3), np.uint8), PROMPT, {"strenght": 1}, "unknown option 'strenght'; choose among strength"),
        (np.zeros((8, 8, 3), np.uint8), PROMPT, {"first": 1}, "unknown option 'first'"),
        (np.zeros((8, 8, 3), np.uint8), PROMPT, {"strength": 2.0}, "out of range"),
        (np.zeros((8, 8, 3), np.uint8), PROMPT, {"batch": 0}, "batch 0 is too small"),
        (np.zeros((8, 8, 3), np.uint8), PROMPT, {"seed": -1}, "seed -1 is out of range"),
        (np.zeros((8, 8, 3), np.uint8), PROMPT, {"options": CorrectionOptions(first=1)}, "correction.first"),
        (np.zeros((8, 8, 3), np.uint8), PROMPT, {"options": OPTIONS, "strength": 0.5}, "not both"),
    ],
)
def test_mistakes_are_one_line(exact, given, prompts, values, text):
    with pytest.raises(ValueError, match=text) as caught:
        exact(given, prompts, **values)
    assert "\n" not in str(caught.value)


def test_numbers_that_are_not_finite_stop_it(tiny_path):
    broken = Corrector.from_pretrained(tiny_path, backend="eager")
    with torch.no_grad():
        broken.corrector.unet.conv_out.weight.fill_(1e30)
    with pytest.raises(ValueError, match="picture 1: the corrector made numbers that are not finite"):
        broken(np.zeros((8, 8, 3), np.uint8), PROMPT, options=OPTIONS)


def test_a_mask_keeps_the_pixels_outside_of_it(exact):
    """At sizes that are padded and enlarged, too; a mask of everything leaves the correction as it is."""
    for height, width in ((16, 20), (15, 18)):
        (picture,) = pictures((height, width))
        mask = np.zeros((height, width), np.uint8)
        mask[:8, 8:] = 255
        found = exact(picture, PROMPT, seed=1, options=OPTIONS, masks=[mask])
        outside = mask == 0
        assert np.array_equal(found[outside], picture[outside])
        assert (found[~outside] != picture[~outside]).any()
    large = exact(picture, PROMPT, seed=1, options=replace(OPTIONS, size=32), masks=[mask])
    assert np.array_equal(large[outside], picture[outside])
    free = exact(picture, PROMPT, seed=1, options=OPTIONS)
    assert np.array_equal(exact(picture, PROMPT, seed=1, options=OPTIONS, masks=[mask | 255]), free)
    some = exact([picture, picture], PROMPT, seed=1, index=[0, 0], batch=2, options=OPTIONS, masks=[None, mask])
    assert np.array_equal(some[0], free)
    assert np.array_equal(some[1][outside], picture[outside])


def test_masks_that_mark_nothing_or_are_too_few_are_refused(exact):
    (picture,) = pictures((16, 16))
    with pytest.raises(ValueError, match="marks no latent"):
        exact(picture, PROMPT, options=OPTIONS, masks=[np.zeros((16, 16), np.uint8)])
    with pytest.raises(ValueError, match="0 masks for 1 pictures"):
        exact(picture, PROMPT, options=OPTIONS, masks=[])


def test_partial_images_are_estimates_that_change_nothing(exact):
    given, seen = pictures((15, 18), (15, 18), (16, 16)), []
    options = replace(OPTIONS, strength=1.0)  # 4 steps
    look = lambda row, number, picture: seen.append((row, number, picture))  # noqa: E731
    found = exact(given, PROMPT, seed=1, batch=2, options=options, partial_images=3, on_partial=look)
    for before, after in zip(exact(given, PROMPT, seed=1, batch=2, options=options), found, strict=True):
        assert np.array_equal(before, after)
    assert sorted((row, number) for row, number, _ in seen) == [(row, number) for row in range(3) for number in (1, 2)]
    assert all(picture.shape == given[row].shape for row, _, picture in seen)
