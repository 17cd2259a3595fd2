"""Nouns that decide what a phrase is: weather, time, manner, parts of a body, clothes, people by sex."""

from __future__ import annotations

from functools import lru_cache

from .kinds import KINDS, word_set

# Subjects of a sentence that are never its hero.
NATURE = word_set(
    """
    sun moon star stars sky cloud clouds rain snow fog mist wind breeze storm thunder lightning frost hail sleet
    sunlight moonlight starlight sunshine daylight light darkness dark night day morning evening afternoon dawn dusk
    noon midnight midday twilight sunset sunrise spring summer autumn winter fall weather air water wave waves tide
    leaf leaves petal petals snowflake snowflakes raindrop raindrops dust smoke shadow shadows silence music song
    sound noise smell scent voice laughter heat cold warmth ice sand grass flower flowers wildflowers tree trees
    branch branches road path street river stream lake pond sea ocean hill hills mountain mountains valley forest
    meadow field garden park beach desert village town city house castle window door gate wall fire flame flames lamp
    lamps lantern lanterns candle candles bell bells clock time year years hour hours minute minutes week month story
    tale name thing things place world life ground earth floor rainbow season holiday journey adventure honey
    """
)
DAYTIMES = word_set(
    """
    night midnight nightfall dawn daybreak dusk twilight sunset sunrise sundown morning noon midday afternoon evening
    nighttime
    """
)
SEASONS = word_set("spring summer autumn winter fall")
WEATHERS = word_set(
    """
    rain drizzle snow snowfall snowstorm blizzard storm thunderstorm fog mist downpour shower hail sleet gale
    sandstorm snowing raining drizzling
    """
)
TIMES = (
    DAYTIMES
    | SEASONS
    | word_set(
        """
    day days week weekend month year years hour hours minute minutes moment moments second while time times today
    monday tuesday wednesday thursday friday saturday sunday january february march april may june july august
    september october november december christmas halloween easter birthday holiday nights mornings evenings
    afternoons dinner lunch breakfast teatime bedtime lunchtime age ages century meantime
    """
    )
)
# "In a hurry", "with great care", "on its hind legs": how, not where.
MANNERS = word_set(
    """
    hurry silence peace fear surprise joy awe delight circle circles fact love mood way voice pain search need charge
    turn turns line row rows mind dream dreams thought thoughts speed pace ease rage wonder excitement relief despair
    care courage pride shame anger happiness sadness disbelief amazement horror panic trouble danger tracks step steps
    half run halt trot gallop leap bound nap dash ball spin jump sprint heap smile frown canter crouch curtsy bow blur
    pieces tears sleep unison vain haste motion place sight view distance rhythm tune dance game race chase whisper
    silhouette zigzag zig-zag pursuit return response reply reason front case hope order lead action flight bloom
    flower balance stillness harmony secret public private general particular
    """
)
BODY = word_set(
    """
    leg legs back belly stomach tummy side head neck foot feet paw paws hoof hooves tail tails wing wings ear ears eye
    eyes nose snout beak mouth lip lips tooth teeth tongue face cheek cheeks chin fur coat hair mane feather feathers
    claw claws arm arms hand hands finger fingers shoulder shoulders knee knees toe toes haunches flank chest whisker
    whiskers horn horns antler antlers shell scale scales spine spines spike spikes stripe stripes spot spots trunk
    tusk tusks fin fins gills skin beard moustache mustache freckles plumage muzzle hump humps patch patches markings
    bill crest dress pouch body heart mind breath
    """
)
LOOKS = BODY - word_set(
    """
    back side belly head foot feet mouth mind breath heart body arms arm hand hands bill trunk
    """
)
CARRIED = word_set(
    """
    umbrella parasol basket lantern torch sword shield spear stick staff cane wand broom bucket balloon guitar violin
    banjo fiddle drum trumpet flute axe hammer suitcase pipe fan flag
    """
)
CLOTHES = word_set(
    """
    hat cap bonnet helmet crown hood scarf shawl cape cloak coat raincoat jacket waistcoat vest shirt t-shirt blouse
    sweater jumper cardigan pullover hoodie dress gown skirt kilt apron overalls dungarees trousers pants jeans shorts
    pyjama pyjamas pajama pajamas robe suit tuxedo uniform costume armour armor tie bow-tie bowtie bow ribbon collar
    belt sash glove gloves mitten mittens boot boots wellies wellingtons shoe shoes sneakers trainers slippers sandals
    sock socks stockings glasses spectacles goggles monocle mask necklace bracelet earring earrings ring backpack
    rucksack satchel bag bandana beret beanie turban veil tunic toga poncho kimono sari wig swimsuit jersey bell leash
    tutu spacesuit mackintosh mac anorak
    """
)
MALE = word_set(
    """
    boy man king prince knight wizard uncle grandfather grandpa granddad father dad daddy papa brother son nephew
    husband gentleman lord duke monk priest waiter actor stallion bull ram rooster cock drake gander stag tomcat buck
    lad grandad boar emperor master fisherman postman policeman fireman milkman salesman mr sir mister sire merman
    snowman cowboy count baron groom hunter shepherd blacksmith sailor
    """
)
FEMALE = word_set(
    """
    girl woman queen princess witch aunt grandmother grandma granny nana mother mum mom mummy mommy mama sister
    daughter niece wife lady duchess nun priestess waitress actress mare cow ewe hen doe vixen lioness lass tigress
    empress mistress ballerina mrs miss ms mermaid shepherdess bride countess nurse sow
    """
)
RELATIONS = word_set(
    """
    friend friends owner owners mother father mum mom dad brother brothers sister sisters son sons daughter daughters
    cub cubs calf kittens puppies puppy kitten children child kids uncle aunt cousin cousins grandmother grandfather
    grandma grandpa granny wife husband master mistress neighbour neighbor neighbours neighbors parents companion
    companions teacher partner mate family pet rider keeper trainer rival enemy twin nephew niece baby babies
    """
)
_ALIVE = KINDS | RELATIONS | MALE | FEMALE
WORN = LOOKS | CLOTHES | CARRIED
PLURALS = {
    "wolves": "wolf", "mice": "mouse", "geese": "goose", "calves": "calf", "children": "child", "men": "man",
    "women": "woman", "oxen": "ox", "elves": "elf", "dwarves": "dwarf", "thieves": "thief", "foals": "foal",
    "people": "person", "fishermen": "fisherman", "snowmen": "snowman", "hooves": "hoof", "leaves": "leaf",
    "knives": "knife", "wives": "wife", "feet": "foot", "teeth": "tooth", "lice": "louse", "policemen": "policeman",
}  # fmt: skip
SAME_PLURAL = word_set("sheep deer fish moose salmon trout swine elk bison")


@lru_cache(maxsize=4096)
def singular(low: str) -> str:
    """ "foxes" -> "fox", "puppies" -> "puppy", "geese" -> "goose"; a word that is not a plural comes back as it is."""
    if low in PLURALS:
        return PLURALS[low]
    if low in KINDS or low in SAME_PLURAL or not low.endswith("s") or low.endswith(("ss", "us", "is")):
        return low
    if low.endswith("ies") and len(low) > 4:
        return low[:-3] + "y"
    if low.endswith(("xes", "ches", "shes", "sses", "zes")) or low[:-2] in KINDS:
        return low[:-2]
    return low[:-1]


def is_plural(low: str) -> bool:
    """True if the noun's form is a plural."""
    return singular(low) != low


def is_kind(low: str) -> bool:
    """True if the noun, in either number, is a listed animal or person."""
    return singular(low) in _ALIVE
