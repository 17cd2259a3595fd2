"""Strengths that run a number of steps, as a user types them."""

from math import ceil


def least_strength(run: int, steps: int) -> str:
    """The smallest strength of two decimals, such as "0.34", of which int(``steps`` * strength) is ``run`` or more.

    diffusers truncates in floating point, so that 1 / 3 with six decimals runs no step of 3. More decimals are used
    where two do not tell the steps of a long grid apart.
    """
    for digits in range(2, 9):
        unit = 10**digits
        found = ceil(run * unit / steps)
        found += int(steps * (found / unit)) < run  # rounded down: 0.58 * 50 is 28.999...
        if int(steps * (found / unit)) == run:
            return f"{found / unit:g}"
    return "1"
