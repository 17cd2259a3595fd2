"""Forms of English verbs: the irregular past is a closed class, the others show by ending and a list of stems."""

from __future__ import annotations

from functools import lru_cache

from .kinds import word_set

# Past forms that are (nearly) always a verb.
IRREGULAR_PAST = word_set(
    """
    sat stood ran went came swam flew slept woke ate drank sang sprang spun swung swept crept leapt leaned dreamt kept
    knelt hid hung held heard knew lay led lost made met paid read rode rang said saw sent shook shone shot slid spoke
    spent stole stuck stung struck swore taught told threw took tore thought understood wore won wrote began became
    blew bought brought built burst caught chose clung dealt did dug drew drove fed fell felt fought fled flung forgot
    forgave found froze gave got grew beat bent bet bit bled bred broke cast cost cut dwelt had hit hurt laid let lent
    lit left meant put quit rid rose sank sewed sought sold set shed shrank shut split spread sprung spat stank strode
    strove swelled wept wound woven wove withdrew awoke arose bore bound befell beheld outran overcame overtook
    overslept overlooked overheard trod slunk slung snuck spilt spoilt burnt learnt lept knit dove wed
    """
)
# Participles that differ from the past.
PARTICIPLES = word_set(
    """
    been gone seen done taken given eaten fallen hidden frozen broken chosen driven forgotten known shown thrown torn
    worn written woken stolen spoken shaken ridden risen sung sunk swum drunk begun come become grown flown blown
    drawn beaten bitten sworn swollen woven awoken born lain made found kept left lost told taught caught bought built
    fed held hung led lit met read said sent set shut sold stuck swept wound bound dug burnt spun strung cut put hurt
    """
)
IRREGULAR_STEMS = word_set(
    """
    sit stand run go come swim fly sleep wake eat drink sing spring spin swing sweep creep leap lean dream keep kneel
    hide hang hold hear know lie lay lead lose make meet pay read ride ring say see send shake shine shoot slide speak
    spend steal stick sting strike swear teach tell throw take tear think understand wear win write begin become blow
    buy bring build burst catch choose cling deal do dig draw drive feed fall feel fight flee fling forget forgive
    find freeze give get grow beat bend bet bite bleed breed break cast cost cut dwell have hit hurt let lend light
    leave mean put rise sink seek sell set shed shut split spread spit stride swell weep wind weave awake bear bind
    tread
    """
)
STEMS = IRREGULAR_STEMS | word_set(
    """
    add admire adore amble answer appear arrive ask attack bake balance bark bask bathe beep belong blink boil bounce
    bound bow box breathe brood bump burrow buzz call calm care carry carve chant charge chase chat chatter cheer chew
    chirp chuckle circle clap clean clear climb close cluck coil collect comb cook coo count cover crack crane crawl
    croak cross crouch crow cry cuddle curl cycle dance dart dash decide deliver dive doze drag dress drift drip drop
    dry enjoy enter escape examine explore face fear fetch fill fish flap flash float flow flutter follow frolic frown
    gallop gather gaze giggle glance glare gleam glide glitter glow gnaw gobble grab grasp graze greet grin groan
    growl grumble grunt guard guess gulp hate haul head help hike hiss honk hoot hop hope hover howl hug hum hunt
    hurry inspect invite itch jog join juggle jump kick kiss knock land laugh lick lift like limp linger listen live
    lounge look love lumber lurk march marvel meow mew miaow mix moan moo move munch mutter nap nest nibble nod nudge
    offer open order own pace pack paddle paint pant parade pass pat pause paw peck peek peel peep peer perch pick
    plan plant play plod point poke polish pop pounce pour practise practice prance preen press pretend prowl puff
    pull purr push quack race raise ramble reach recite relax remain remember rest return roam roar roll romp row rub
    rule rush sail salute scamper scan scare scatter scout scramble scratch scream screech scurry scuttle search
    settle shelter shiver shout shrug shuffle sigh sip skate skip skitter slither slip slump slurp smell smile snarl
    sneak sneeze sniff snooze snore snort snuffle snuggle soak soar sparkle splash sprawl sprint squat squawk squeak
    squeal squint stagger stalk stamp stare start startle stay step stir stop stretch stroke stroll strum study
    stumble surf sway talk tap taste thank tilt tiptoe toss touch travel tremble trot trudge trumpet try tuck tumble
    turn twirl twist twitch use visit wade wag waddle wait walk wallow wander want warm wash watch water wave weigh
    whimper whinny whirl whisper whistle wiggle wink wish wobble wonder work worry yawn yelp yowl zoom patrol haunt
    plough plow tend browse forage hibernate migrate roost rummage scrape shimmer glisten twinkle ripple splutter
    stutter stammer mumble beam blush bleat bray neigh chitter rumble thunder boom bang ring clatter rattle rustle
    creak chop saw hammer knit sew weave scrub mop dust tidy arrange decorate design invent solve program type record
    act perform compete train exercise bring hand serve fry roast grill whisk knead slice swallow devour harvest sow
    rake prune trim mow shovel rinse fold iron unpack load unload steer slide swoop alight huddle drowse laze sunbathe
    plunge submerge bob swing lean topple skid collide smash shatter split spill fling hurl pitch catch seize clutch
    grip pinch prod shove squeeze tickle brush groom nuzzle inhale exhale gasp wheeze cough hiccup burp sob wail whine
    shriek cackle snicker guffaw jeer mock tease trick fool scold warn threaten comfort soothe praise need seem happen
    chime crash
    """
)
_DOUBLING = word_set("hop nod set pop swim run sit step stop slip spin drop dig wag grin hug tap")
NOT_ING = word_set(
    """
    thing king ring wing string spring ceiling building clearing pudding wedding evening morning nothing something
    everything anything during sibling duckling gosling starling fledgling hatchling yearling sapling seedling inkling
    shilling sterling darling earring awning landing crossing painting railing stocking herring sting sling swing
    viking lightning offspring being underling clothing bedding icing hotspring nestling dumpling bing ming
    """
)
NOT_ED = word_set(
    """
    red bed shed seed weed reed need deed feed breed greed speed steed sled naked wicked sacred rugged jagged ragged
    crooked wooded hundred kindred beloved striped spotted speckled checkered freckled bearded hooded horned winged
    feathered haired tailed aged learned wretched forked armoured armored webbed tusked hooved fanged dappled mottled
    ted fred ned jed alfred winifred mildred wilfred flatbed seabed riverbed streambed flowerbed watershed embed
    riverweed seaweed moped biped quadruped tweed creed indeed exceed proceed succeed
    """
)


