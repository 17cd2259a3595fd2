"""The scheduler in virtual time, on measured launch times."""
