"""The grayscale judge of pictures."""
