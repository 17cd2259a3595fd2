"""Load on a running service, at random times, as its users see it."""
