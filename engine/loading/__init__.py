"""Checkpoints to modules."""
