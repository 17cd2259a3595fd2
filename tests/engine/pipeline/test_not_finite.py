"""NaN and infinity never become a picture: the story stops in one line that says what helps."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from acdc.engine.cli.main import main
from acdc.engine.engine import Engine
from acdc.engine.outputs import StoryResult
from acdc.engine.pipeline.phases import Phases
from acdc.engine.scheduler.events import StoryFailed
from acdc.engine.sdedit.correct import mark_overflow
from acdc.engine.sdedit.pixels import check_finite
from tests.helpers.cli_runs import STORY, refuse

SHORT = {"num_inference_steps": 2, "memory": "none"}
SAID = r"frame 1: the corrector made numbers that are not finite in float32; check its weights"


@pytest.fixture(scope="module")
def breakable(tiny_path: Path) -> Engine:
    """An engine of this file's own."""
    return Engine.from_pretrained(tiny_path)


@pytest.fixture
def engine(breakable: Engine) -> Iterator[Engine]:
    """An engine to break, which is mended for the next test."""
    before = {part: bias.data.clone() for part, bias in biases(breakable).items()}
    yield breakable
    for part, bias in biases(breakable).items():
        bias.data.copy_(before[part])


@pytest.fixture
def bundle(tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(tiny_path, tmp_path / "bundle"))


def biases(engine: Engine) -> dict[str, Tensor]:
    """One of each network."""
    places = {
        "unet": engine.models.corrector.unet.conv_out,
        "text": engine.models.corrector.text_encoder.final_layer_norm,
        "vae encoder": engine.models.corrector.vae.encoder.conv_out,
        "vae decoder": engine.models.corrector.vae.decoder.conv_out,
        "tokenizer": engine.models.tokenizer.decoder.conv_out,
    }
    return {part: place.bias for part, place in places.items()}


def spoil(engine: Engine, part: str, value: float = float("nan")) -> None:
    biases(engine)[part].data[0] = value


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("part", ["unet", "text", "vae encoder", "vae decoder"])
def test_a_story_stops_before_the_frame_is_shown(engine: Engine, part: str, value: float) -> None:
    spoil(engine, part, value)
    with pytest.raises(ValueError, match=SAID):
        next(engine.stream(STORY, **SHORT))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_so_it_does_where_the_draft_is_not_finite(engine: Engine, value: float) -> None:
    spoil(engine, "tokenizer", value)
    with pytest.raises(ValueError, match="frame 1: the tokenizer's decoder made numbers that are not finite"):
        next(engine.stream(STORY, correction=False, memory="none"))


def test_a_video_stops(engine: Engine) -> None:
    spoil(engine, "unet")
    with pytest.raises(ValueError, match=SAID):
        next(engine.stream_video("A fox runs.", num_frames=2, chunk_frames=2, **SHORT))


