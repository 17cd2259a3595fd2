"""DeepFloyd IF: a cascade of diffusion models in pixel space."""
