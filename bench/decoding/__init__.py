"""How many passes a frame takes, drawn one code after another or many side by side, and how long they last."""
