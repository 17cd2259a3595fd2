"""Adjectives that one can see on a hero."""

from __future__ import annotations

from .kinds import word_set

COLOURS = word_set(
    """
    black white brown grey gray red orange golden yellow cream tan blue green pink purple silver ginger chestnut
    charcoal gold violet turquoise crimson scarlet bronze copper ivory beige navy maroon lilac lavender teal amber
    auburn blond blonde russet sandy-coloured tawny rusty-red chocolate snow-white jet-black rainbow
    """
)
PATTERNS = word_set(
    """
    striped spotted tabby fluffy speckled dappled mottled piebald freckled shaggy furry woolly scruffy hairy curly
    bearded bald horned winged feathered scaly wrinkled wooden stone toy clockwork stuffed knitted ragged one-eyed
    """
)
# Adjectives one can see; they stay with the protagonist ("Felix the black cat"), others are dropped.
VISIBLE = COLOURS | PATTERNS | word_set("fat thin tiny giant old young baby huge enormous plump skinny tall pale dark")
