"""Dumps: plans, deliveries, formats, destinations. Knows no HTTP.

`coordinator` says which tasks are delivered now and answers the engine, `host` runs `process`, in which `engine` has a `runner` for each task.
A runner plans rounds (`model.dumps`), reads their records (`rounds`) and has a sink deliver them: `sinks` has one for each kind of
destination, `formats` and `stores` what files are made of and where they are. `destinations` resolves what tasks name and asks it before
they are taken.
"""
