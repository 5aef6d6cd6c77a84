"""The command line: `penstock`. Owns how commands end: what failed, what to do next, an exit code; never a traceback."""

from __future__ import annotations

import sys
from typing import NoReturn


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; its exit code: 0 done, 1 failed, 2 asked wrongly, 130 interrupted."""
    from penstock.cli.app import app
    from penstock.cli.failure import CommandError

    try:
        app(args=arguments, prog_name="penstock")
    except CommandError as error:
        print(error, file=sys.stderr, flush=True)
        return error.status
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        return 130
    return 0


def command() -> NoReturn:
    """The `penstock` program: one command, then the process ends."""
    from penstock.runtime import leave

    leave(main())
