"""`python -m tests.services`: install what the real servers of the tests need, so that no test waits for a download. Says what it does;
what is missing on the machine is named, and is the tests' business.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from tests.services import hbase, hdfs, iceberg_rest, opentsdb, s3

INSTALLS: dict[str, Callable[[], object]] = {
    "s3": s3.install,
    "hdfs": hdfs.install,
    "hbase": hbase.install,
    "opentsdb": opentsdb.install,
    "iceberg_rest": iceberg_rest.install,
}


def main() -> int:
    failed = 0
    for name, install in INSTALLS.items():
        began = time.monotonic()
        try:
            install()
        except BaseException as error:  # a skip is none of Exception
            failed += 1
            print(f"services: {name}: {error}", file=sys.stderr, flush=True)
        else:
            print(
                f"services: {name} is there ({time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True
            )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
