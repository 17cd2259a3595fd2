"""ARMs that draw code after code in one causal stream of text and image tokens."""
