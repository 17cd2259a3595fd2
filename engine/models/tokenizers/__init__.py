"""Visual tokenizers: pixels to codes and back."""
