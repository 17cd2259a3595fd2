"""Every kernel compiled for GPUs that are not here: ``python -m acdc.bench.kernel_builds --out FILE.json``.

For compute capability 8.0 (A100), 9.0 (H100, H200) and 12.0 (RTX 50). A multiprocessor has 65,536 registers of 32 bits;
what does not fit into a program's share is spilled to memory, which costs more than any kernel here gains. Nothing is
run.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import click

from .. import kernels
from ..engine.utils.atomic import write_json
from ..engine.utils.versions import versions
from .numbers import numbers

HOPPER = 90
CAPABILITIES, WARP = (80, HOPPER, 120), 32
SHARED_KIB = {80: 163, 90: 227, 120: 99}  # that a program may have
TENSOR_CORES = ("wgmma.mma_async", "mma.sync")  # instructions in PTX
USAGE = re.compile(r"REG:(\d+) STACK:(\d+) .*?LOCAL:(\d+)")


def builds() -> Iterator[tuple[str, Any]]:
    """(module, build) of everything that a module of ``kernels`` wants looked at."""
    for found in pkgutil.iter_modules(kernels.__path__):
        module = importlib.import_module(f"{kernels.__name__}.{found.name}")
        for build in getattr(module, "BUILDS", ()):
            yield found.name, build


def resources(build: Any, capability: int) -> dict[str, Any]:
    """Registers and bytes of stack a thread (spills lie there), bytes of shared memory a program, and the tensor
    cores' instruction, if there is one."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    signature = {**build.signature, **dict.fromkeys(build.constants, "constexpr")}
    ordered = {name: signature[name] for name in build.kernel.made.arg_names}
    # As a launch finds most of them at these sizes: addresses and strides are multiples of 16.
    aligned = {(at,): [["tt.divisibility", 16]] for at, kind in enumerate(ordered.values()) if kind[0] in "*i"}
    source = ASTSource(fn=build.kernel.made, signature=ordered, constexprs=dict(build.constants), attrs=aligned)
    options = {"num_warps": build.num_warps, "num_stages": build.num_stages, "enable_fp_fusion": build.fp_fusion}
    compiled = triton.compile(source, target=GPUTarget("cuda", capability, WARP), options=options)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
        said = subprocess.run([tool, "--dump-resource-usage", file.name], capture_output=True, text=True, check=True)
    usage = USAGE.search(said.stdout)
    assert usage is not None, said.stdout
    registers, stack, local = map(int, usage.groups())
    return {
        "registers": registers,
        "stack_bytes": stack + local,
        "shared_bytes": compiled.metadata.shared,
        "tensor_cores": next((name for name in TENSOR_CORES if name in compiled.asm["ptx"]), None),
    }


def described(build: Any) -> str:
    """Types and constants in one line."""
    types = " ".join(dict.fromkeys(kind for kind in build.signature.values() if kind.startswith("*")))
    return " ".join([types, *(f"{name}={value}" for name, value in build.constants.items())])


@click.command()
@click.option("--capabilities", default=",".join(map(str, CAPABILITIES)), show_default=True, callback=numbers)
@click.option("--few", is_flag=True, help="Compile one build a kernel in addition to those for 9.0.")
@click.option("--out", type=click.Path(path_type=Path), help="A JSON file.")
def main(capabilities: list[int], few: bool, out: Path | None) -> None:
    """Compile, and list what each kernel takes."""
    if os.environ.get("TRITON_INTERPRET") == "1":
        raise click.ClickException("TRITON_INTERPRET=1 interprets kernels; unset it to compile them")
    rows: list[dict[str, Any]] = []
    for (name, build), capability in product(builds(), capabilities):
        done = any((row["kernel"], row["capability"]) == (name, capability) for row in rows)
        if capability < build.since or (few and done and capability != HOPPER):
            continue
        what = {"kernel": name, "build": described(build), "num_warps": build.num_warps, "capability": capability}
        found = what | resources(build, capability)
        rows.append(found)
        click.echo(
            f"{name:20} {capability:3} {found['registers']:3} registers, {found['stack_bytes']:4} bytes spilled, "
            f"{found['shared_bytes']:6} shared  {found['tensor_cores'] or '-':15} {found['build']}"
        )
        if out is not None:
            write_json(out, {"versions": versions(), "triton": version("triton"), "rows": rows})


if __name__ == "__main__":
    main()
