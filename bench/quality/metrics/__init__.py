"""Metrics: a definition each, over rows that a network gives."""
