"""One verb a file: the pure tensor functions that the pipeline calls and that ``compile/`` will wrap."""
