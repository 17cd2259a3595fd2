"""Scenes of the storyworld, and its texts."""
