"""Stable Diffusion 1.5 at its published size on a CPU: this engine next to diffusers and OpenVINO GenAI."""
