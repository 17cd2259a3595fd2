"""Words for places: which ones are alike, which is a part of which, and the time that a place's own words give away."""

from __future__ import annotations

from .kinds import word_set

# Place noun -> its family. A place of the same family as the known setting does not replace it ("the field").
_FAMILIES: dict[str, str] = {
    "garden": "garden gardens backyard yard courtyard orchard greenhouse allotment patio vineyard",
    "meadow": "meadow meadows field fields pasture prairie grassland grasslands clearing glade hillside plain plains"
    " farm farmland hill hills hilltop paddock cornfield wheatfield farmyard barnyard moor moors heath savanna savannah"
    " steppe outback",
    "forest": "forest forests wood woods woodland woodlands grove thicket jungle rainforest copse mangroves",
    "lake": "lake lakes pond ponds lakeside lakeshore riverbank riverside river rivers lagoon reservoir marsh marshes"
    " swamp wetland creek brook stream waterhole waterfall canal bog fen pool fountain",
    "snow": "snow snowfield snowdrift snowdrifts tundra glacier ice snowbank wonderland iceberg",
    "park": "park parks playground plaza square",
    "beach": "beach beaches shore seashore seaside coast coastline shoreline sandbar cove bay",
    "desert": "desert deserts dunes dune badlands canyon oasis",
    "town": "town city village street streets road roads lane alley market harbor harbour port dock docks marketplace"
    " bazaar souk pier quay wharf jetty sidewalk pavement highway crossroads suburb suburbs outskirts",
    "mountain": "mountain mountains mountaintop peak cliff cliffs valley ridge volcano gorge ravine alps",
    "sea": "sea seas ocean reef seabed",
    "space": "space spaceship spacecraft capsule planet mars",
}
# Buildings, vessels and other places that are each unlike the others.
BUILDINGS = word_set(
    """
    house home apartment flat cottage cabin barn stable castle palace tower tent hut shed mansion villa bungalow
    farmhouse mill windmill henhouse kennel pigsty hutch treehouse igloo lighthouse school university library museum
    gallery office hospital clinic church cathedral chapel monastery temple theater theatre cinema shop store
    supermarket mall cafe café restaurant diner bakery bar pub tavern inn hotel warehouse workshop factory forge
    smithy studio laboratory lab station airport airfield stadium gym zoo circus fairground prison fort fortress
    cemetery graveyard ruins ship boat submarine train bus aeroplane airplane plane cave cavern tunnel mine island lot
    burrow den bridge bed lair nest hollow sett hive jar cage
    """
)
ROOMS = word_set(
    """
    kitchen bedroom bathroom room rooms hallway hall attic basement cellar pantry loft lounge parlour parlor study
    nursery lobby corridor garage porch balcony terrace veranda rooftop rooftops roof dungeon stage classroom deck
    conservatory ballroom backroom chimney
    """
)
PLACE_FAMILIES: dict[str, str] = {
    **{noun: noun for noun in BUILDINGS | ROOMS},
    **{noun: family for family, nouns in _FAMILIES.items() for noun in nouns.split()},
}
_BUILT = ("yard", "field", "house", "town", "shop", "woods")  # "scrapyard", "teashop"


def family_of(noun: str) -> str | None:
    """The family of a place noun, None for other nouns; a compound of a place noun is a place of its own."""
    if noun in PLACE_FAMILIES:
        return PLACE_FAMILIES[noun]
    return noun if noun.endswith(_BUILT) and noun not in {"bishop", "vineyard"} else None


# Part -> the families or nouns of the wholes it belongs to: "the shore" is the same place as the lake.
PARTS_OF: dict[str, frozenset[str]] = {
    **dict.fromkeys(ROOMS, BUILDINGS),
    **dict.fromkeys(("shore", "shoreline", "beach", "coast"), frozenset({"lake", "sea", "island"})),
    **dict.fromkeys(("sea", "ocean"), frozenset({"beach", "ship", "boat", "harbour", "harbor", "pier"})),
    **dict.fromkeys(("tower", "courtyard", "yard", "garden"), frozenset({"castle", "palace", "fort", "fortress"})),
    **dict.fromkeys(("barn", "stable", "yard", "farmhouse", "henhouse", "pigsty", "shed", "mill"), frozenset({"farm"})),
    **dict.fromkeys(("clearing", "glade", "cave", "den", "burrow"), frozenset({"forest"})),
    **dict.fromkeys(("cave", "ledge", "ice", "snow"), frozenset({"mountain"})),
    **dict.fromkeys(("reef", "seabed", "island"), frozenset({"sea"})),
    **dict.fromkeys(("gym", "yard"), frozenset({"school"})),
    **dict.fromkeys(("hill",), frozenset({"park", "garden", "town"})),
    **dict.fromkeys(("stream", "brook", "pool", "swamp"), frozenset({"forest", "meadow", "garden", "park"})),
    **dict.fromkeys(("cage", "nest", "hollow", "jar", "hutch", "kennel", "hive"), BUILDINGS | _FAMILIES.keys()),
    **dict.fromkeys(("bed",), BUILDINGS | ROOMS - {"gym", "office", "shop", "store", "school"}),
    **dict.fromkeys(("water", "bank"), frozenset({"lake", "sea", "beach"})),
}  # fmt: skip
COLD = frozenset({"snowy", "snow-covered", "wintry", "snowbound", "snow-dusted", "snow-capped"})
# "The edge of a wood" lies where the wood lies.
SIDES = word_set(
    """
    edge side heart middle shore shores bank banks border end corner foot top base center centre bottom depths
    outskirts ruins shadow shade front back rim mouth brink summit rest floor surface streets roof deck wall walls
    """
)
# "in" unless listed: how a place is said when the story's own preposition is one of movement.
ON_PLACES = word_set(
    """
    beach beaches shore seashore coast coastline shoreline sandbar hillside hill hills hilltop mountaintop plain
    plains prairie street streets road roads lane farm stage patio porch balcony rooftop rooftops roof island moor
    moors heath savanna savannah steppe pavement sidewalk highway pier quay jetty deck terrace veranda ship mountain
    mountains ridge cliff cliffs path paths trail track stone rock sand soil ground floor wall ice bridge ledge lawn
    green grass glacier glade iceberg planet table branch log carpet rug leaves leaf stairs wire dune dunes
    """
) - {"glade", "mountains", "dunes", "dune"}


BY_PLACES = word_set(
    """
    lake lakes pond ponds lakeside lakeshore riverbank river rivers lagoon reservoir sea ocean stream creek brook
    canal waterhole fountain
    """
)
NIGHT = word_set(
    """
    moon night nighttime midnight moonlit moonlight starry starlit starlight moonbeams nightfall
    """
)
DAY = word_set(
    """
    sunny sunlit sunlight sunshine sunbeams morning noon midday daylight daytime afternoon sunrise sun-drenched
    sun-dappled sun-kissed sun
    """
)
