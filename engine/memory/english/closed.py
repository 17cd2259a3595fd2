"""The closed word classes of English: few words each, none is ever added, and together they show where phrases end."""

from __future__ import annotations

from .kinds import word_set

ARTICLES = word_set("a an the")
OWNERS = word_set("my your his her its our their")  # possessive determiners
DETERMINERS = (
    ARTICLES
    | OWNERS
    | word_set(
        """
    this that these those some any each every another no both all either neither one
    """
    )
)
NUMBERS = word_set(
    """
    two three four five six seven eight nine ten eleven twelve several many few dozen hundred thousand
    """
)
SUBJECT_PRONOUNS = word_set("he she it they we i you")
PRONOUNS = SUBJECT_PRONOUNS | word_set(
    """
    him them me us himself herself itself themselves someone somebody something everyone everybody everything nobody
    nothing anyone anybody anything mine yours hers theirs ours myself yourself ourselves none
    """
)
BE = word_set("is was are were be been being am")
HAVE = word_set("has had have having")
MODALS = word_set("can could will would shall should may might must do does did cannot ca wo sha")
AUXILIARIES = BE | HAVE | MODALS
NEGATIONS = word_set("not never n't neither nor hardly without")
PREPOSITIONS = word_set(
    """
    in on at by near beside inside within under along amid outside through across into over around onto above beyond
    to below with from toward towards behind beneath against of underneath upon atop among amongst between for about
    past off down up out during despite except via aboard alongside throughout opposite round like without amidst
    astride until till
    """
)
# Prepositions of more than one word; the last one tells how the thing lies.
LONG_PREPOSITIONS: dict[tuple[str, ...], str] = {
    tuple(phrase.split()): meaning
    for phrase, meaning in {
        "in front of": "in front of", "on top of": "on top of", "next to": "next to", "close to": "close to",
        "out of": "from", "instead of": "instead of", "rather than": "instead of", "because of": "about",
        "far from": "away from", "away from": "away from", "inside of": "inside", "outside of": "outside",
        "up to": "to",
        "ahead of": "from", "together with": "with", "along with": "with", "on to": "onto", "in to": "into",
        "not far from": "near", "as well as": "with", "at the feet of": "with", "by the side of": "with",
        "in the company of": "with", "deep in": "in", "deep inside": "inside", "high in": "in", "high on": "on",
        "deep under": "under", "high above": "above", "high up in": "in", "high up on": "on", "deep down in": "in",
        "down in": "in", "up in": "in", "up on": "on", "down on": "on", "out in": "in", "out on": "on", "down by": "by",
        "down at": "at", "over by": "by", "up at": "at", "back in": "in", "somewhere in": "in", "down under": "under",
        "off to": "to", "back to": "to", "over to": "to", "out at": "at", "out into": "into", "down into": "into",
        "up into": "into", "out onto": "onto", "up onto": "onto", "down to": "to", "out to": "to", "out from": "from",
    }.items()
}  # fmt: skip
CONJUNCTIONS = word_set("and or but nor yet")
SUBORDINATORS = word_set(
    """
    as while when because if although though where since before after until till unless whenever wherever once so than
    whether
    """
)
RELATIVES = word_set("who which whom whose that")
QUESTIONS = word_set("what how why")
ADVERBS = word_set(
    """
    very too quite rather so really just still even ever again always often sometimes once twice soon then now later
    here there everywhere nowhere somewhere anywhere away back home together apart alone almost already also only
    perhaps maybe outside inside upstairs downstairs outdoors indoors overhead nearby below above ahead forward
    forwards backward backwards aside aloud today tonight tomorrow yesterday suddenly meanwhile afterwards instead
    else well fast hard high low far deep close right straight long late early underwater downhill uphill upwards
    downwards sideways overnight forever inland abroad ashore aboard yet much more most less least enough round around
    nearly otherwise however down up off over in out through along by about across past yes oh ah hello please halfway
    midair mid-air
    """
)
COUNTED = DETERMINERS | NUMBERS
ASKING = RELATIVES | QUESTIONS
JOINING = CONJUNCTIONS | SUBORDINATORS
PLAIN_ADVERBS = ADVERBS - PREPOSITIONS
GIVEN = ARTICLES | OWNERS
CLOSED = (
    DETERMINERS | NUMBERS | PRONOUNS | AUXILIARIES | NEGATIONS | PREPOSITIONS | CONJUNCTIONS | SUBORDINATORS
    | RELATIVES | QUESTIONS | ADVERBS
)  # fmt: skip
NEVER_NAMES = COUNTED | PREPOSITIONS | JOINING | PRONOUNS | AUXILIARIES
NO_ARTICLES = CLOSED - DETERMINERS
