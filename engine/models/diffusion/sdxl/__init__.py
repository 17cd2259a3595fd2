"""Stable Diffusion XL: a larger UNet that reads two text encoders and the size of the picture."""
