"""The measured tables as a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def floor(table: Mapping[str, Any], float32: bool) -> float:
    """Seconds below which the machine cannot compute the table's UNet passes: operations at the best measured rate of
    products, or weights at the best rate of reading, whichever is longer. For a correction the UNet passes alone."""
    rate = max(rates["float32_flops" if float32 else "bf16_flops"] for rates in table["rates"])
    bandwidth = max(rates["bandwidth"] for rates in table["rates"])
    cost = table["unet_pass"]
    passes = 1 if table["work"] == "pass" else table["steps"] // 2
    return float(passes * max(cost["flops"] / rate, (2 if float32 else 1) * cost["bytes"] / bandwidth))


def page(found: Mapping[str, Any]) -> str:
    """Markdown: a section a table."""
    return "\n".join(line for table in found["tables"] for line in section(table)) + "\n"


def section(table: Mapping[str, Any]) -> Iterator[str]:
    """Heading, floors, rows."""
    work = "one UNet pass, both branches of guidance"
    if table["work"] == "correction":
        work = f"correction, {table['steps'] // 2} of {table['steps']} steps"
    best = {key: max(rates[key] for rates in table["rates"]) for key in table["rates"][0]}
    yield f"## {table['size']} pixels: {work}"
    yield ""
    yield (
        f"{table['threads']} threads, {len(table['rates'])} turns, processes: {table['processes']}, {table['pages']} "
        f"pages. A UNet pass is "
        f"{table['unet_pass']['flops'] / 1e9:.0f} GFLOP; products reach {best['bf16_flops'] / 1e9:.0f} GFLOP/s in "
        f"bfloat16 and {best['float32_flops'] / 1e9:.0f} in float32, memory {best['bandwidth'] / 1e9:.1f} GB/s: floor "
        f"{floor(table, False):.3f} and {floor(table, True):.3f} s."
    )
    yield ""
    yield "| contender | s, median | min to max | times diffusers | floor / time | MiB (peak) | differs | busy |"
    yield "|---" * 8 + "|"
    medians = {row["name"]: row["median"] for row in table["rows"]}
    for row in table["rows"]:
        name, seconds = row["name"], row["median"]
        exact = name == "openvino" or name.endswith("float32")
        busy = sum(turn["others_cpu_seconds"] for turn in row["turns"]) / sum(turn["seconds"] for turn in row["turns"])
        peer = medians.get("diffusers-float32" if exact else "diffusers-bf16")
        times = f"{peer / seconds:.2f}" if peer else ""
        yield (
            f"| {name} | {seconds:.3f} | {row['min']:.3f} to {row['max']:.3f} | {times} "
            f"| {floor(table, exact) / seconds:.0%} | {row['mib']:.0f} ({row['peak_mib']:.0f}) "
            f"| {table['relative_difference'][name]:.1e} | {busy:.0%} |"
        )
    yield ""
    yield (
        "Times diffusers: in the same number type. Difference: of the result's norm, to float32 or else to the first "
        "row. Busy: cores taken by other processes."
    )
    yield ""
