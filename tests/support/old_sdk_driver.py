"""Runs `huaweicloud-python-sdk-dis` in a process of its own: one JSON call a line in, one JSON answer a line out.

The SDK compares Python versions as text, so that on 3.10 and later it never imports `quote`: that import is made up for here, and
nothing else. Its protobuf module was generated for an old protobuf and needs the implementation in Python, which
only an environment variable of a new process selects.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import sys
import urllib.parse
import warnings

warnings.simplefilter("ignore")

from dis_sdk_python import disclient  # noqa: E402
from dis_sdk_python.com.huaweicloud.dis.sdk.python.models import disauth  # noqa: E402

disauth.quote = urllib.parse.quote


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    raise TypeError(type(value))


def main() -> None:
    settings = json.loads(sys.stdin.readline())
    client = disclient(**settings)
    for line in sys.stdin:
        call = json.loads(line)
        answer: dict[str, object]
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                reply = getattr(client, call["method"])(*call["args"], **call["kwargs"])
            answer = {"status": reply.statusCode, "body": reply.body}
        except Exception as error:
            answer = {"error": str(error)}
        sys.stdout.write(json.dumps(answer, default=_plain) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
