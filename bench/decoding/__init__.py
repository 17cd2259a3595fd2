"""Passes of a frame, drawn one code after another or many side by side, and their time."""
