"""What a log's refusal means to a client. Owns that one mapping; every operation that writes goes through it."""

from __future__ import annotations

from penstock.errors import render
from penstock.log.base import DiskFull, LogError, UnknownPartition
from penstock.model.streams import Stream, partition_name


def record_failure(error: LogError, stream: Stream, number: int) -> tuple[str, str]:
    """Code and message for records of one partition that could not be stored.

    A full disk is traffic that cannot be taken now (DIS.4303: clients retry it by themselves); a disk that failed is DIS.5000,
    which they retry too, and which an operator must look at.
    """
    if isinstance(error, UnknownPartition):
        return "DIS.4302", render(
            "DIS.4302", f"[{stream.name}][{stream.project_id}][{partition_name(number)}]"
        )
    if isinstance(error, DiskFull):
        return "DIS.4303", render("DIS.4303", "[the disk is full]")
    return "DIS.5000", render("DIS.5000", f"[{error}]")
