"""LWM's published ``params`` become our tensors: exactly, once, in a bounded memory; another tree is refused."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgpack
import pytest
import torch
from torch import Tensor

from acdc.engine.loading.lwm_params import check_params, converted_params, published_shapes
from acdc.engine.loading.shards import INDEX, load_shards
from acdc.engine.models.lwm.model import LWM
from acdc.engine.models.lwm.published import SIZES as FULL
from acdc.engine.utils.weights import skeleton
from tests.helpers.lwm_files import DECODER, params_shapes, random_tensors, write_params
from tests.helpers.lwm_restated import transformer
from tests.helpers.small_lwm import LN_F, SHAPES, SIZES, W2, WQ, refusal, written


@pytest.fixture
def params(tmp_path: Path) -> Path:
    return written(tmp_path / "params")


def load(path: Path, dtype: torch.dtype) -> LWM:
    with skeleton():
        model = LWM(SIZES)
    load_shards(model, converted_params(path, SIZES), "cpu", dtype)
    return model.to("cpu", dtype)


def test_full_size_has_lwms_parameter_count_and_names() -> None:
    with skeleton():
        model = LWM(FULL)
    assert sum(p.numel() for p in model.parameters()) == 6_807_621_632
    assert published_shapes(FULL) == params_shapes(32, 4096, 11008, 32000, 8448)
    assert sum(map(math.prod, published_shapes(FULL).values())) == 6_807_621_632


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("chunk_bytes", [1 << 30, 4000])  # 4000: pieces end within rows and within layers
def test_every_value_is_the_written_one(tmp_path: Path, dtype: torch.dtype, chunk_bytes: int) -> None:
    tensors = random_tensors(SHAPES, dtype)
    write_params(tmp_path / "params", tensors, chunk_bytes)
    state = load(tmp_path / "params", dtype).state_dict()
    assert state.pop("wte.weight").equal(tensors["transformer/wte/embedding"])
    assert state.pop("vte.weight").equal(tensors["transformer/vte/embedding"])
    assert state.pop("ln_f.weight").equal(tensors[LN_F])
    for head in ("lm_head", "vision_head"):
        assert state.pop(f"{head}.weight").equal(tensors[f"{head}/kernel"].T)
    for layer in range(3):
        for norm in ("attention_norm", "ffn_norm"):
            assert state.pop(f"blocks.{layer}.{norm}.weight").equal(tensors[f"{DECODER}/{norm}/kernel"][layer])
        for room, names in (("attention", ("wq", "wk", "wv", "wo")), ("feed_forward", ("w1", "w2", "w3"))):
            for name in names:
                wanted = tensors[f"{DECODER}/{room}/{name}/kernel"][layer].T
                assert state.pop(f"blocks.{layer}.{room}.{name}.weight").equal(wanted)
    assert not state


def test_the_model_computes_what_the_published_tree_means(params: Path) -> None:
    """Against a restatement that shares nothing with the engine."""
    tree = random_tensors(SHAPES)
    write_params(params, tree)
    model = load(params, torch.float32)
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, 24, (2, 40), generator=generator)
    vision = torch.rand(2, 40, generator=generator) < 0.6
    hidden = model(ids, vision)
    for row in range(2):
        wanted = transformer(tree, ids[row].tolist(), vision[row].tolist(), heads=4, theta=5e7, eps=1e-6)
        torch.testing.assert_close(hidden[row], wanted, rtol=0, atol=1e-5)
        for head, got in (("vision_head", model.vision_logits), ("lm_head", model.text_logits)):
            torch.testing.assert_close(got(hidden[row]), wanted @ tree[f"{head}/kernel"], rtol=0, atol=1e-5)


def test_it_is_converted_once_and_the_source_may_go(params: Path) -> None:
    folder = converted_params(params, SIZES)
    written = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert len(written) == 5 + 3 + 1  # large tables, layers, index
    assert converted_params(params, SIZES) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == written
    params.unlink()
    assert converted_params(params, SIZES) == folder


def test_another_file_of_that_name_is_converted_again(params: Path) -> None:
    first = converted_params(params, SIZES)
    changed = random_tensors(SHAPES, torch.bfloat16)
    changed[LN_F][0] = 7.0
    write_params(params, changed, chunk_bytes=4000)
    second = converted_params(params, SIZES)
    assert second != first
    assert load(params, torch.float32).ln_f.weight[0] == 7
    params.unlink()
    with pytest.raises(ValueError, match="params: no such file, and 2 conversions: params-"):
        converted_params(params, SIZES)


def test_another_folder_may_be_given(params: Path, tmp_path: Path) -> None:
    assert converted_params(params, SIZES, tmp_path / "else").parent == tmp_path / "else"
    assert not (tmp_path / "converted").exists()


def test_what_a_killed_run_left_is_not_believed(params: Path) -> None:
    part = params.parent / "converted" / ".params.part"
    part.mkdir(parents=True)
    (part / INDEX).write_text("{}")
    assert (converted_params(params, SIZES) / "model-00001-of-00008.safetensors").is_file()
    assert not part.exists()


def test_a_place_that_cannot_be_written(params: Path) -> None:
    (params.parent / "converted").write_text("a file")
    with pytest.raises(ValueError, match=r"converted: .*params cannot be converted there \(File exists\)"):
        converted_params(params, SIZES)


def test_a_full_disk_is_refused_before_anything_is_written(params: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10}))
    assert "bytes there once converted, 10 are free" in refusal(params)


def test_neither_the_file_nor_its_conversion(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"params: no such file, and no conversion of it in .*converted"):
        converted_params(tmp_path / "params", SIZES)


Tensors = dict[str, Tensor]


def _mixed(tensors: Tensors) -> None:
    tensors[WQ] = tensors[WQ].float()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(LN_F), f"key '{LN_F}' is missing"),
        (lambda t: t.update(dte=torch.zeros(2)), "key 'dte' is unexpected"),
        (lambda t: t.update({LN_F: torch.zeros(31).bfloat16()}), f"key '{LN_F}' has shape [31], expected [32]"),
        (_mixed, f"key '{WQ}' is float32, the first tensor bfloat16; expected one dtype"),
    ],
)
def test_another_tree_is_refused_by_key(params: Path, change: Callable[[Tensors], object], message: str) -> None:
    tensors = random_tensors(SHAPES, torch.bfloat16)
    change(tensors)
    write_params(params, tensors)
    assert refusal(params) == f"{params}: {message}"


def test_the_layout_of_the_first_upload_is_refused_by_name(params: Path) -> None:
    """40.8 GB for 6.8 billion parameters are six bytes each; which ones is not known."""
    tensors = random_tensors(SHAPES)
    write_params(params, {**tensors, **{f"ema/{key}": value.bfloat16() for key, value in tensors.items()}})
    message = refusal(params)
    assert "bytes are 6.1 a parameter, as in the 40.8 GB file of the first upload; the published file has 2" in message


ONE = b"\x80\x3f"  # 1 in bfloat16, little-endian


def write_sparse(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """A file of the published size and layout, of which only the headers and each tensor's last value are written."""

    def hole(shape: list[int], last: bool) -> list[bytes | int]:
        nbytes = 2 * math.prod(shape)
        head = b"\x93" + msgpack.packb(shape) + msgpack.packb("bfloat16") + b"\xc6" + nbytes.to_bytes(4, "big")
        ext = b"\xc9" + (len(head) + nbytes).to_bytes(4, "big") + b"\x01" + head
        return [ext, nbytes - 2, ONE if last else bytes(2)]

    with path.open("wb") as file:
        for key, shape in shapes.items():
            left, parts = math.prod(shape), [(1 << 29)] * (math.prod(shape) >> 29)  # pieces of 2^30 bytes
            parts += [left % (1 << 29)] if left % (1 << 29) else []
            blob = hole(list(shape), True)
            if len(parts) > 1:
                sizes = {str(axis): size for axis, size in enumerate(shape)}
                blob = [b"\x83", *map(msgpack.packb, ("__msgpack_chunked_array__", True, "shape", sizes, "chunks"))]
                blob.append(bytes([0x80 + len(parts)]))
                for number, count in enumerate(parts):
                    blob += [msgpack.packb(str(number)), *hole([count], number == len(parts) - 1)]
            total = sum(part if isinstance(part, int) else len(part) for part in blob)
            file.write(b"\x92" + msgpack.packb(key.split("/")) + b"\xc6" + total.to_bytes(4, "big"))
            for part in blob:
                file.write(part) if isinstance(part, bytes) else file.seek(part, 1)


