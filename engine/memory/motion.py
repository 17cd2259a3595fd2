"""Classes of verbs that decide whether somebody is where a phrase says."""

from __future__ import annotations

from .english.verbs import forms

ARRIVING = forms("reach enter visit explore cross climb approach", "found find finds finding guarded guards")
LOOKING = forms(
    "look gaze stare peer glance point wave smile grin squint listen nod wink blink sniff aim", "threw throws"
)
CALLING = forms(
    "bark howl meow call growl shout yell laugh roar snarl hiss bleat bray bellow hoot chirp sing", "sang sung"
)
CLIMBING = forms("climb cross")
JUMPING = forms("leap jump hop vault bounce", "leapt sprang springs springing")
PEEKING = forms("peek peer lean look poke pop")
HANGING = forms("dangle", "hung hangs hanging swung swings swinging")
HEADING = forms(
    "head turn bow talk whisper belong listen nod start point", "set sets said spoke speaks sang sings thought"
)
MENTAL = forms(
    "dream talk wonder remember imagine miss long wish", "dreamt thought thinks forgot knew knows heard hears told"
)
LEADING = forms("guide follow carry", "led leads took takes brought brings drove flew")
# Verbs whose object is not where the hero is: "saw a castle", "left the house", "built a hut".
ELSEWHERE = forms(
    "watch love like hate miss want need paint remember imagine face overlook admire view notice spot describe name own"
    " visit sniff inspect smell look dream long wish plan hope prefer call design pass",
    "saw see sees seeing left leave leaves built build builds drew draw draws bought buy sold sell knew know knows"
    " forgot heard hear hears had has have is was are were made make makes became seemed",
)
PERCEIVING = forms("watch notice spot", "saw see sees seeing met found find finds heard hears")
