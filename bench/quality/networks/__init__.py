"""Networks of metrics, with the files that their authors publish."""
