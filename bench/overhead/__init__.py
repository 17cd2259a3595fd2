"""Cost of ACDC over the plain ARM."""
