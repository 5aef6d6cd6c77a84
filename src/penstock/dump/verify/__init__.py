"""Whether what a task delivered is in its store: manifests against files, ranges against the task's positions, and records against the
log as far as it still has them. Owns the order of the checks; knows no API, shows nothing and writes nothing.

A difference is something that should not be; a note explains what looks like one.
"""

from __future__ import annotations

from penstock.dump.verify.contents import Contents
from penstock.dump.verify.ranges import Ranges
from penstock.dump.verify.report import Found, Means, Progress, Report, Standing, Subject
from penstock.model.tasks import MrsDescriptor, ObsDescriptor

__all__ = ["Found", "Means", "Progress", "Report", "Standing", "Subject", "verify"]


async def verify(subject: Subject, means: Means) -> Report:
    """Check everything a task of files has delivered. Raises NotDelivered when a store cannot be read."""
    task = subject.task
    descriptor = task.descriptor
    assert isinstance(descriptor, ObsDescriptor | MrsDescriptor)
    report = Report(
        stream=subject.stream.name, task=task.name, task_id=task.task_id, differences=[], notes=[]
    )
    parts, listed = await Ranges(subject, descriptor, means, report).check()
    means.progress.begin(sum(file.bytes for part in parts for file in part.files))
    contents = Contents(subject, descriptor, means, report)
    for part in parts:
        await contents.check(part, listed)
    return report
