"""Pictures of a frame on its way: the draft, and what the correction takes the clean picture to be at some steps.

A user asks for a number of them, as clients of image services do, or for steps of the correction by their index.
"""

from __future__ import annotations

PartialImages = int | tuple[int, ...]


def check_partial_images(wanted: PartialImages) -> None:
    """``ValueError`` for what is neither a number nor indexes."""
    indexes = wanted if isinstance(wanted, tuple) else (wanted,)
    if not all(type(index) is int and index >= 0 for index in indexes):
        raise ValueError(f"partial_images {wanted!r} is invalid; choose a number from 0, or a tuple of steps from 0")


def estimated_steps(wanted: PartialImages, steps_run: int) -> tuple[int, ...]:
    """Steps of a correction of ``steps_run`` steps whose estimate x0 is wanted, ascending, from 0.

    A number k means the draft and k - 1 estimates, at j / k of the steps for j = 1 .. k - 1. The last step's estimate
    is left out: it is the frame. So is what a short correction has no step for. Worked example: 3 of 10 steps are the
    draft and steps 3 and 6.
    """
    steps = wanted if isinstance(wanted, tuple) else [-(-j * steps_run // wanted) - 1 for j in range(1, wanted)]
    return tuple(sorted({step for step in steps if step < steps_run - 1}))


def check_steps(wanted: PartialImages, steps_run: int) -> None:
    """``ValueError`` for an index that is not a step before the last one."""
    late = [step for step in wanted if step >= steps_run - 1] if isinstance(wanted, tuple) else []
    if late:
        choices = f"choose from 0 to {steps_run - 2}" if steps_run > 1 else "ask for a number instead"
        raise ValueError(
            f"step {late[0]} of partial_images has no estimate: the correction runs {steps_run} "
            f"step{'s' * (steps_run != 1)}, and the last one gives the frame; {choices}"
        )
