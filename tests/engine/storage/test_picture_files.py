"""Files of pictures and clips: known by their contents, read as a viewer shows them, written with their times."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acdc.engine.storage import picture_files
from acdc.engine.storage.picture_files import find_picture, has_sound, read_frames, read_picture, write_clip
from acdc.engine.storage.video_io import encode_mp4

COLOURS = [(200, 30, 40), (20, 180, 60), (30, 60, 220), (240, 220, 20)]


def frames(height=32, width=48):
    """Four of one colour each, which no format changes much."""
    return [np.full((height, width, 3), colour, np.uint8) for colour in COLOURS]


def stored(tmp_path, pictures):
    paths = []
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / f"f{number}.png")
        paths.append(tmp_path / f"f{number}.png")
    return paths


def animation(path, form, **how):
    first, *rest = [Image.fromarray(picture) for picture in frames()]
    first.save(path, format=form, save_all=True, append_images=rest, **how)
    return path


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_a_still_is_known_by_its_contents(tmp_path, form):
    path = tmp_path / "a.b.dat"
    Image.fromarray(frames()[0]).save(path, format=form)
    found = find_picture(str(path))
    assert (found.kind, found.form, found.target) == ("picture", form, "a.b.png")
    assert np.abs(np.asarray(read_picture(found)).astype(int) - frames()[0]).max() <= 4


def test_a_cameras_jpeg_of_two_pictures_is_a_still(tmp_path):
    path = tmp_path / "camera.jpg"
    one, two = (Image.fromarray(picture) for picture in frames()[:2])
    one.save(path, format="MPO", save_all=True, append_images=[two])
    found = find_picture(str(path))
    assert found.kind == "picture"
    assert read_picture(found).size == (48, 32)


@pytest.mark.parametrize(("form", "suffix"), [("GIF", "gif"), ("WEBP", "webp"), ("PNG", "png")])
def test_an_animation_keeps_its_frames_and_times(tmp_path, form, suffix):
    times = [100, 200, 50, 300]
    how = {"lossless": True} if form == "WEBP" else {}
    source = find_picture(str(animation(tmp_path / "a", form, duration=times, loop=3, **how)))
    assert (source.kind, source.target, source.frames_folder) == ("animation", f"a.{suffix}", "a_frames")
    found = list(read_frames(source))
    assert np.abs(np.stack(found).astype(int) - np.stack(frames())).max() <= 2
    write_clip(tmp_path / source.target, source, stored(tmp_path, found))
    again = find_picture(str(tmp_path / source.target))
    assert np.abs(np.stack(list(read_frames(again))).astype(int) - np.stack(frames())).max() <= 4
    with Image.open(again.path) as picture:
        shown = []
        for number in range(picture.n_frames):
            picture.seek(number)
            picture.load()
            shown.append(picture.info["duration"])
    assert shown == times


def test_a_movie_keeps_its_colours_and_rate(tmp_path):
    pytest.importorskip("av")
    (tmp_path / "m.mov").write_bytes(encode_mp4(frames(), Fraction(30000, 1001)))
    source = find_picture(str(tmp_path / "m.mov"))
    assert (source.kind, source.target) == ("movie", "m.mp4")
    assert not has_sound(source)
    found = list(read_frames(source))
    assert np.abs(np.stack(found).astype(int) - np.stack(frames())).max() <= 6
    write_clip(tmp_path / "again.mp4", source, stored(tmp_path, found))
    again = find_picture(str(tmp_path / "again.mp4"))
    assert picture_files.movie_rate(again.path) == Fraction(30000, 1001)
    assert len(list(read_frames(again))) == 4


@pytest.mark.parametrize(("said", "matrix", "height"), [(2, 5, 32), (2, 1, 720), (6, 5, 32), (5, 5, 32)])
def test_colours_of_movies_that_say_bt601_or_nothing(tmp_path, said, matrix, height):
    """H.273: 1 is BT.709, 5 and 6 are BT.601, 2 says nothing, which by custom is BT.601 below 720 lines."""
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "m.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=8, options={"crf": "5"})
        stream.width, stream.height, stream.pix_fmt = 48, height, "yuv420p"
        stream.codec_context.colorspace = said
        for picture in frames(height)[:2]:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame.reformat(format="yuv420p", dst_colorspace=matrix)))
        container.mux(stream.encode())
    found = list(read_frames(find_picture(str(tmp_path / "m.mp4"))))
    assert np.abs(np.stack(found).astype(int) - np.stack(frames(height)[:2])).max() <= 6


def test_profiles_are_kept_where_they_hold(tmp_path):
    profile = b"a profile"
    for mode, kept in (("RGB", True), ("CMYK", False), ("L", False)):
        Image.fromarray(frames()[0]).convert(mode).save(tmp_path / "p.jpg", icc_profile=profile)
        assert ("icc_profile" in read_picture(find_picture(str(tmp_path / "p.jpg"))).info) == kept


def test_what_is_not_a_picture_is_refused(tmp_path, monkeypatch):
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "cut.mp4").write_bytes(b"\0\0\0\x20ftypisom")
    wrong = {"none.png": "does not exist", "": "directory", "text.png": "not readable", "empty.jpg": "not readable"}
    for name, text in wrong.items():
        with pytest.raises(ValueError, match=text) as caught:
            find_picture(str(tmp_path / name))
        assert "\n" not in str(caught.value)
    pytest.importorskip("av")
    with pytest.raises(ValueError, match=r"cannot be read: Invalid data found when processing input$"):
        find_picture(str(tmp_path / "cut.mp4"))
    monkeypatch.setattr(picture_files, "no_mp4_reason", lambda: "PyAV is missing: pip install 'acdc-engine[video]'")
    with pytest.raises(ValueError, match="cannot be read: PyAV is missing"):
        find_picture(str(tmp_path / "cut.mp4"))


def test_a_picture_that_is_cut_off_fails_when_it_is_read(tmp_path):
    path = Path(tmp_path / "cut.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match="not a readable picture"):
        read_picture(find_picture(str(path)))
