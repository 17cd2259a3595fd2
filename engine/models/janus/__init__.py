"""Janus-Pro: a LLaMA that reads text and draws LlamaGen's codes (arXiv 2501.17811)."""
