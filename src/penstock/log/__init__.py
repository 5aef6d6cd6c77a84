"""The record log: `base.py` is the interface, each engine a package of its own."""
