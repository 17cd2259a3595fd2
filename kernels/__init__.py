"""Fused Triton kernels, one a file, each beside its plain PyTorch reference. Importing this has no effects."""
