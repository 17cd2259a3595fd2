"""Number of tokens that one pass draws: decided by what was measured for the model, device, backend and batch.

A wide window takes fewer passes, each of which costs more; where arithmetic is the limit, narrow ones win. The table of
a bundle (``windows`` in the ARM's ``config.json``) reads

    {"cpu": {"eager": {"1": [16], "4": [8]}}}     eager on a CPU: 16 codes up to 3 stories, 8 from 4 stories on
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..options import Decoding

Table = Mapping[str, Mapping[str, Mapping[str, Sequence[int]]]]
SEQUENTIAL = (1,)
UNMEASURED = (16,)
PASSES_PER_SYNC = 4  # on an accelerator: reading counts back waits for it, and a pass after the last token is wasted


def choose_tokens_per_pass(
    decoding: Decoding, table: Table, device: str, backend: str, stories: int
) -> tuple[int, ...]:
    """Numbers of tokens that a pass may draw: "auto" is sequential where nothing was measured, "parallel" is not."""
    if decoding == "sequential":
        return SEQUENTIAL
    measured = table.get(device, {}).get(backend, {})
    rows = max((int(count) for count in measured if int(count) <= stories), default=None)
    if rows is None:
        return UNMEASURED if decoding == "parallel" else SEQUENTIAL
    found = tuple(measured[str(rows)])
    return UNMEASURED if decoding == "parallel" and found == SEQUENTIAL else found


def most_tokens_per_pass(decoding: Decoding, table: Table, device: str, backend: str) -> int:
    """The most tokens of one pass for any number of stories: room for them is made before the number is known."""
    counts = {1, *(int(count) for count in table.get(device, {}).get(backend, {}))}
    return max(max(choose_tokens_per_pass(decoding, table, device, backend, count)) for count in counts)


def choose_sync_every(device: str) -> int:
    """Number of passes to launch before the accepted counts are read back, which costs nothing on a CPU."""
    return 1 if device == "cpu" else PASSES_PER_SYNC


def check_windows(table: Table) -> None:
    """``ValueError`` unless the table has numbers of stories and of codes, all 1 or more."""
    for device, backends in table.items():
        for backend, rows in backends.items():
            for stories, windows in rows.items():
                if not (stories.isdecimal() and int(stories) > 0 and windows and min(windows) > 0):
                    said = f"{stories!r}: {windows!r}; expected stories: [codes, ...]"
                    raise ValueError(f"windows of {backend!r} on {device!r}: {said}")
