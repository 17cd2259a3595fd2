"""The embedded bundle's world: renderer, text grammar, training scripts, judge and quality study."""
