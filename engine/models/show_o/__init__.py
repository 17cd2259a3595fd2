"""Show-o: an ARM that decodes by MaskGIT."""
