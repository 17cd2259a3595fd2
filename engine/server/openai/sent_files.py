"""Files that a client sent, in its job's folder."""

IMAGE = "uploads/image_{:02d}.png"  # to edit
MASK = "uploads/mask.png"
GIVEN = "given/frame_{:02d}.png"  # of a conversation
