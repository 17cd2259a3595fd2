"""Sentence templates, openers and clauses without visual meaning; the two splits share none of them."""

Splits = dict[str, tuple[str, ...]]

# Slots: {N} name, {a} species, {aa} "a fox", {adj} {an_adj} character or coat, {v} verb phrase, {place}, {Place},
# {detail} (may be empty, brings its own comma or space), {o} the thing in view, brings its own space.
FIRST: Splits = {
    "train": (
        "{N} the {a} {v} {place}{detail}{o}.",
        "{N} the {a} {v} {place}{detail}{o}.",
        "{N}, the {a}, {v} {place}{detail}{o}.",
        "{N}, the {adj} {a}, {v} {place}{detail}{o}.",
        "{N} the {adj} {a} {v} {place}{detail}{o}.",
        "{N}, {an_adj} {a}, {v} {place}{detail}{o}.",
        "{Aa} named {N} {v} {place}{detail}{o}.",
        "{An_adj} {a} called {N} {v} {place}{detail}{o}.",
        "{Place}, {N} the {a} {v}{o}.",
        "{Place}, {aa} named {N} {v}{o}.",
        "Once there was {aa} named {N}, who {v} {place}{detail}{o}.",
    ),
    "heldout": (
        "Little {N} the {a} {v} {place}{detail}{o}.",
        "Our friend {N}, the {adj} {a}, {v} {place}{detail}{o}.",
        "This is {N} the {a}, who {v} {place}{detail}{o}.",
        "{Place}, {an_adj} {a} by the name of {N} {v}{o}.",
        "One fine story begins with {N} the {a}, who {v} {place}{detail}{o}.",
        "{N}, who was {an_adj} {a}, {v} {place}{detail}{o}.",
    ),
}
UNNAMED: Splits = {
    "train": ("{Aa} {v} {place}{detail}{o}.", "The {adj} {a} {v} {place}{detail}{o}.", "{An_adj} {a} {v} {place}{o}."),
    "heldout": ("There {aa} {v} {place}{detail}{o}.", "One {adj} {a} {v} {place}{detail}{o}."),
}
OWL_FIRST: Splits = {
    "train": (
        "{N} the {a} perched on an old oak tree, the {light} falling over {the_place} below.",
        "{N}, the {adj} {a}, perched on a high branch above {the_place}.",
        "{N} the {a} sat high in a tree, with {the_place} spread out below.",
    ),
    "heldout": ("From a tall tree, {N} the {a} sat and watched over {the_place} below.",),
}

# {S} / {s} the subject, {V} a verb phrase with its thing in view.
LATER: Splits = {
    "train": (
        "{S} {v}{o}.",
        "{S} {v}{o}.",
        "{S} {v}{o}, {clause}.",
        "{S} {v}{o}, {clause}.",
        "{opener} {s} {v}{o}.",
        "{opener} {s} {v}{o}, {clause}.",
        "{start} {s} {v}{o}.",
        "{whole}{o}.",
        "{whole}{o}, {clause}.",
    ),
    "heldout": (
        "{clause_first}, {s} {v}{o}.",
        "{S} {v}{o}: {remark}.",
        "{opener} {s} {v} once more{o}.",
        "{opener} {s} {v}{o}, and {remark}.",
        "No one knew why, but {s} {v}{o}.",
        "{start} {s} then {v}{o}.",
        "Right there {s} {v}{o}.",
        "{S} happily {v}{o}, {clause}.",
        "{opener} {s} {v}{o} ({clause}).",
        "Who would have thought that {s} {v}{o}?",
        "{opener} {whole}{o}.",
        "{whole}{o}, and {remark}.",
    ),
}
MOVES: Splits = {
    "train": (
        "Soon {s} reached {np} and {v}{o}.",
        "Later, {s} came to {np} and {v}{o}.",
        "Then {s} arrived at {np} and {v}{o}.",
        "After a long walk, {s} reached {np}, where {he} {v}{o}.",
        "{S} wandered off to {np} and {v}{o}.",
        "{S} left the {old} behind, reached {np} and {v}{o}.",
        "{Place_plain}, {s} {v}{o}.",
    ),
    "heldout": (
        "A while later {s} found {np} and {v}{o}.",
        "The path led {s_obj} to {np}, where {he} {v}{o}.",
        "Having reached {np}, {s} {v}{o}.",
    ),
}
OPENERS: Splits = {
    "train": (
        "Suddenly,", "Then", "Finally,", "After a while,", "Soon", "Next,", "Now", "A moment later,", "At last,",
        "Later,", "After that,", "Before long,", "In the end,", "Meanwhile,", "Once again,",
    ),
    "heldout": ("All at once,", "In no time,", "Just then,", "By and by,", "Quite soon,"),
}  # fmt: skip
STARTS: Splits = {
    "train": (
        "With a swift turn,", "With a wagging tail,", "With a happy heart,", "With great care,", "Full of energy,",
        "Without a sound,", "In a playful mood,", "With a flick of {his} tail,", "With a playful bounce,",
        "Feeling brave,", "With {his} eyes shining,", "Filled with curiosity,",
    ),
    "heldout": ("With a grin,", "Brimming with joy,", "With a wink,", "Rather proud of {himself},"),
}  # fmt: skip
CLAUSES: Splits = {
    "train": (
        "tail wagging with excitement", "as if nothing else mattered", "with a contented sigh", "feeling very happy",
        "enjoying every moment", "full of excitement", "looking curious", "looking relaxed", "happy and carefree",
        "{his} eyes bright with joy", "without a care in the world", "{his} heart full of joy", "as the {light} shone",
        "determined not to give up", "{his} fur ruffled by the wind", "hoping for an adventure",
        "feeling the breeze", "with great delight", "while time stood still", "reveling in the beauty of it all",
        "{his} heart beating fast",
        "ready for anything", "just for fun", "{his} whiskers trembling", "taking in the world", "as happy as could be",
        "the soft {ground} giving way beneath {him}", "{his} {feet} barely making a sound", "ears twitching",
        "{his} eyes glinting in the {light}", "tongue out and happy", "the breeze in {his} face", "careful as ever",
        "sending a few leaves fluttering", "determined to have some fun", "eager to explore", "quick as the wind",
    ),
    "heldout": (
        "hoping to win the race", "pleased with the whole world", "as though it were a holiday",
        "a smile on {his} face", "without any hurry at all", "in the best of moods", "proud as a king",
    ),
}  # fmt: skip
CLAUSES_FIRST: Splits = {
    "train": (),
    "heldout": ("Happy with the day", "As curious as ever", "Thinking of nothing", "Glad to be here"),
}
REMARKS: Splits = {
    "train": (),
    "heldout": ("what a day it was", "life was good", "everything felt right", "it was a fine moment"),
}
TRAITS: Splits = {
    "train": (
        "little", "happy", "curious", "playful", "brave", "friendly", "clever", "cheerful", "gentle", "shy",
        "lively", "adventurous", "wise", "small",
    ),
    "heldout": ("bold", "merry", "dreamy", "spirited", "kindly"),
}  # fmt: skip
DAY_OPENERS = {
    "day": {"train": ("One morning,", "One sunny day,"), "heldout": ("One sunny afternoon,",)},
    "night": {"train": ("One night,", "Late one night,", "One moonlit night,"), "heldout": ("One starry night,",)},
}
