"""Pictures and clips of a class, drawn block by block by ACDiT; no diffusion model corrects them."""
