"""Checks that need a GPU, prepared so that one command runs them all."""
