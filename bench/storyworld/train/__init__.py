"""Training of the bundle's parts, from rendered stories to an assembled bundle."""
