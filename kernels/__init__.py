"""Fused Triton kernels, one a file, each with its plain PyTorch reference. Importing this has no effects."""
