"""Emu3: a LLaMA over text and the codes of pictures (arXiv 2409.18869)."""
