"""The quality study of the bundle."""
