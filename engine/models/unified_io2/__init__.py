"""Unified-IO 2: an encoder of text and pictures, and a decoder that draws a frame's codes (arXiv 2312.17172)."""
