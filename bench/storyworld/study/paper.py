"""Labels that a judge may accept for the paper's seven stories (``acdc.engine.examples``), with the reason."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PaperLabel:
    """Species and the settings of the storyworld that do justice to the text."""

    animal: str
    settings: tuple[str, ...]
    time: str
    reason: str


PAPER_LABELS: dict[str, PaperLabel] = {
    "max": PaperLabel("corgi", ("park",), "day", "sentence 1 says a sunny park and nothing moves the story"),
    "thumper": PaperLabel("rabbit", ("meadow",), "day", "a quiet meadow; the last sentence's field is the same place"),
    "benny": PaperLabel("beagle", ("garden",), "day", "a vibrant garden under a clear blue sky"),
    "oliver": PaperLabel("owl", ("meadow", "forest"), "night", "an oak tree above a moonlit meadow"),
    "luna": PaperLabel("fox", ("forest",), "night", "the edge of a moonlit forest; later underbrush and trees"),
    "baxter": PaperLabel("golden retriever", ("meadow",), "day", "the edge of a sunlit meadow"),
    "ruby": PaperLabel("rabbit", ("meadow",), "day", "a vibrant meadow; the stream of sentence 5 lies within it"),
}
