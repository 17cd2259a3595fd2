"""Verb phrases (past tense) of the eight actions, by group of animals.

"any" serves all, "legs" all but the owl. Slots: {he} {his} {ground} {smell} {sky} {light} {cry} {call} {prop}.
The held-out phrases are other wordings of the same field and are never trained on.
"""

GROUPS: dict[str, tuple[str, ...]] = {
    "beagle": ("any", "legs", "dog"),
    "corgi": ("any", "legs", "dog"),
    "golden retriever": ("any", "legs", "dog"),
    "fox": ("any", "legs", "fox"),
    "rabbit": ("any", "legs", "rabbit"),
    "owl": ("any", "owl"),
    "cat": ("any", "legs", "cat"),
    "bear": ("any", "legs", "bear"),
}
CRIES: dict[str, tuple[tuple[str, str], ...]] = {  # (past tense, noun)
    "dog": (("barked", "bark"), ("barked", "bark"), ("woofed", "woof"), ("yapped", "yap"), ("howled", "howl")),
    "fox": (("yelped", "yelp"), ("barked", "bark"), ("called out", "call"), ("howled", "howl")),
    "rabbit": (("squeaked", "squeak"), ("called out", "call"), ("cried out", "cry")),
    "owl": (("hooted", "hoot"), ("hooted", "hoot"), ("called out", "call"), ("screeched", "screech")),
    "cat": (("meowed", "meow"), ("meowed", "meow"), ("yowled", "yowl"), ("called out", "call")),
    "bear": (("growled", "growl"), ("roared", "roar"), ("called out", "call")),
}


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split("|"))


