"""Small helpers that know no model."""
