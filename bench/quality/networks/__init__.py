"""Networks that metrics look through, with the files that their authors publish."""
