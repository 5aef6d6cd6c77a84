"""Metadata: streams, users, projects, keys. `base.py` is the interface, each engine one module."""
