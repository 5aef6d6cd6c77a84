"""Dumps: plans, deliveries, formats, destinations. Knows no HTTP.

`destinations` resolves what tasks name and asks it before they are taken. An engine that delivers has these seams:

- `context.tasks` (`service.task_directory.Tasks`): `all` and `of` say which tasks there are, `on_change` calls when one is made,
  paused, started, updated or gone (with its stream, too); a task that is `paused` is left alone.
- `Tasks.positions(task_id)`: the next sequence number of each partition, since the task was made; a partition without one is newer than the task and
  is delivered from its first record on. `Tasks.advance(...)` commits a delivery, `discard` and `last_transfer_*` with it;
  `Tasks.set_trouble` says ABNORMAL or ERROR and why. Details and lists show all of it.
- `task.descriptor` has every default filled in (`model.tasks`); `Tasks.password(task, key)` opens a password with the secret of its
  `[[kms]]` entry.
- `dump.destinations.resolve(place, descriptor, password)` and `Bucket.resolve(place, name, agency)` give what to deliver to:
  `Bucket.store()` (obstore), `Database.connect()` (psycopg), `Hdfs.url(operation)`. Deliver through more methods of these classes.
- `context.log` has the records, `context.directory` the streams and their partitions.
"""
