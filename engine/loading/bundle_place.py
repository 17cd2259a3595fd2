"""Places of bundles. No torch is needed, so that a mistyped name is refused before the wait for its import."""

from pathlib import Path

EMBEDDED = Path(__file__).parents[1] / "bundles"
PUBLISHED = EMBEDDED / "published"


def embedded_names() -> list[str]:
    """The bundles that the package ships."""
    return sorted(path.parent.name for path in EMBEDDED.glob("*/bundle.json"))


def published_names() -> list[str]:
    """The bundles of published checkpoints, which the user has."""
    return sorted(path.stem for path in PUBLISHED.glob("*.json"))


def is_published(file: Path) -> bool:
    """Is this the file of a bundle of published checkpoints?"""
    return file.parent == PUBLISHED


def find_place(bundle: str | Path) -> Path:
    """The file or directory of the bundle of that name, or in that directory; ``ValueError`` names the choices."""
    names = (*embedded_names(), *published_names())
    for path in (EMBEDDED / str(bundle), PUBLISHED / f"{bundle}.json"):
        if str(bundle) in names and path.exists():
            return path
    if not Path(bundle).is_dir():
        raise ValueError(f"unknown bundle {str(bundle)!r}; choose {', '.join(names)} or a bundle's directory")
    return Path(bundle)
