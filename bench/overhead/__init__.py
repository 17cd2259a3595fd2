"""What ACDC costs over the plain ARM."""
