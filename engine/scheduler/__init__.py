"""Many stories at once: what runs where, and the loop that runs it."""
