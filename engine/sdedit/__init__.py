"""SDEdit, the correction (ACDC Eqs. 2 and 5)."""
