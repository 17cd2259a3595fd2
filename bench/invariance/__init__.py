"""Stories drawn in many ways of running them, code by code against the plainest way."""
