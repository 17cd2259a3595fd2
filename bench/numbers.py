"""Lists of whole numbers on a command line."""

import click


def numbers(_context: object, _parameter: object, text: str) -> list[int]:
    """A click callback: "1,4" as a list."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise click.BadParameter(f"{text!r}: give whole numbers separated by commas, such as 1,4") from None
