"""ViStoryBench (arXiv 2505.24862): its stories as ours, and our pictures where its evaluation looks for them."""
