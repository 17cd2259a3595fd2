"""Installed distributions."""

from importlib.metadata import PackageNotFoundError, version


def installed(distribution: str) -> str | None:
    """The installed version of a distribution, or None."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
