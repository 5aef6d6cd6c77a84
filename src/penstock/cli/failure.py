"""What a command says when it fails: one line, and what to do next. Owns the table of advice; knows no HTTP."""

from __future__ import annotations


class CommandError(Exception):
    """A command that cannot go on. `message` is one line; `advice` says what to do next; `status` is the exit code."""

    def __init__(self, message: str, advice: str = "", *, status: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice
        self.status = status

    def __str__(self) -> str:
        return "\n".join([self.message, *(f"  {line}" for line in self.advice.splitlines())])


class ServerError(CommandError):
    """The server answered with an error code."""

    def __init__(self, code: str, message: str, *, http_status: int, stream: str = "") -> None:
        super().__init__(f"{code}: {message}" if code else message, advice_for(code, http_status, stream))
        self.code = code
        self.http_status = http_status


class Unreachable(CommandError):
    """No answer: nothing listens there, or the connection broke before a reply. `sent` tells whether the server may
    have carried the request out all the same."""

    def __init__(self, message: str, advice: str = "", *, sent: bool) -> None:
        super().__init__(message, advice)
        self.sent = sent


_ADVICE: dict[str, str] = {
    "DIS.4116": "This user may not do that: use the credentials of the account's owner, or have the action granted "
    "(penstock iam policy grant).",
    "DIS.4117": "The project in the credentials file is not one of this server's. Is it another server's file?",
    "DIS.4201": "See which partitions there are: penstock stream show {stream}",
    "DIS.4205": "See how it is: penstock stream show {stream}\nIf it is FROZEN: penstock stream thaw {stream}",
    "DIS.4224": "See which sequence numbers there are: penstock stream show {stream}\n"
    "Or read everything there is: --from trim",
    "DIS.4225": "Run the command again: cursors live five minutes.",
    "DIS.4226": "The records there have passed their retention. Read what is left: --from trim",
    "DIS.4301": "Create it: penstock stream create {stream}\nSee what there is: penstock stream list",
    "DIS.4302": "See which partitions there are: penstock stream show {stream}",
    "DIS.4303": "The stream carries no more per second. Write slower, or give the stream more partitions, or start the\n"
    "server with --limits relaxed.",
    "DIS.4305": "Wait a second and run it again, or start the server with --limits relaxed.",
    "DIS.4307": "See it: penstock stream show {stream}",
    "DIS.4308": "Delete a stream you no longer need, or start the server with --limits relaxed.",
    "DIS.4309": "Wait a minute. Then check that the credentials file is this server's.",
    "DIS.4319": "Its records have passed their retention; read the other partitions: penstock stream show {stream}",
    "DIS.4329": "Delete an app you no longer need, or start the server with --limits relaxed.",
    "DIS.4330": "See them: penstock app list",
    "DIS.4331": "Stop its consumers and wait until their membership has timed out.",
    "DIS.4332": "See them: penstock app list\nOr create it: penstock app create APP",
    "DIS.4375": "See what there is: penstock checkpoint show APP {stream}",
    "IAM.0004": "See what there is: penstock iam user list  (group, policy, key, agency, project, account)",
    "IAM.0005": "Take another name.",
    "APIGW.0101": "Is this a Penstock endpoint? It is the first line that `penstock serve` prints.",
    "APIGW.0201": "Send less at once.",
    "APIGW.0301": "Check that the credentials are this server's (--credentials DIR/credentials.csv) and that the clocks of "
    "both\nmachines agree within 15 minutes.",
}
"""Code -> what to do next; `{stream}` is the stream the command was about."""


def advice_for(code: str, http_status: int = 400, stream: str = "") -> str:
    """What to do about `code`; for a code without a row, something general for server errors, nothing otherwise."""
    text = _ADVICE.get(code, "")
    if not text and http_status >= 500:
        text = "The server's log (its standard error) says more. Check its data with: penstock doctor DIR"
    return text.replace("{stream}", stream or "STREAM")
