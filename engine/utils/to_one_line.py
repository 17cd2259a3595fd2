"""A message of any origin as one line that a terminal can show."""


def one_line(message: str) -> str:
    """``message`` without line breaks; unprintable characters (a value quoted from the command line may hold lone
    surrogates and terminal escapes) as escapes."""
    line = " ".join(message.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in line)
