"""Words for a setting: its nouns, adjectives, prepositions, and what else is said about it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """Words of one setting. The nouns serve both splits, since what is never named cannot be learned."""

    noun: str
    others: tuple[str, ...]
    prepositions: tuple[str, ...]
    ground: tuple[str, ...]
    smell: tuple[str, ...]
    adjectives: dict[str, tuple[str, ...]]
    details: dict[str, tuple[str, ...]]


def _words(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split("|"))


def _place(
    noun: str, others: str, prepositions: str, ground: str, smell: str, adjectives: tuple[str, str],
    details: tuple[str, str],
) -> Place:  # fmt: skip
    return Place(
        noun, _words(others), _words(prepositions), _words(ground), _words(smell),
        {"train": _words(adjectives[0]), "heldout": _words(adjectives[1])},
        {"train": _words(details[0]), "heldout": _words(details[1])},
    )  # fmt: skip


PLACES: dict[str, Place] = {
    "garden": _place(
        "garden", "backyard|flower garden|yard|cottage garden", "in|in|in|inside|at the edge of|in the middle of",
        "grass|soft grass|soil|lawn", "roses|lavender|the flowerbeds|fresh herbs|blooming flowers",
        ("colorful|vibrant|blooming|lovely|little|quiet|cheerful|fragrant|lush|pretty", "tidy|blossoming|charming"),
        ("filled with blooming flowers|full of roses and buzzing bees|with a white fence|surrounded by colorful"
         " flowers|bursting with tulips and daisies|where bees hummed around the petals|with neat flowerbeds",
         "packed with flowers and bees|behind a white fence|where roses and tulips bloomed"),
    ),
    "meadow": _place(
        "meadow", "field|grassy field|pasture|flowery meadow", "in|in|across|at the edge of|in the middle of",
        "grass|tall grass|green grass|clover", "wildflowers|sweet clover|fresh grass|the summer breeze",
        ("green|wide|quiet|vibrant|tranquil|peaceful|grassy|gentle|breezy|open", "rolling|serene|emerald"),
        ("surrounded by wildflowers|dotted with wildflowers|with tall grass swaying|full of clover and daisies|with"
         " a gentle stream flowing nearby|wildflowers swaying in the breeze|with soft green hills in the distance",
         "sprinkled with tiny flowers|with a soft breeze over the grass|where wildflowers swayed"),
    ),
    "forest": _place(
        "forest", "woods|pine forest|woodland|wood", "in|in|in|deep in|at the edge of|in the middle of",
        "leaves|moss|forest floor|fallen leaves", "pine needles|mushrooms|damp leaves|wet moss|old bark",
        ("deep|quiet|green|shady|ancient|misty|dense|mossy|whispering|tall", "leafy|hushed|tangled"),
        ("full of tall trees|with towering pines|vibrant with glowing fireflies|where ferns covered the ground|with"
         " twisted old trees|between mossy trunks|filled with the rustle of leaves",
         "with trees as tall as towers|among ferns and pines|alive with rustling leaves"),
    ),
    "lake": _place(
        "lake", "pond|mountain lake|lakeside|lakeshore", "by|by|beside|near|at|at the edge of|on the shore of",
        "bank|grassy bank|pebbles|muddy bank", "water lilies|fish|the cool water|wet reeds",
        ("calm|blue|clear|still|shining|peaceful|glassy|cool|sparkling|wide", "mirror-like|placid|silvery"),
        ("with mountains in the distance|where small waves lapped|with clear water shimmering|surrounded by reeds"
         "|ringed by blue mountains|with ducks far out on the water|reflecting the hills",
         "below blue mountains|with ripples on the water|whose water shimmered softly"),
    ),
    "snow": _place(
        "snow", "snowy field|snowy forest|snowy valley|snowfield", "in|in|in|in the middle of",
        "snow|fresh snow|ice|cold snow", "the cold air|frost|winter pines|fresh snow",
        ("white|cold|fresh|deep|frosty|glittering|silent|soft|powdery|icy", "crisp|wintry|thick"),
        ("with snowflakes drifting down|among snow-covered pines|as flakes fell all around|with white hills in the"
         " distance|under frosted trees|where everything was white|glistening like sugar",
         "while snowflakes danced in the air|between white pines|with frost on every branch"),
    ),
    "park": _place(
        "park", "city park|town park|public park|playground", "in|in|in|at|in the middle of|at the edge of",
        "grass|path|lawn|short grass", "hot dogs|popcorn|the bushes|cut grass",
        ("busy|green|lovely|large|small|leafy|quiet|friendly|neat|bright", "bustling|spacious|well-kept"),
        ("with tall trees and children playing in the distance|surrounded by tall buildings|with benches and a"
         " fountain|near the tall houses of the city|where people strolled|with winding paths|full of picnic blankets",
         "between the city's buildings|with benches along the path|where children laughed far away"),
    ),
    "beach": _place(
        "beach", "shore|sandy shore|seashore|seaside", "on|on|on|at|along",
        "sand|warm sand|golden sand|wet sand", "salt and seaweed|the sea breeze|seashells|salty air",
        ("sandy|golden|wide|breezy|tropical|long|empty|quiet|windy|warm", "palm-fringed|shimmering|balmy"),
        ("with gentle waves rolling in|where palm trees swayed|with seashells scattered around|beside the blue sea"
         "|with foamy waves|as waves crashed nearby|next to the sparkling ocean",
         "with waves whispering nearby|under a leaning palm tree|where the surf foamed"),
    ),
    "desert": _place(
        "desert", "sand dunes|dunes|sandy desert|canyon", "in|in|in|in the middle of|at the edge of",
        "sand|hot sand|dusty ground|dry earth", "dry sage|dust|cactus blossoms|warm stone",
        ("dry|vast|hot|dusty|empty|endless|golden|wide|rocky|silent", "barren|scorching|sun-baked"),
        ("with tall cacti|dotted with cacti and rocks|where the dunes rolled on forever|with red rocks in the distance"
         "|full of prickly cacti|where dust swirled in the wind|with ripples in the sand",
         "between prickly cacti|where the wind drew lines in the sand|with dunes as far as one could see"),
    ),
}  # fmt: skip

TIME_ADJECTIVES = {
    "day": {"train": ("sunny", "sunlit", "bright"), "heldout": ("sunny", "sun-drenched")},
    "night": {"train": ("moonlit", "starlit", "moonlit"), "heldout": ("moonlit", "starlit")},
}
SKY_DETAILS = {
    "day": {
        "train": ("under a clear blue sky", "on a sunny day", "in the warm sunlight", "under fluffy white clouds",
                  "on a bright morning", "under the sun"),
        "heldout": ("beneath a bright blue sky", "on a warm sunny afternoon"),
    },
    "night": {
        "train": ("at night", "under a starry sky", "in the moonlight", "under the stars on a quiet night",
                  "late at night", "as the moonlight cast a silvery glow", "beneath the pale moon"),
        "heldout": ("on a starry night", "beneath the bright moon at night"),
    },
}  # fmt: skip
SKY = {
    "day": ("the sky", "the clouds", "the blue sky", "the sun", "the birds overhead", "the treetops"),
    "night": ("the stars", "the moon", "the night sky", "the starry sky", "the glowing moon"),
}
LIGHT = {"day": ("sun", "sunlight", "sunshine"), "night": ("moonlight", "starlight", "glow of the moon")}