def test_one_of_many_stories_fails_and_the_others_go_on(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = Phases.vq_decode

    def decode(self: Phases, works: list) -> None:
        usual(self, works)
        for work in works:
            if work.request.seed == 1 and work.index == 1:
                work.draft = work.draft * float("nan")

    monkeypatch.setattr(Phases, "vq_decode", decode)
    results = list(engine.generate_many([STORY] * 3, **SHORT))
    failed = [result for result in results if isinstance(result, StoryFailed)]
    assert [result.request.seed for result in failed] == [1]
    assert "frame 2: the tokenizer's decoder made numbers that are not finite" in str(failed[0].error)
    assert sorted(r.seed for r in results if isinstance(r, StoryResult) and len(r.frames) == len(STORY)) == [0, 2]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_only_the_picture_that_overflowed_is_marked(dtype: torch.dtype) -> None:
    shown, latents = torch.zeros(4, 3, 8, 8, dtype=dtype), torch.ones(4, 4, 2, 2, dtype=dtype)
    decoded = torch.full((4, 3, 8, 8), 60000.0, dtype=dtype)
    latents[1, 0, 1, 1], decoded[3, 2, 7, 0] = float("inf"), float("nan")
    marked = mark_overflow(shown, latents, decoded)
    assert [bool(row.isfinite().all()) for row in marked] == [True, False, True, False]
    assert torch.equal(marked[0], shown[0])
    clips = mark_overflow(*(value.unflatten(0, (2, 2)) for value in (shown, latents, decoded)))
    assert [bool(row.isfinite().all()) for row in clips.flatten(0, 1)] == [True, False, True, False]


@pytest.mark.parametrize(
    ("dtype", "advice"),
    [(torch.float16, "choose --dtype float32"), (torch.bfloat16, "choose --dtype float32"),
     (torch.float32, "check its weights, choose a lower --guidance, or an exact --backend"),
     (torch.float64, "check its weights, choose a lower --guidance, or an exact --backend")],
)  # fmt: skip
def test_the_advice_fits_the_dtype(dtype: torch.dtype, advice: str) -> None:
    fine, bad = torch.zeros(3, 4, 4, dtype=dtype), torch.full((3, 4, 4), float("inf"), dtype=dtype)
    check_finite(0, fine, fine)
    with pytest.raises(ValueError, match=f"frame 8: the corrector .* in {str(dtype)[6:]}; {advice}"):
        check_finite(7, fine, bad)


def weights(bundle: Path) -> Iterator[Path]:
    yield from sorted(bundle.rglob("*.safetensors"))


def edit(path: Path, change: Callable[[Tensor], Tensor]) -> str:
    state = load_file(str(path))
    name = next(key for key, value in sorted(state.items()) if value.is_floating_point())
    state[name] = change(state[name])
    save_file(state, str(path))
    return name


@pytest.mark.parametrize("part", ["arm", "tokenizer", "unet", "vae", "text_encoder"])
def test_weights_that_are_not_finite_are_refused_by_name(bundle: Path, capsys, part: str) -> None:
    (path,) = [path for path in weights(bundle) if path.parent.name == part]
    name = edit(path, lambda value: value.index_fill(0, torch.tensor([0]), float("nan")))
    said = refuse(capsys, "story", *STORY, "--bundle", str(bundle), "--out", "o")
    assert f"{path}: key {name!r} is damaged (it holds NaN or infinity)" in said
    assert not Path("o").exists()


def test_weights_that_float16_cannot_hold_are_refused(bundle: Path, capsys) -> None:
    (path,) = [path for path in weights(bundle) if path.parent.name == "vae"]
    edit(path, lambda value: value * 1e9)
    asked = ("story", *STORY[:1], "--bundle", str(bundle), "--out", "o", "--steps", "2")
    assert "does not fit into float16: choose --dtype float32" in refuse(capsys, *asked, "--dtype", "float16")


def test_the_command_line_says_it_in_one_line_and_keeps_what_was_drawn(bundle: Path, capsys) -> None:
    """Guidance so large that the latents overflow."""
    asked = ("story", *STORY, "--bundle", str(bundle), "--out", "o", "--steps", "10")
    said = refuse(capsys, *asked, "--guidance", "1e38")
    assert "frame 1: the corrector made numbers that are not finite in float32" in said
    assert not Path("o", "story.json").exists()
    Path("s.jsonl").write_text(json.dumps({"sentences": STORY}) + "\n")
    asked = ("generate", "--stories", "s.jsonl", "--bundle", str(bundle), "--out", "many", "--steps", "4")
    assert main([*asked, "--guidance", "1e38"]) == 1
    assert "not finite" in Path("many", "manifest.jsonl").read_text()


@pytest.mark.parametrize(
    "backend",
    [
        "eager",
        "vae_decoder=openvino",
        pytest.param("unet=openvino,vae_decoder=openvino", marks=pytest.mark.toolchain),
        pytest.param("correction=openvino", marks=pytest.mark.toolchain),
    ],
)
def test_a_backends_clamp_hides_nothing(tiny_path: Path, backend: str) -> None:
    """Guidance that overflows gives infinite latents; the clamp of a plan makes a number of NaN."""
    engine = Engine.from_pretrained(tiny_path, backend=backend)
    with pytest.raises(ValueError, match=SAID):
        next(engine.stream(STORY, **SHORT, guidance_scale=1e38))
    if backend != "correction=openvino":  # which has another plan for each guidance
        assert next(engine.stream(STORY, **SHORT)).image.any()
