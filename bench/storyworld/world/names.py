"""Names of the heroes and their pronouns; the held-out names (the paper's seven among them) are never trained on."""

_TRAIN = {
    "he": "Rusty Bruno Charlie Finn Toby Jasper Milo Oscar Otto Percy Rocky Rufus Sammy Teddy Theo Walter Ziggy Barney"
    " Casper Dexter Felix George Hugo Jack Leo Louis Monty Nico Pip Quincy Ralph Simon",
    "she": "Bella Daisy Coco Hazel Ivy Lucy Maple Molly Nala Olive Penny Poppy Rosie Sadie Sasha Stella Willow Zoe"
    " Amber Bonnie Clara Dora Ella Flora Greta Honey Iris Juno Kiki Lola Mabel Nora",
}
_HELDOUT = {
    "he": "Max Benny Oliver Baxter Gus Archie Winston Harvey Boris Chester Diego Ernie Fergus Igor Kasper Murphy",
    "she": "Luna Ruby Thumper Cleo Tilda Freya Ginger Hattie Josie Lottie Mimi Opal Pearl Queenie Susie Wanda",
}
_PRONOUNS = {"he": ("he", "his", "him"), "she": ("she", "her", "her"), "it": ("it", "its", "it")}

NAMES: dict[str, tuple[tuple[str, str], ...]] = {
    split: tuple((name, pronoun) for pronoun, names in table.items() for name in names.split())
    for split, table in {"train": _TRAIN, "heldout": _HELDOUT}.items()
}


def pronouns(subject: str) -> tuple[str, str, str]:
    """Subject, possessive and object form: ``("she", "her", "her")``."""
    return _PRONOUNS[subject]
