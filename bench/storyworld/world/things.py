"""Words for a thing in view: its noun phrases, and how it is tied to an action."""

PROP_WORDS: dict[str, tuple[str, ...]] = {
    "ball": ("a ball", "a ball", "a round ball", "a bouncy ball", "the ball", "a toy ball"),
    "butterfly": ("a butterfly", "a butterfly", "a fluttering butterfly", "the butterfly", "a fluttering moth"),
    "kite": ("a kite", "a kite", "a flying kite", "the kite", "a kite on a string"),
    "balloon": ("a balloon", "a balloon", "a floating balloon", "the balloon", "a balloon on a string"),
    "apple": ("an apple", "an apple", "a shiny apple", "the apple", "a juicy apple"),
    "basket": ("a basket", "a basket", "a picnic basket", "the basket", "a wicker basket"),
    "flower": ("a flower", "a flower", "a tall flower", "the flower", "a big blossom"),
    "log": ("a log", "a log", "a fallen log", "the log", "an old log"),
}
FLYING = frozenset({"butterfly", "kite", "balloon"})

# Ties after a verb phrase; they begin with their own space or comma.
BESIDE = {
    "train": (" beside {prop}", " near {prop}", " next to {prop}", " close to {prop}", " by {prop}", ", {prop} nearby"),
    "heldout": (" right next to {prop}", " not far from {prop}", ", with {prop} close by"),
}
ABOVE = {
    "train": (" as {prop} drifted by", " under {prop}", ", watching {prop}", " near {prop}", " while {prop} passed",
              ", {prop} floating nearby"),
    "heldout": (" as {prop} passed overhead", " with {prop} in the air", ", {prop} just above"),
}  # fmt: skip

# Whole verb phrases about the thing.
DIRECT: dict[str, dict[str, tuple[str, ...]]] = {
    "train": {
        "run": ("raced past {prop}", "dashed toward {prop}", "darted toward {prop}", "ran around {prop}"),
        "chase": ("ran after {prop}", "chased {prop}", "chased after {prop}", "dashed after {prop}"),
        "jump": ("jumped over {prop}", "leaped over {prop}", "hopped over {prop}"),
        "jump up": ("jumped up to catch {prop}", "leaped at {prop}", "jumped toward {prop}",
                    "jumped up, trying to catch {prop}"),
        "sniff": ("sniffed {prop}", "sniffed at {prop}", "nosed at {prop}", "investigated {prop}", "nudged {prop}"),
        "look up": ("looked up at {prop}", "gazed at {prop}", "watched {prop}", "stared at {prop} in wonder",
                    "looked at {prop}, captivated", "stopped, captivated by {prop}"),
        "bark": ("{cry} at {prop}", "{cry} loudly at {prop}", "{cry}, watching {prop}"),
        "sit": ("sat down beside {prop}", "waited by {prop}", "sat and guarded {prop}"),
        "sleep": ("fell asleep next to {prop}", "took a nap by {prop}", "slept near {prop}"),
        "spin": ("spun around {prop}", "twirled around {prop}", "spun in circles near {prop}"),
    },
    "heldout": {
        "run": ("went running up to {prop}", "made a dash for {prop}"),
        "chase": ("went running after {prop}", "gave chase to {prop}"),
        "jump": ("made a leap over {prop}", "cleared {prop} with one jump"),
        "jump up": ("made a jump for {prop}",),
        "sniff": ("had a good sniff at {prop}", "took a sniff of {prop}"),
        "look up": ("kept gazing at {prop}", "could only stare at {prop}"),
        "bark": ("turned to {prop} and {cry}",),
        "sit": ("kept {prop} company, sitting still",),
        "sleep": ("dozed off right beside {prop}",),
        "spin": ("made a twirl beside {prop}",),
    },
}  # fmt: skip
