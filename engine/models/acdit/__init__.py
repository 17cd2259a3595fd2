"""ACDiT (arXiv 2412.07720): a diffusion transformer that draws a picture or a clip block by block."""