def forms(stems: str, others: str = "") -> frozenset[str]:
    """The regular forms of the verbs in ``stems``, and ``others`` as they are: "look" gives looks, looked, looking."""
    found = set(others.split())
    for stem in stems.split():
        base = stem[:-1] if stem.endswith("e") else stem + stem[-1] if stem in _DOUBLING else stem
        past = stem[:-1] + "ied" if stem.endswith("y") and stem[-2] not in "aeiou" else base + "ed"
        ending = "es" if stem.endswith(("s", "x", "ch", "sh")) else "s"
        found |= {stem, stem + ending, past, base + "ing"}
    return frozenset(found)


@lru_cache(maxsize=4096)
def stem_of_s(low: str) -> str | None:
    """The stem of "barks", "watches", "flies", "goes"; None for a word that is not the -s form of a listed verb."""
    if not low.endswith("s") or low.endswith("ss"):
        return None
    for stem in (low[:-1], low[:-2] if low.endswith("es") else "", low[:-3] + "y" if low.endswith("ies") else ""):
        if stem in STEMS:
            return stem
    return None


def is_ing(low: str) -> bool:
    """True if the word reads as a present participle."""
    return low.endswith("ing") and len(low) > 4 and low not in NOT_ING


def is_ed(low: str) -> bool:
    """True if the word reads as a regular past or a participle in -ed."""
    return low.endswith("ed") and len(low) > 3 and low not in NOT_ED and "-" not in low


def is_past(low: str) -> bool:
    """True if the word can be a finite verb in the past."""
    return low in IRREGULAR_PAST or is_ed(low)
