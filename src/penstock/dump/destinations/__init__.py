"""Destinations of dump tasks: resolved from the configuration, and really asked before a task is taken. Owns which parts a task
needs (its destination, then the bucket that it writes or backs up to) and how many questions are open at once; one module for
each kind has the rest.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from penstock.destinations import Destinations
from penstock.dump.carbon_helper import check_carbon
from penstock.dump.destinations import cloudtable, dli
from penstock.dump.destinations.base import Destination, Place
from penstock.dump.destinations.dws import Database
from penstock.dump.destinations.mrs import Hdfs
from penstock.dump.destinations.obs import Bucket
from penstock.model import tasks as model
from penstock.service.task_asking import Question

_AT_ONCE = 8
"""Open questions of one project; more wait for those."""


class Asking:
    """Asks destinations (`service.task_asking.Asker`)."""

    def __init__(self, destinations: Destinations, data: Path, seconds: float) -> None:
        self._destinations = destinations
        self._data = data
        self._seconds = seconds
        self._open: dict[str, asyncio.Semaphore] = {}

    async def check(self, question: Question) -> None:
        """Raises ApiError with the documented code."""
        check_carbon(question.descriptor, self._data)
        project = question.stream.project_id
        async with self._open.setdefault(project, asyncio.Semaphore(_AT_ONCE)):
            place = Place(self._destinations, self._data, self._seconds, question.account)
            destination = resolve(place, question.descriptor, question.password)
            if destination is not None:
                await destination.check()
            if bucket := question.descriptor.bucket:
                await Bucket.resolve(place, bucket, question.descriptor.agency_name).check()


def resolve(place: Place, descriptor: model.AnyDescriptor, password: str) -> Destination | None:
    """What a task delivers to, from the configuration; None for OBS, whose bucket is everything it needs.

    DIS.4208, DIS.4335, DIS.4336, DIS.4341, DIS.4350, DIS.4351.
    """
    if isinstance(descriptor, model.DwsDescriptor):
        return Database.resolve(place, descriptor, password)
    if isinstance(descriptor, model.MrsDescriptor):
        return Hdfs.resolve(place, descriptor)
    if isinstance(descriptor, model.DliDescriptor):
        return dli.resolve(place, descriptor)
    if isinstance(descriptor, model.CloudTableDescriptor):
        return cloudtable.resolve(place, descriptor)
    return None
