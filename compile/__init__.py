"""Backends that wrap a stage from outside: ``compile_stage(run, spec, backend)`` has the signature of ``run``."""
