"""Formats of dump files: text, CSV, Parquet, Carbon. Owns which a task's descriptor means; one module each has the rest."""
