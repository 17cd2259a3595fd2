"""Measures of drawn stories, clips and pictures: the paper's metrics and the field's, on any folder."""