_TRAIN: dict[str, dict[str, str]] = {
    "sit": {
        "any": "sat down|sat quietly|sat on the {ground}|sat still and rested|rested for a while|sat there calmly"
        "|perched on the {ground}|settled down on the {ground}|stood still|stood quietly on the {ground}|waited"
        " patiently|took a seat on the {ground}|sat up straight|stayed where {he} was|sat back and relaxed",
        "legs": "stood on {his} hind legs|sat back on {his} haunches|sat with {his} paws together|stood and waited",
        "owl": "perched high on a branch|landed softly on a post|perched on an old tree stump|folded {his} wings and"
        " perched|came down to rest on a branch|landed on the {ground} and sat",
    },
    "run": {
        "any": "raced ahead|rushed forward|hurried along|took off at full speed|sped across the {ground}|zoomed past"
        "|went racing over the {ground}|darted forward|dashed away",
        "legs": "ran across the {ground}|ran as fast as {he} could|dashed forward|trotted along happily|bounded over"
        " the {ground}|darted ahead|galloped along|sprinted away|ran in a zig-zag|bounded forward|trotted toward the"
        " far side|scampered over the {ground}|slipped quickly through the grass|charged ahead|ran off",
        "rabbit": "hopped forward|hopped along quickly|hopped across the {ground}|hopped through the grass",
        "owl": "spread {his} wings and flew off|swooped low over the {ground}|glided through the air|took off into the"
        " air|flew ahead with quick wingbeats|soared over the {ground}",
        "cat": "prowled forward quickly|streaked across the {ground}",
        "bear": "lumbered forward at a run",
    },
    "jump": {
        "any": "jumped up high|leaped into the air|jumped for joy|sprang up|hopped up and down|jumped playfully|made a"
        " big jump|leaped as high as {he} could|jumped straight up|gave a little hop|bounced up and down|sprang into"
        " the air",
        "legs": "leaped gracefully|jumped with all four paws off the {ground}|jumped up on {his} strong legs|leaped"
        " over a puddle|leaped over a small brook|pounced with a great leap|pounced playfully",
        "owl": "fluttered up from the {ground}|flapped {his} wings and hopped up|bounced up with open wings",
    },
    "sleep": {
        "any": "fell asleep|slept soundly|took a nap|dozed off|slept on the {ground}|closed {his} eyes and slept|napped"
        " in the {light}|drifted off to sleep|dozed on the {ground}|snoozed peacefully|took a long nap",
        "legs": "curled up on the {ground}|lay down to sleep|sprawled out on the {ground}|curled up and slept|lay down"
        " panting|lay down on the {ground}|stretched out and dozed|flopped down for a nap|lay down to rest|sprawled on"
        " {his} side, basking in the {light}",
        "owl": "tucked {his} head under a wing and slept|nodded off|slept with {his} feathers fluffed",
    },
    "sniff": {
        "any": "investigated the {ground}|explored the {ground} closely|bent down to examine the {ground}|searched the"
        " {ground}",
        "legs": "sniffed the {ground}|sniffed around|put {his} nose to the {ground}|picked up the scent of {smell}"
        "|sniffed at {smell}|followed a smell along the {ground}|sniffed the air|smelled {smell}|stopped and sniffed"
        "|lowered {his} nose to the {ground}|breathed in the sweet scent of {smell}|pawed at the {ground}, sniffing"
        "|stopped, nose to the {ground}|came to a halt, nose to the {ground}|pawed playfully at the {ground}",
        "rabbit": "nibbled on a patch of grass|nibbled at the {ground}|twitched {his} nose at {smell}",
        "owl": "pecked at the {ground}|poked the {ground} with {his} beak|sniffed the {ground}|smelled {smell}|lowered"
        " {his} beak to the {ground}|sniffed at {smell}",
        "bear": "dug at the {ground}, sniffing",
    },
    "look up": {
        "any": "looked up|looked up at {sky}|gazed up at {sky}|stared up at {sky}|lifted {his} head"
        "|raised {his} head to look at {sky}|looked around, alert for any sound|peered up at {sky}"
        "|watched {sky} in wonder|stopped and looked up"
        "|gazed at {sky} in wonder|looked up, captivated by {sky}|perked up and looked around",
        "legs": "perked up {his} ears|perked up and listened|stopped with {his} ears perked up|pricked up {his} ears"
        "|stopped in {his} tracks, ears perked|skidded to a halt and looked up",
        "owl": "turned {his} round eyes up to {sky}|tilted {his} head toward {sky}",
    },
    "spin": {
        "any": "spun around|spun in circles|twirled around|whirled around|turned round and round|did a little spin"
        "|twirled playfully|spun around and around|rolled over|tumbled head over heels|did a somersault",
        "legs": "chased {his} own tail|rolled around on the {ground}|spun around, chasing {his} tail|rolled onto {his}"
        " back|wiggled and rolled over|ran in tight circles after {his} tail|spun playfully in a circle",
        "owl": "twirled in mid-air|looped and twirled in the air|spun in the air with open wings",
    },
    "bark": {
        "any": "{cry}|{cry} loudly|{cry} happily|let out a loud {call}|{cry} at {sky}|{cry} excitedly|let out a {call}"
        "|{cry} again and again|opened {his} mouth and {cry}|{cry} to say hello|made a loud {call}|{cry} joyfully",
    },
}
_HELDOUT: dict[str, dict[str, str]] = {
    "sit": {
        "any": "chose a spot on the {ground} and sat|just sat on the {ground}|stood there without moving",
        "legs": "sat down with crossed paws|rested on {his} haunches",
        "owl": "perched without a sound|settled on a low branch",
    },
    "run": {
        "any": "raced over the {ground}|shot forward",
        "legs": "broke into a run|went running over the {ground}|bounded away|tore across the {ground}",
        "owl": "flew low over the {ground}|went gliding by",
    },
    "jump": {
        "any": "gave one tall jump|jumped as if on springs|vaulted up",
        "legs": "took a great leap|leaped clear off the {ground}",
        "owl": "hopped up on open wings",
    },
    "sleep": {
        "any": "was soon fast asleep|had a sleepy little nap|slumbered",
        "legs": "curled into a ball and dozed|sprawled out to sleep on the {ground}",
        "owl": "dozed with both eyes closed",
    },
    "sniff": {
        "any": "inspected the {ground} up close",
        "legs": "went sniffing along the {ground}|let {his} nose follow {smell}|had a long sniff at {smell}",
        "owl": "ran {his} beak along the {ground}",
    },
    "look up": {
        "any": "turned {his} eyes up to {sky}|could not stop gazing up at {sky}|craned {his} neck",
        "legs": "lifted {his} head, both ears perked",
        "owl": "looked straight up with round eyes",
    },
    "spin": {
        "any": "went spinning round|turned in a dizzy circle|pirouetted",
        "legs": "went after {his} own tail in circles|rolled right over on the {ground}",
        "owl": "twirled through the air",
    },
    "bark": {
        "any": "gave a cheerful {call}|{cry} at the top of {his} voice|answered with a {call}",
    },
}
ACTION_PHRASES: dict[str, dict[str, dict[str, tuple[str, ...]]]] = {
    split: {action: {group: _split(text) for group, text in groups.items()} for action, groups in table.items()}
    for split, table in {"train": _TRAIN, "heldout": _HELDOUT}.items()
}

