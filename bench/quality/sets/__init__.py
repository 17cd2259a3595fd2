"""Folders of stories, clips and pictures: what lies there, and its frames."""
