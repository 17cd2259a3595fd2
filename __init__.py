"""acdc: stories and videos that an autoregressive model draws and a diffusion model corrects on the way."""

__version__ = "0.1.0"
