"""Word lists of the rule-based memory: kinds of protagonists, places, and signs of the time of day."""


def word_set(text: str) -> frozenset[str]:
    """The words of ``text`` as a set."""
    return frozenset(text.split())


# Kinds of one word and of two; a kind outside these lists is still found in "NAME the KIND" (see subject.py).
KINDS = word_set(
    """
    beagle corgi dog puppy hound terrier poodle dachshund husky labrador retriever dalmatian bulldog collie pug
    spaniel sheepdog mastiff greyhound chihuahua shepherd mutt pup fox vixen wolf coyote jackal rabbit bunny hare
    owl owlet cat kitten kitty tabby tomcat tiger lion lioness leopard panther cheetah lynx puma jaguar bear cub
    panda koala raccoon badger otter beaver weasel ferret mink skunk squirrel chipmunk mouse rat hamster gerbil
    hedgehog porcupine mole bat deer fawn doe stag elk moose reindeer horse pony foal mare stallion donkey mule
    zebra giraffe elephant rhino rhinoceros hippo hippopotamus camel llama alpaca cow calf bull ox yak bison
    buffalo goat kid sheep lamb ram pig piglet boar monkey ape gorilla chimpanzee orangutan lemur sloth kangaroo
    wallaby wombat platypus possum opossum armadillo anteater meerkat mongoose hyena seal walrus dolphin whale
    shark octopus squid crab lobster turtle tortoise lizard gecko iguana chameleon snake cobra python crocodile
    alligator frog toad newt salamander bird sparrow robin crow raven magpie jay parrot macaw toucan pigeon dove
    eagle hawk falcon kite heron crane stork swan goose gosling duck duckling chicken hen rooster chick turkey
    peacock penguin puffin seagull gull pelican flamingo ostrich emu hummingbird woodpecker kingfisher
    dragon unicorn griffin phoenix dinosaur fairy elf dwarf gnome goblin troll giant mermaid ghost monster alien
    robot android snowman boy girl man woman child kid baby toddler teenager king queen prince princess knight
    wizard witch pirate sailor captain soldier farmer fisherman chef baker painter artist dancer singer musician
    teacher doctor nurse astronaut explorer hiker detective thief grandmother grandfather
    """
)
PAIR_KINDS = frozenset(
    {
        "golden retriever", "german shepherd", "border collie", "great dane", "polar bear", "grizzly bear",
        "red panda", "giant panda", "arctic fox", "barn owl", "snowy owl", "horned owl",
        "guinea pig", "sea lion", "sea turtle", "sea otter", "mountain lion", "mountain goat", "snow leopard",
    }
)  # fmt: skip

# Adjectives one can see; they stay with the protagonist ("Felix the black cat"), others are dropped.
VISIBLE = word_set(
    """
    black white brown grey gray red orange golden yellow cream tan blue green pink purple silver ginger chestnut
    charcoal gold striped
    spotted tabby fluffy fat thin tiny giant old young baby
    """
)

# Place noun -> its family. A place of the same family as the known setting does not replace it ("the field").
PLACE_FAMILIES: dict[str, str] = {
    noun: family
    for family, nouns in {
        "garden": "garden gardens backyard yard courtyard orchard greenhouse allotment patio",
        "meadow": "meadow meadows field fields pasture prairie grassland grasslands clearing glade hillside plain"
        " plains farm farmland hill",
        "forest": "forest forests wood woods woodland woodlands grove thicket jungle rainforest copse",
        "lake": "lake lakes pond lakeside lakeshore riverbank river lagoon reservoir marsh swamp wetland",
        "snow": "snow snowfield snowdrift snowdrifts tundra glacier ice snowbank wonderland",
        "park": "park parks playground plaza square",
        "beach": "beach beaches shore seashore seaside coast coastline shoreline sandbar cove bay",
        "desert": "desert deserts dunes dune badlands canyon oasis",
        "town": "town city village street streets road alley market harbor harbour port dock marketplace",
        "mountain": "mountain mountains mountaintop peak cliff valley ridge volcano",
        "sea": "sea ocean reef island",
        "home": "house home kitchen bedroom bathroom room hallway attic basement apartment cottage cabin barn stable"
        " castle palace tower tent garage porch balcony rooftop",
        "indoors": "school classroom library museum office hospital church temple theater theatre stage shop store"
        " cafe café restaurant bakery bar warehouse workshop factory studio laboratory lab station airport stadium"
        " gym zoo circus cave dungeon",
        "space": "space spaceship spacecraft",
    }.items()
    for noun in nouns.split()
}
COLD = frozenset({"snowy", "snow-covered", "wintry", "snowbound", "snow-dusted", "snow-capped"})

# "in" unless listed: how a place is said when the story's own preposition is one of movement.
ON_PLACES = word_set(
    "beach beaches shore seashore coast coastline shoreline sandbar hillside hill mountaintop plain plains prairie"
    " street streets road farm stage patio porch balcony rooftop island"
)
BY_PLACES = word_set("lake lakes pond lakeside lakeshore riverbank river lagoon reservoir sea ocean")

NIGHT = word_set("moon night nighttime midnight moonlit moonlight starry starlit starlight moonbeams nightfall")
DAY = word_set(
    "sunny sunlit sunlight sunshine sunbeams morning noon midday daylight daytime afternoon sunrise sun-drenched"
    " sun-dappled sun-kissed sun"
)
