"""ACDiT's blocks: their seconds by phase, and what they need at least."""
