"""The connection to a Ray cluster, or the start of one on this machine."""

from __future__ import annotations

import logging
import os
from typing import Any

MISSING = "--ray needs Ray; install it with: pip install 'acdc-engine[ray]'"
OBJECT_STORE = 200 << 20  # bytes of a cluster that is started here: it holds a few frames at a time
LOCAL = "local"  # Ray's address of a new cluster on this machine


def import_ray() -> Any:
    """The package ``ray``; ``ValueError`` where it is not installed."""
    try:
        import ray
    except ImportError:
        raise ValueError(MISSING) from None
    return ray


def connect(ray: Any, address: str) -> str:
    """Connect to the cluster at ``address`` (empty: at ``$RAY_ADDRESS``, else a new one here) and return its address;
    ``ValueError`` where none answers."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    known = address or os.environ.get("RAY_ADDRESS", "") or LOCAL
    own: dict[str, Any] = {"include_dashboard": False, "object_store_memory": OBJECT_STORE}
    try:
        ray.init(known, logging_level=logging.WARNING, **(own if known == LOCAL else {}))
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise ValueError(f"no Ray cluster answers at {known!r}: {error}") from None
    return known
