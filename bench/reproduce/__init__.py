"""The paper's tables, drawn and measured: ``acdc reproduce``."""
