"""The embedded engine: segment files in a directory per partition. Nothing outside uses more than these names."""

from penstock.log.files.disk import Disk
from penstock.log.files.engine import FileLog
from penstock.log.files.errors import AlreadyInUse, OutOfFiles, UnsupportedFormat
from penstock.log.files.opening import open_log

__all__ = ["AlreadyInUse", "Disk", "FileLog", "OutOfFiles", "UnsupportedFormat", "open_log"]
