"""A stage as a TorchScript trace, for compilers that read one: a fifth of the time that ``torch.export`` takes.

A trace holds the operators of one call, so a branch that depends on a number would be lost in it. Two checks on a call
with other numbers prevent that: the stage hands no number to Python, and the trace repeats the call bit by bit. Where
either fails there is no trace, and the caller exports the stage, which keeps such branches or refuses them.
"""

from __future__ import annotations

import warnings

import torch

from .proof import Proof


def trace(proof: Proof) -> torch.jit.ScriptModule | None:
    """The stage of ``proof``, or None where a trace would not be the stage. Runs the stage three times."""
    # Not zeros: a count of 0 ids has no last one.
    ones = tuple(torch.ones(given.shape, dtype=given.dtype, device=proof.spec.device) for given in proof.spec.inputs)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of every shape that Python looks at, and of torch.jit's age
        try:
            if proof.reads_numbers:
                return None
            traced: torch.jit.ScriptModule = torch.jit.trace(proof.run, ones, check_trace=False)
            return traced if proof.equals(traced) else None  # a first run is not optimised: it rounds as the stage does
        except Exception:  # whatever the stage raises where its shapes are a tracer's, or its inputs other numbers
            return None
