"""Which records a task's manifests, files and error files cover. Owns that ranges neither overlap nor leave gaps up to where the task
says it is, and that every file of the task is named; opens no file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

from penstock.dump import manifest as manifests
from penstock.dump.verify.report import Means, Part, Report, Standing, Subject, name_of, parts_of, prefix_of
from penstock.model.dumps import error_folder, joined
from penstock.model.streams import partition_name
from penstock.model.tasks import MrsDescriptor, ObsDescriptor

_RANGE = re.compile(r"-(shardId-[0-9]{10})-([0-9]{20})-([0-9]{20})")
"""In every file's name (`model.dumps.file_name`)."""


class Ranges:
    """Checks ranges, and reads what there is on the way."""

    def __init__(
        self, subject: Subject, descriptor: ObsDescriptor | MrsDescriptor, means: Means, report: Report
    ) -> None:
        self.subject = subject
        self.descriptor = descriptor
        self.means = means
        self.report = report
        self.mark = f"{subject.stream.name}-{subject.task.name}-{subject.task.task_id}-shardId-"
        """What the names of the task's files begin with."""

    async def check(self) -> tuple[list[Part], dict[str, int]]:
        """The parts of all rounds, and keys and sizes of the task's files where it writes now."""
        parts = [part for made in await self._manifests() for part in parts_of(made)]
        self.report.rounds = len({part.round for part in parts})
        listed = await self._list()
        backed_up = await self._backed_up(parts)
        for number in sorted({*self.subject.partitions, *(part.partition for part in parts)}):
            self._check_ranges(number, [part for part in parts if part.partition == number], backed_up)
        self._check_unnamed(parts, listed)
        return parts, listed

    async def _manifests(self) -> list[manifests.Manifest]:
        """All of the task's, by round; what cannot be read is a difference."""
        task, stream = self.subject.task, self.subject.stream
        folder = manifests.folder(stream.name, task.name, task.task_id)
        found = []
        for key in sorted([one.key async for one in self.means.store.list(f"{folder}/")]):
            data = b"".join([piece async for piece in await self.means.store.get(key)])
            try:
                made = manifests.decode(data)
            except manifests.UnreadableManifest as error:
                self.report.differs("manifest", key, str(error))
                continue
            if (made.task_id, made.stream_id) != (task.task_id, stream.stream_id):
                self.report.differs("manifest", key, "of another task")
            elif key != manifests.manifest_key(stream, task, made.round):
                self.report.differs("manifest", key, f"of round {made.round}")
            else:
                found.append(made)
        return found

    async def _list(self) -> dict[str, int]:
        """Keys and sizes of the task's files where it writes now."""
        prefix = prefix_of(self.descriptor)
        return {
            found.key: found.size
            async for found in self.means.store.list(prefix)
            if any(step.startswith(self.mark) for step in found.key.split("/"))
        }

    async def _backed_up(self, parts: Iterable[Part]) -> list[tuple[int, int, int]]:
        """Partition and range of error files that belong to no manifest: rounds that were given up and passed over."""
        folder = joined(self.descriptor.file_prefix, error_folder(self.descriptor))
        found: dict[str, tuple[int, int, int]] = {}
        async for one in self.means.backup.list(f"{folder}/"):
            name = name_of(one.key)
            if name.startswith(self.mark) and (match := _RANGE.search(name)):
                found[one.key] = (int(match[1][-10:]), int(match[2]), int(match[3]))
        for part in parts:
            for key in part.rejected_keys:
                # An update may have moved the task since, so that it is not among those listed.
                if found.pop(key, None) is None and await self.means.backup.size(key) is None:
                    self.report.differs(
                        "rejects", key, f"round {part.round}: the file of rejected records is not there"
                    )
        return sorted(found.values())

    def _check_ranges(
        self, number: int, parts: Sequence[Part], backed_up: Sequence[tuple[int, int, int]]
    ) -> None:
        """Neither overlaps nor gaps up to the last record that the task says it delivered."""
        name = partition_name(number)
        standing = self.subject.partitions.get(number) or Standing(-1, 0, None)
        ordered = sorted(parts, key=lambda part: (part.first, part.last))
        gaps: list[tuple[int, int]] = []
        for before, after in pairwise(ordered):
            if after.first <= before.last:
                self.report.differs(
                    "overlap",
                    name,
                    f"records {after.first} to {min(before.last, after.last)} are in rounds {before.round} and {after.round}",
                )
            elif after.first > before.last + 1:
                gaps.append((before.last + 1, after.first - 1))
        reached = max((part.last for part in ordered), default=-1)
        if standing.last > reached:
            if ordered:
                gaps.append((reached + 1, standing.last))
            else:
                self.report.differs(
                    "gap", name, f"the task has delivered up to record {standing.last}; no manifest names any"
                )
        for part in ordered:
            # last_transfer_offset is that of the last round with a record that could be delivered.
            if part.last > standing.last and part.files:
                self.report.note(
                    "records",
                    name,
                    f"round {part.round} ({part.first} to {part.last}) is there, not committed yet",
                )
        named = sum(part.rejected + part.missing for part in parts if part.last <= standing.last)
        self._explain(name, gaps, [one for one in backed_up if one[0] == number], standing.discard - named)

    def _explain(
        self,
        name: str,
        gaps: Sequence[tuple[int, int]],
        backed_up: Sequence[tuple[int, int, int]],
        unexplained: int,
    ) -> None:
        """Gaps are all right as far as the records in them were backed up, or passed over: `unexplained` of the task's `discard` are
        in no manifest."""
        for first, last in gaps:
            count = last - first + 1
            inside = [one for one in backed_up if first <= one[1] and one[2] <= last]
            for _, start, end in inside:
                self.report.note(
                    "gap", name, f"records {start} to {end} are in no file: they were backed up as errors"
                )
                count -= end - start + 1
                unexplained -= end - start + 1
            if count and count <= unexplained:
                unexplained -= count
                self.report.note(
                    "gap",
                    name,
                    f"{count} records of {first} to {last} are in no file: the task passed over them (discard)",
                )
            elif count:
                self.report.differs("gap", name, f"{count} records of {first} to {last} are in no file")

    def _check_unnamed(self, parts: Sequence[Part], listed: dict[str, int]) -> None:
        named = {file.key for part in parts for file in part.files}
        errors = joined(self.descriptor.file_prefix, error_folder(self.descriptor)) + "/"
        for key in sorted(listed.keys() - named):
            if isinstance(self.descriptor, ObsDescriptor) and key.startswith(errors):
                continue
            match = _RANGE.search(key)
            standing = self.subject.partitions.get(int(match[1][-10:])) if match else None
            if match and int(match[3]) > (standing.last if standing else -1):
                self.report.note("unnamed", key, "being delivered, or left by a round that goes on")
            else:
                self.report.differs("unnamed", key, "no manifest names it")
