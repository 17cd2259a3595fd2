"""Autoregressive multimodal models."""
