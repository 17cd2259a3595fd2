"""``acdc serve``: stories over HTTP, drawn by worker processes from a queue that survives both."""
