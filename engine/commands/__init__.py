"""The subcommands of ``acdc``; each module is imported when its command runs."""
