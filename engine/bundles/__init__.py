"""Bundles that the package ships, one directory each."""
