"""Several processes for HTTP, one for the log (`--workers N`).

The core process owns the log, the catalog and everything that changes them; workers take connections, check who asks, decode,
route and encode, which is where the time of a request goes. A worker hands the core ready-made frames to append, and
asks it for frames to read. Requests that are not records or cursors are passed on whole.

Why this and not partitions owned by workers (docs/workers.md has the figures): one group commit serves every worker, a
partition's order has one place where it is made, and a worker that dies takes nothing with it.
"""
