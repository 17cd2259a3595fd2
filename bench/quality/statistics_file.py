"""A reference set's mean and covariance in a file, so that its pictures are needed once; and what made them."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

from ...engine.utils.atomic import write_bytes
from ...engine.utils.to_one_line import one_line
from .frechet import Moments

SUFFIX = ".npz"


@dataclass(frozen=True)
class Statistics:
    """``preprocessing`` and ``weights`` (SHA-256) of the network that gave the features; empty in files of other
    programs, as is ``moments.n``."""

    moments: Moments
    preprocessing: str = ""
    weights: str = ""


def read_statistics(path: Path) -> Statistics:
    """As :func:`write_statistics` and pytorch-fid write them. ``ValueError`` (one line) names what is wrong."""
    try:
        with np.load(path, allow_pickle=False) as found:
            mean, covariance = (np.asarray(found[name], dtype=np.float64) for name in ("mu", "sigma"))
            n = int(found["n"]) if "n" in found else None
            texts = [str(found[name]) if name in found else "" for name in ("preprocessing", "weights")]
    except FileNotFoundError:
        raise ValueError(f"reference {str(path)!r} does not exist") from None
    except KeyError as error:
        raise ValueError(f"{path}: key {one_line(str(error))} is missing; statistics have 'mu' and 'sigma'") from None
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{path}: not a file of statistics ({one_line(str(error))[:200]})") from None
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
        raise ValueError(f"{path}: 'mu' has shape {list(mean.shape)} and 'sigma' {list(covariance.shape)}")
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise ValueError(f"{path}: 'mu' or 'sigma' holds NaN or infinity")
    return Statistics(Moments(mean, covariance, n), *texts)


def write_statistics(path: Path, found: Statistics) -> None:
    """Replace ``path``; the folder must exist."""
    buffer = BytesIO()
    moments = found.moments
    np.savez(
        buffer,
        mu=moments.mean,
        sigma=moments.covariance,
        n=moments.n or 0,
        preprocessing=found.preprocessing,
        weights=found.weights,
    )
    write_bytes(path, buffer.getvalue())
