"""The paper's loop over one story (ACDC, Eqs. 1 to 6)."""
