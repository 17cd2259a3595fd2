"""Diffusion models that correct frames."""
