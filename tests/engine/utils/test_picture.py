"""Pictures that people give: every mode becomes the 8-bit RGB that a viewer shows."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acdc.engine.cli.inputs import read_init_image
from acdc.engine.sdedit.pixels import from_image
from acdc.engine.utils.picture import upright_rgb

RAMP = np.linspace(0, 1, 64).reshape(8, 8)
GREY = np.round(RAMP * 255).astype(np.uint8)


def grey(picture: Image.Image) -> np.ndarray:
    found = np.asarray(upright_rgb(picture))
    assert found.shape[2] == 3
    return found[..., 0]


def reread(picture: Image.Image, kind: str, **how: object) -> Image.Image:
    buffer = BytesIO()
    picture.save(buffer, format=kind, **how)
    buffer.seek(0)
    return Image.open(buffer)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled(kind: str) -> None:
    deep = Image.fromarray(np.round(RAMP * 65535).astype(np.uint16))
    assert np.array_equal(grey(reread(deep, kind)), GREY)


def test_other_orders_of_sixteen_bits_are_scaled() -> None:
    values = np.round(RAMP * 65535).astype(np.uint16)
    big = Image.frombytes("I;16B", (8, 8), values.astype(">u2").tobytes())
    assert np.array_equal(grey(big), GREY)
    assert np.array_equal(grey(Image.fromarray(values.astype(np.int32))), GREY)


def test_floats_from_0_to_1_are_scaled() -> None:
    assert np.array_equal(grey(reread(Image.fromarray(RAMP.astype(np.float32)), "TIFF")), GREY)


@pytest.mark.parametrize("values", [RAMP * 255, RAMP - 0.5, np.where(RAMP > 0.5, np.nan, RAMP)])
def test_other_floats_are_refused(values: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"values of mode F from .* to .*, not 0 to 1"):
        upright_rgb(Image.fromarray(values.astype(np.float32)))


def test_integers_beyond_sixteen_bits_are_refused() -> None:
    with pytest.raises(ValueError, match="values of mode I from 0 to 100000, not 0 to 65535"):
        upright_rgb(Image.fromarray(np.array([[0, 100000]], dtype=np.int32)))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "HSV"])
def test_modes_without_alpha_keep_their_colours(mode: str) -> None:
    red = Image.new("RGB", (4, 4), (255, 0, 0)) if mode not in ("1", "L") else Image.new("L", (4, 4), 255)
    found = np.asarray(upright_rgb(red.convert(mode))).astype(int)
    assert np.abs(found - np.asarray(red.convert("RGB")).astype(int)).max() <= 2


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_parts_are_white(mode: str) -> None:
    clear = Image.new("LA", (4, 4), (0, 0)) if mode == "LA" else Image.new("RGBA", (4, 4), (200, 0, 0, 0))
    if mode == "P":
        clear = reread(Image.new("P", (4, 4), 0), "PNG", transparency=0)
    assert (np.asarray(upright_rgb(clear)) == 255).all()


def test_the_library_prepares_as_the_command_line(tmp_path: Path) -> None:
    """mflux-community/mflux#495: EXIF rotation and alpha."""
    turned = np.zeros((8, 12, 3), np.uint8)
    turned[:, :6] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    Image.fromarray(turned).save(tmp_path / "a.jpg", exif=exif, quality=100)
    Image.new("RGBA", (8, 8), (200, 0, 0, 0)).save(tmp_path / "b.png")
    for name in ("a.jpg", "b.png"):
        with Image.open(tmp_path / name) as picture:
            assert (from_image(picture, 8) == from_image(read_init_image(str(tmp_path / name)), 8)).all()
    with Image.open(tmp_path / "a.jpg") as picture:
        assert upright_rgb(picture).size == (8, 12)
        assert from_image(picture, 8)[0, 0].mean() > 0.9 > -0.9 > from_image(picture, 8)[0, -1].mean()


def test_an_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("white", "black")]
    moving = reread(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert moving.n_frames == 2
    assert (grey(moving) == 255).all()


def test_an_unreadable_picture_is_one_line(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(tmp_path / "c.png")
    (tmp_path / "c.png").write_bytes((tmp_path / "c.png").read_bytes()[:3000])
    with Image.open(tmp_path / "c.png") as cut, pytest.raises(ValueError, match="not a readable picture"):
        from_image(cut, 8)
    with pytest.raises(ValueError, match=r"c.png' is not a readable picture.*; give a PNG or JPEG file"):
        read_init_image(str(tmp_path / "c.png"))
    with pytest.raises(ValueError, match="its size is 0 x 3"):
        upright_rgb(Image.new("RGB", (0, 3)))
    with pytest.raises(ValueError, match="init image is a ndarray; give a PIL image"):
        upright_rgb(GREY)  # type: ignore[arg-type]
