"""A stand-in for the built Carbon writer: a program in Python with its wire, so that tests of the process and of the build need no Java."""

from __future__ import annotations

import sys
from pathlib import Path

_PROGRAM = '''#!{python}
"""java -... MAIN WORK: what the last frame of rows says happens at the end of a request."""
import os, struct, sys, time

head = struct.Struct(">ci")
work = sys.argv[-1]


def receive():
    got = sys.stdin.buffer.read(head.size)
    if not got:
        sys.exit(0)
    kind, length = head.unpack(got)
    return kind, sys.stdin.buffer.read(length)


def answer(kind, text):
    sys.stdout.buffer.write(head.pack(kind, len(text)) + text)
    sys.stdout.buffer.flush()


answer(b"O", b"ready")
while True:
    kind, begin = receive()
    directory = begin[4 : 4 + struct.unpack_from("<i", begin)[0]].decode()
    rows = []
    while (frame := receive())[0] == b"R":
        rows.append(frame[1])
    last = rows[-1]
    if last == b"die":
        print("OutOfMemoryError: Java heap space\\n\\tat somewhere\\nWARN of something else", file=sys.stderr, flush=True)
        os._exit(3)
    elif last == b"hang":
        time.sleep(60)
    elif last == b"refuse":
        answer(b"X", b"IllegalArgumentException: no such type\\n\\tat somewhere")
    else:
        with open(f"{{directory}}/part-0.carbondata", "wb") as data:
            data.write(b"".join(rows))
        with open(f"{{directory}}/0.carbonindex", "wb") as index:
            index.write(str(os.getpid()).encode())
        answer(b"O", b"part-0.carbondata\\n0.carbonindex")
'''


def program(directory: Path, name: str, text: str) -> Path:
    """An executable script."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / name
    file.write_text(text)
    file.chmod(0o755)
    return file


def stand_in(home: Path) -> None:
    """`java` in a JAVA_HOME that runs the stand-in."""
    program(home / "bin", "java", _PROGRAM.format(python=sys.executable))