# Whole sentences that begin with a part of the hero; they need the pronouns resolved too.
WHOLE: dict[str, dict[str, tuple[str, ...]]] = {
    "train": {
        "sit": ("{his} {feet} rested on the {ground} as {he} sat still", "{his} legs were tired, so {he} sat down"),
        "run": ("{his} {feet} flew as {he} raced ahead", "{his} heart pounded as {he} dashed over the {ground}"),
        "jump": ("{his} {feet} left the {ground} as {he} leaped", "{his} joy was so great that {he} jumped"),
        "sleep": ("{his} eyes closed and {he} fell asleep", "{his} head sank down and {he} dozed off"),
        "sniff": ("{his} nose twitched as {he} caught the scent of {smell}", "{his} nose twitched at {smell}",
                  "{his} nose led {him} along the {ground}, sniffing"),
        "look up": ("{his} ears perked up as {he} looked at {sky}", "{his} eyes grew wide as {he} gazed at {sky}",
                    "{his} ears perked up at a rustle nearby"),
        "spin": ("{his} tail was a blur as {he} spun around", "{his} body twirled as {he} turned in circles"),
        "bark": ("{his} {call} rang out", "{his} loud {call} filled the air", "{his} voice rose as {he} {cry}"),
    },
    "heldout": {
        "sit": ("{his} place was on the {ground}, and there {he} sat",),
        "run": ("{his} legs could not be stopped and {he} ran",),
        "jump": ("{his} best trick came next as {he} jumped",),
        "sleep": ("{his} eyelids drooped until {he} slept",),
        "sniff": ("{his} nose quivered as {he} sniffed at {smell}",),
        "look up": ("{his} gaze went up to {sky}",),
        "spin": ("{his} head was dizzy from spinning around",),
        "bark": ("{his} {call} could be heard far away",),
    },
}  # fmt: skip

# Openings of a story put the place right after the verb.
FIRST_VERBS: dict[str, dict[str, str]] = {
    "sit": {"any": "sat|sat|sat quietly|was|rested|waited|stood|stood|perched|settled down|relaxed"},
    "run": {"any": "raced around|rushed about", "legs": "ran|trotted|dashed|bounded|ran happily|was running",
            "rabbit": "hopped along", "owl": "flew|glided|swooped"},
    "jump": {"any": "jumped|leaped up|was jumping|jumped up and down|bounced up and down"},
    "sleep": {"any": "slept|dozed|napped|was asleep|took a nap", "legs": "lay curled up|lay sleeping"},
    "sniff": {"any": "sniffed the {ground}|was sniffing the {ground}"},
    "look up": {"any": "looked up at {sky}|gazed up at {sky}"},
    "spin": {"any": "spun around|twirled around|spun in circles"},
    "bark": {"any": "{cry}|{cry} loudly"},
}  # fmt: skip
