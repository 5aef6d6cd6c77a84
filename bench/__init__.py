"""Benchmarks: Penstock and its peers, measured in one run on the same two cores.

`python -m bench` is the command; `docs/performance.md` says how to read what it prints. Nothing in
`penstock` imports this package.
"""
