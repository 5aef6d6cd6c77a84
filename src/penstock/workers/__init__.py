"""Several processes for HTTP, one for the log (`--workers N`).

The core process owns the log, the catalog and everything that changes them; workers take connections, check who asks, decode,
route, read the log and encode, which is where the time of a request goes. A worker hands the core ready-made frames to append.
Requests that are not records or cursors are passed on whole.

`core` and `worker` are the two processes, `messages` what they say to each other, `memory` what they share. `answers` is the core's side of
puts and reads, `remote` the worker's, with `sheet` for the puts of a message and `reading` for the log.

Why this and not partitions owned by workers (docs/workers.md has the figures): one group commit serves every worker, a
partition's order has one place where it is made, and a worker that dies takes nothing with it.
"""
