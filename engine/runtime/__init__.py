"""Stages of the models on backends."""
