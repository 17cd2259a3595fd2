"""Animals and people that a story may be about, and how word lists are written."""

from __future__ import annotations


def word_set(text: str) -> frozenset[str]:
    """The words of ``text`` as a set."""
    return frozenset(text.split())


# Kinds of one word and of two; a kind outside these lists is still found in "NAME the KIND" (see subject.py).
KINDS = word_set(
    """
    beagle corgi dog puppy hound terrier poodle dachshund husky labrador retriever dalmatian bulldog collie pug
    spaniel sheepdog mastiff greyhound chihuahua shepherd mutt pup fox vixen wolf coyote jackal rabbit bunny hare owl
    owlet cat kitten kitty tabby tomcat tiger lion lioness leopard panther cheetah lynx puma jaguar bear cub panda
    koala raccoon badger otter beaver weasel ferret mink skunk squirrel chipmunk mouse rat hamster gerbil hedgehog
    porcupine mole bat deer fawn doe stag elk moose reindeer horse pony foal mare stallion donkey mule zebra giraffe
    elephant rhino rhinoceros hippo hippopotamus camel llama alpaca cow calf bull ox yak bison buffalo goat kid sheep
    lamb ram pig piglet boar monkey ape gorilla chimpanzee orangutan lemur sloth kangaroo wallaby wombat platypus
    possum opossum armadillo anteater meerkat mongoose hyena seal walrus dolphin whale shark octopus squid crab
    lobster turtle tortoise lizard gecko iguana chameleon snake cobra python crocodile alligator frog toad newt
    salamander bird sparrow robin crow raven magpie jay parrot macaw toucan pigeon dove eagle hawk falcon kite heron
    crane stork swan goose gosling duck duckling chicken hen rooster chick turkey peacock penguin puffin seagull gull
    pelican flamingo ostrich emu hummingbird woodpecker kingfisher dragon unicorn griffin phoenix dinosaur fairy elf
    dwarf gnome goblin troll giant mermaid ghost monster alien robot android snowman boy girl man woman child baby
    toddler teenager king queen prince princess knight wizard witch pirate sailor captain soldier farmer fisherman
    chef baker painter artist dancer singer musician person bee bumblebee wasp ant beetle ladybird ladybug butterfly
    moth dragonfly spider snail slug worm caterpillar grasshopper cricket firefly mosquito fly fish goldfish salmon
    trout jellyfish starfish seahorse tadpole dormouse stoat polecat vole shrew gopher marmot wildcat bobcat ocelot
    dingo wolverine gazelle antelope impala gnu wildebeest warthog tapir okapi capybara quokka narwhal manatee dugong
    partridge pheasant quail grouse thrush blackbird starling swallow swift lark nightingale finch wren tit cuckoo
    ibis gannet albatross cormorant vulture buzzard condor osprey kiwi cockerel ermine marten sable lemming chinchilla
    coypu muskrat nutria agouti paca jerboa dormice aardvark pangolin echidna tarsier loris gibbon baboon mandrill
    macaque marmoset bonobo chimp colobus hyrax civet genet serval caracal cougar boxer rottweiler doberman whippet
    setter pointer saluki malamute samoyed pomeranian pekingese shihtzu basset bloodhound foxhound wolfhound schnauzer
    newfoundland akita lurcher pooch doggy moggy calico siamese colt filly gelding steed charger bronco mustang heifer
    steer ewe wether sow hog swine nanny billy oryx eland kudu springbok caribou wapiti roe muntjac zebu aurochs
    mammoth mastodon budgie budgerigar canary cockatiel cockatoo lovebird parakeet lorikeet hornbill quetzal rook
    jackdaw chough linnet wagtail pipit martin bunting siskin bluebird oriole cardinal mockingbird ptarmigan cassowary
    rhea curlew plover sandpiper oystercatcher tern petrel shearwater grebe coot moorhen mallard drake goldeneye eider
    adder viper boa anaconda rattlesnake asp monitor skink axolotl terrapin tuatara caiman gharial treefrog bullfrog
    carp pike perch bass cod herring mackerel sardine tuna swordfish eel ray stingray manta minnow guppy piranha
    pufferfish clownfish anglerfish blobfish cuttlefish clam oyster mussel scallop shrimp prawn crayfish krill
    barnacle urchin anemone jelly sponge cicada locust mantis earwig louse flea tick mite gnat midge hornet glowworm
    woodlouse centipede millipede scorpion tarantula roach cockroach weevil scarab tyrannosaurus triceratops
    stegosaurus diplodocus velociraptor pterodactyl raptor yeti bigfoot kraken sphinx minotaur centaur satyr faun
    pixie brownie imp gremlin leprechaun banshee ghoul mummy scarecrow snowwoman gingerbread puppet doll teddy
    marionette statue golem cyborg emperor empress sultan sultana tsar chief chieftain lord duke duchess baron count
    countess squire page herald jester bard minstrel monk friar abbot bishop priest nun pope saint pilgrim prophet
    druid shaman sorcerer sorceress mage magician apprentice alchemist assassin archer swordsman warrior samurai ninja
    viking gladiator crusader hunter huntress trapper woodcutter lumberjack shepherdess cowherd goatherd swineherd
    milkmaid maid butler servant cook waiter waitress innkeeper barber hairdresser mason potter weaver dyer tanner
    saddler cartwright wheelwright carpenter plumber electrician mechanic engineer architect builder farmhand gardener
    florist grocer butcher fishmonger confectioner brewer vintner tailor seamstress milliner jeweller goldsmith
    locksmith watchmaker clockmaker toymaker shoemaker printer writer author poet novelist journalist reporter editor
    photographer filmmaker director composer conductor pianist violinist drummer guitarist fiddler cellist flautist
    trumpeter acrobat gymnast trapeze tightrope ringmaster skater skier surfer swimmer diver runner jockey cyclist
    wrestler footballer goalkeeper referee coach athlete mountaineer climber rambler camper scout guide ranger guard
    sentry watchman keeper zookeeper lifeguard lighthousekeeper admiral mate cabin-boy stowaway castaway smuggler
    burglar robber bandit outlaw highwayman spy agent judge lawyer clerk banker accountant secretary mayor senator
    president minister ambassador dentist surgeon vet paramedic patient midwife chemist physicist biologist geologist
    archaeologist historian professor tutor governess headmaster headmistress schoolboy schoolgirl choirboy orphan
    twin triplet brother sister uncle aunt cousin grandson granddaughter grandma grandpa granny grandad mum dad mother
    father son daughter husband wife bride groom widow widower neighbour neighbor friend guest passenger commuter
    tourist hitchhiker nomad hermit beggar tramp wanderer villager townsman peasant serf citizen customer shopkeeper
    postwoman policewoman firefighter policeman cop officer sheriff deputy cowgirl rancher gaucho trucker cabbie
    chauffeur clown cowboy postman fireman lad lass lady gentleman merchant cosmonaut pilot driver blacksmith miller
    cobbler scientist inventor librarian hero heroine stranger traveller traveler student pupil ballerina juggler
    genie ogre skeleton zombie vampire werewolf nymph sprite angel demon teacher doctor nurse astronaut explorer hiker
    detective thief grandmother grandfather
    """
)
PAIR_KINDS = frozenset(
    {
        "golden retriever", "german shepherd", "border collie", "great dane", "polar bear", "grizzly bear",
        "red panda", "giant panda", "arctic fox", "barn owl", "snowy owl", "horned owl",
        "guinea pig", "sea lion", "sea turtle", "sea otter", "mountain lion", "mountain goat", "snow leopard",
    }
)  # fmt: skip
