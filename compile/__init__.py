"""Backends that wrap a stage's pure function from outside."""
