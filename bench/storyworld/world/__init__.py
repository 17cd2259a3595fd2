"""What the storyworld can show, and its texts."""