def test_a_file_of_the_published_size_is_understood(tmp_path: Path) -> None:
    """13.6 GB, 2^30 bytes in one piece for wq, three pieces for w2; next to nothing of them on disk."""
    path = tmp_path / "params"
    write_sparse(path, params_shapes(32, 4096, 11008, 32000, 8448))
    try:
        assert path.stat().st_size - 2 * 6_807_621_632 < 2000
        stored = check_params(path, FULL)
        assert [len(stored[key].extents) for key in (WQ, W2, LN_F)] == [1, 3, 1]
        with path.open("rb") as file:
            last = stored[W2].read(file, 31)
            assert last.shape == (11008, 4096)
            assert last.count_nonzero() == 1
            assert last[-1, -1] == 1
            assert stored[LN_F].read(file)[-1] == 1
    finally:
        path.unlink()


MEASURE = """
import sys
from pathlib import Path
import msgpack
from acdc.engine.models.lwm.model import LWMConfig
from acdc.engine.loading.lwm_params import converted_params

def peak():  # ru_maxrss would count what this process's parent held
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024

warm, path = map(Path, sys.argv[1:])
converted_params(warm, LWMConfig(1, 8, 8, 2, 4, 4))
before = peak()
converted_params(path, LWMConfig(24, 512, 1376, 8, 64, 64))
ours = peak()
held = list(msgpack.Unpacker(path.open("rb"), max_buffer_size=1 << 31))
print(ours - before, peak() - before)
"""


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's record of a process's peak memory")
def test_peak_memory_is_bounded_by_the_largest_tensor_not_the_file(tmp_path: Path) -> None:
    """A stream of 152 MB, the largest tensor of which has 34 MB, in a process of its own."""
    shapes = params_shapes(24, 512, 1376, 64, 64)
    write_params(tmp_path / "params", {k: torch.ones(s).bfloat16() for k, s in shapes.items()}, chunk_bytes=1 << 23)
    small = random_tensors(params_shapes(1, 8, 8, 4, 4), torch.bfloat16)
    (tmp_path / "warm").mkdir()
    write_params(tmp_path / "warm" / "params", small)
    largest = max(map(math.prod, shapes.values())) * 2

    command = [sys.executable, "-c", MEASURE, str(tmp_path / "warm" / "params"), str(tmp_path / "params")]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    ours, all_at_once = map(int, result.stdout.split())
    assert ours < largest
    assert all_at_once > 4 * largest
