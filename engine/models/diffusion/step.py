"""One step of a sampler: a linear combination whose weights are known before anything is drawn.

All samplers keep latents in one scale, x = sqrt(a) x0 + sqrt(1 - a) eps with a = alpha-bar. Euler's samplers are
published for y = x / sqrt(a) and sigma = sqrt((1 - a) / a); their input scaling y / sqrt(sigma^2 + 1) is x again, so in
this scale their network input needs none, and whatever is done between two steps (the blend of inpainting) is one code.
A model that was trained with a scaled signal reads these latents times a factor of the timestep (``input_scales``).
"""

from typing import NamedTuple


class Update(NamedTuple):
    """Weights of the next latents: x' = clean x0 + noise eps + latents x + fresh n + before x0_before.

    x0 and eps follow from the prediction, n is noise drawn for this step, x0_before is the x0 of the previous step.
    Where the network says how much of n it takes, by v in [-1, 1], that lies between ``fresh`` (v = -1) and
    ``most_fresh`` (v = 1), evenly in the exponent.
    """

    clean: float
    noise: float = 0.0
    latents: float = 0.0
    fresh: float = 0.0
    before: float = 0.0
    most_fresh: float = 0.0


class Step(NamedTuple):
    """The timestep the network is asked at, alpha-bar before and after; without an ``update`` a step of DDIM. The
    network reads the latents times ``input_scale``."""

    timestep: float
    alpha: float
    alpha_next: float
    update: Update | None = None
    input_scale: float = 1.0
