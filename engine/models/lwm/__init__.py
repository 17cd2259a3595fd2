"""LWM: a LLaMA over text and image tokens."""
