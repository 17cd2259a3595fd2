"""How long a run will take: what each launch costs, measured, and the scheduler in virtual time on top of it."""
