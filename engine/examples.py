"""The seven stories printed in the ACDC paper (arXiv 2410.04721, Tables 5 and 6, appendix F: Figures 1 and 4)."""

EXAMPLES: dict[str, tuple[str, ...]] = {
    "max": (
        "Max, the corgi, stood in a sunny park with tall trees, a blue sky, and children playing in the distance.",
        "Max stopped and sniffed the ground, looking curious.",
        "He barked excitedly, watching a butterfly flutter nearby.",
        "The corgi jumped up, trying to catch the butterfly in mid-air.",
        "Max spun around playfully in circles, chasing his tail.",
        "Max lay down panting, tongue out and happy.",
    ),
    "thumper": (
        "A rabbit was in a quiet meadow surrounded by wildflowers, with a gentle stream flowing nearby.",
        "Thumper, the rabbit, stood on its hind legs, sniffing the air in the meadow.",
        "Thumper hopped forward cautiously, ears twitching.",
        "The rabbit nibbled on a small patch of grass, looking relaxed.",
        "She perked up and looked around, alert for any sounds.",
        "She dashed forward, making a quick zig-zag in the field.",
    ),
    "benny": (
        "Benny the beagle sat in a vibrant garden filled with blooming flowers and buzzing bees"
        " under a clear blue sky.",
        "His nose twitched as he picked up the sweet scent of roses and lavender.",
        "Benny jumped up and trotted toward the colorful flowerbeds, tail wagging with excitement.",
        "He playfully pawed at the petals, sending a few fluttering to the ground.",
        "The beagle barked joyfully at a bumblebee that dared to dance close to his snout.",
        "Finally, Benny sprawled out on the soft grass, basking in the sun with a contented sigh.",
    ),
    "oliver": (
        "Oliver the owl perched high on an ancient oak tree, the moonlight casting a silvery glow"
        " over the tranquil meadow below.",
        "He spread his wings wide, feeling the night air beneath him, and took off into the starry sky.",
        "With a graceful glide, Oliver swooped down, searching for the shimmering fireflies dancing in the moonlight.",
        "The wise owl twirled mid-air, playfully chasing after a particularly bright firefly.",
        "He landed softly on a fence post, watching as the glowing lights flickered around him.",
        "Oliver hooted joyfully, reveling in the magic of the night and the beauty of his surroundings.",
    ),
    "luna": (
        "Luna, the fox, stood at the edge of a moonlit forest vibrant with glowing fireflies.",
        "With a flick of her bushy tail, she slipped stealthily through the underbrush,"
        " her paws barely making a sound.",
        "Luna darted between the trees, her amber eyes glinting in the dim light as she chased a fluttering moth.",
        "Suddenly, she stopped in her tracks, her ears perked up at the rustle of leaves nearby.",
        "With a playful bounce, Luna leaped over a fallen log, determined not to lose her target.",
    ),
    "baxter": (
        "Baxter, the adventurous golden retriever, stood at the edge of a sunlit meadow"
        " dotted with wildflowers and fluttering butterflies.",
        "With a wagging tail, he bounded forward, the soft grass giving way beneath his paws.",
        "Baxter jumped playfully, leaping over a small brook that shimmered in the sunlight.",
        "He chased after a bright yellow butterfly, his golden coat glistening as he ran.",
        "Baxter skidded to a halt, nose to the ground, investigating the sweet scent of blooming clover.",
    ),
    "ruby": (
        "The curious rabbit hopped through a vibrant meadow, wildflowers swaying gently in the summer breeze.",
        "Ruby, the rabbit, bounded playfully between patches of colorful blooms.",
        "With a swift turn, Ruby, the rabbit, darted towards a butterfly fluttering nearby,"
        " her ears perked with excitement.",
        "Ruby, the rabbit, leaped gracefully, her paws barely brushing the ground as she chased the delicate creature.",
        "Suddenly, Ruby, the rabbit, skidded to a halt, captivated by a glimmering stream sparkling in the sunlight.",
    ),
}

# Captions for videos, in the words of the stories above.
VIDEOS: dict[str, str] = {
    "benny": "Benny the beagle trotted through a vibrant garden, tail wagging.",
    "max": "Max the corgi ran across a sunny park.",
    "thumper": "Thumper the rabbit hopped through a quiet meadow.",
}
