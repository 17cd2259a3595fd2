"""Adjectives: those one can see on a hero, and the signs of any adjective."""

from __future__ import annotations

import re

from .kinds import word_set
from .looks import COLOURS, VISIBLE
from .nouns import is_kind

PLAIN = word_set(
    """
    happy sad curious playful brave friendly clever cheerful gentle shy lively adventurous wise small little big large
    bold merry dreamy spirited kindly kind good bad nice pretty beautiful handsome ugly clumsy lazy busy hungry
    thirsty tired sleepy angry proud lonely lost lucky poor rich quick slow fast loud quiet silent calm still wild
    tame free safe strong weak warm cold cool hot wet dry dark light bright dim pale deep shallow high low long short
    wide narrow broad flat steep round square open closed empty full clean dirty fresh new ancient modern early late
    soft hard smooth rough sharp sweet sour bitter near far local great grand huge mighty vast fine noble royal secret
    strange odd rare common ordinary usual special favourite favorite dear real true false whole half double single
    alone asleep awake afraid alive ready eager keen glad content careful careless humble modest mean cruel fierce
    savage tough rugged smart witty silly funny crazy mad daft dumb stupid foolish nervous anxious worried bored
    excited surprised startled amazed delighted pleased satisfied determined relaxed contented frightened scared
    frozen broken abandoned deserted hidden hollow bare barren lush dense thick thin heavy solid loose tight distant
    remote lovely silvery leafy only elderly curly woolly wooly bubbly chilly hilly oily holy jolly smelly wobbly
    cuddly crumbly prickly scaly steely motherly fatherly brotherly lanky stray young old tiny giant serene tranquil
    placid hushed tangled crisp bustling charming rolling winding sleeping flowing shining sparkling glittering
    glowing blooming blossoming towering whispering shimmering scorching crackling crumbling babbling roaring rushing
    sprawling gleaming twinkling flickering swaying floating cosy cozy snug neat tidy main central upper lower inner
    outer left right north south east west eastern western northern southern first second third last next final other
    same own several enormous colossal immense massive majestic magnificent splendid elegant graceful solitary sole
    tropical polar arctic rural urban public private vibrant fragrant radiant brilliant ardent best worst patient
    innocent intelligent violent recent absent magic magical mystic mysterious sacred haunted enchanted crowded
    cluttered cramped windswept sunlit moonlit starlit candlelit overgrown stately sturdy shaggy sunny snowy rainy
    foggy misty windy stormy cloudy frosty icy dusty musty rusty mossy muddy sandy rocky stony grassy swampy marshy
    woody bushy thorny
    """
)
_NOUN_ENDINGS = re.compile(
    r".*(fish|atic|attic|arctic|music|magic|comic|clinic|picnic|fabric|cheese|geese|motive|olive|hive"
    r"|dive|drive|five|native|table|bible|cable|stable|vegetable|cable|glacier|pier|soldier|carrier|courier|dish|wish|brush"
    r"|rubbish|radish|animal|hospital|canal|forest|harvest|priest|tempest|guest|chest|nest|quest|interest)$"
)
_ENDINGS = re.compile(r".{2,}(ful|less|ous|ish|ible|able|ical|ial|ic|ive|ese|esque|like|some|proof|most|ier|iest|est)$")
_NOUN_Y = word_set(
    """
    berry cherry country city valley baby lady puppy kitty bunny pony donkey monkey turkey fairy body boy day way sky
    bay ray tray toy joy key chimney jersey gypsy fly butterfly dragonfly firefly ferry prairie dairy library bakery
    belly lily daisy ivy pansy poppy canary alley abbey galaxy estuary quay jay castaway highway railway runway subway
    doorway hallway pathway archway walkway gateway driveway motorway waterway party story history memory family enemy
    army navy cavalry colony company century county balcony laboratory observatory nursery brewery winery gallery
    factory study lobby pantry laundry cemetery monastery granary aviary sanctuary territory jewellery pottery nanny
    granny mummy daddy tummy jelly honey money curry pastry gravy candy brandy sherry whisky lorry trolley buggy caddy
    husky wallaby guppy harpy mercy beauty duty society university academy economy buddy teddy bully ruby topaz copy
    display decay delay play clay hay spray stray tabby piggy doggy froggy birdy kiddy jockey spy ally secretary
    dignitary missionary parsley barley rally bogey hockey journey essay sunday monday tuesday wednesday thursday
    friday saturday january february july may holiday birthday yesterday today anybody nobody somebody everybody
    landlady gully hoy buoy convoy envoy cowboy jetty levy ivory quarry canopy fishery nunnery rookery shrubbery
    scullery cutlery artillery battery surgery dolly holly molly strawberry blueberry raspberry blackberry elderberry
    hickory savory chicory dory tory glory sentry entry
    """
)


def is_adjective(low: str) -> bool:
    """True if a word that is not of a closed class is more likely an adjective than a noun.

    "brave", "thorny", "jet-black", "one-eyed" and "joyful" are; "berry" and "fox" are not.
    """
    if low in PLAIN or is_visible(low):
        return True
    if "-" in low:
        last = low.rsplit("-", 1)[1]
        return last in PLAIN or last.endswith(("ed", "ing")) or last in {"old", "like", "free"}
    if _NOUN_ENDINGS.match(low) or is_kind(low):
        return False
    return bool(_ENDINGS.match(low)) or (low.endswith("y") and len(low) > 4 and low not in _NOUN_Y)


def is_colour(low: str) -> bool:
    """ "red", "jet-black", "brown-and-white"."""
    return low in COLOURS or ("-" in low and bool(set(low.split("-")) & COLOURS))


def is_visible(low: str) -> bool:
    """True if one can see it on a hero and it lasts: a colour, a pattern, a build, an age."""
    return low in VISIBLE or is_colour(low) or low.endswith(("-eyed", "-haired", "-legged", "-eared", "-tailed"))
