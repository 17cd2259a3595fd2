"""Stable Diffusion 1.5 at its published size on a CPU: this engine beside diffusers and OpenVINO GenAI."""
