"""Many engines for one run: a driver that holds the stories' leases, and engines in processes of their own.

An engine may die or hang at any moment; its stories go on with another one from their last frame. No torch here: the
driver loads no weights.
"""
