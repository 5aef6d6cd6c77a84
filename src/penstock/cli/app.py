"""The `penstock` command: every subcommand, its options and its help. Owns names and texts; the work is in the modules
that each command imports when it runs, so that help comes at once."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from penstock.cli import dump_task_app
from penstock.cli.bucket_app import bucket_app
from penstock.cli.consumer_app import checkpoint_app, consumer_app
from penstock.cli.iam_app import iam_app
from penstock.cli.lakehouse_app import lakehouse_app
from penstock.cli.options import (
    DEFAULT_ENDPOINT,
    HELP,
    AsJson,
    CaCert,
    CredentialsFile,
    Endpoint,
    From,
    Insecure,
    PartitionId,
    StreamName,
    connect,
)
from penstock.cli.stream_app import stream_app

app = typer.Typer(
    name="penstock",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings=HELP,
    help="A self-hosted Data Ingestion Service: programs written for Huawei Cloud DIS point at it and work unmodified.",
)
app.add_typer(stream_app, name="stream", help="Create, show, scale and delete streams.")
app.add_typer(bucket_app, name="bucket", help="Create and list buckets that are folders.")
app.add_typer(lakehouse_app, name="lakehouse", help="Create and list tables of the embedded lakehouse.")
app.add_typer(
    dump_task_app.dump_app,
    name="dump",
    help="Create, show, change and verify dump tasks.",
)
app.add_typer(consumer_app, name="app", help="Create, list, show and delete consumption apps.")
app.add_typer(iam_app, name="iam", help="Manage accounts, users, groups, policies, keys and agencies.")
app.add_typer(checkpoint_app, name="checkpoint", help="Show, commit and delete checkpoints.")


@app.command()
def serve(
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="DIR", help="Where everything is kept; made if missing.  [default: data]"
        ),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(
            "--listen", metavar="HOST:PORT", help="Port 0 picks a free one.  [default: 127.0.0.1:20004]"
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="FILE", help="Settings in TOML; options and PENSTOCK_* variables win over it."
        ),
    ] = None,
    limits: Annotated[
        str | None,
        typer.Option(
            "--limits", metavar="documented|relaxed", help="Rates and quotas as documented, or lifted."
        ),
    ] = None,
    sync: Annotated[
        str | None,
        typer.Option(
            "--sync",
            metavar="always|interval:50ms|os",
            help="When a record is acknowledged: on disk; within the interval of it; or when the kernel has it."
            "  [default: always]",
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", metavar="N", help="HTTP processes.  [default: 1]")
    ] = None,
    auth: Annotated[
        str | None,
        typer.Option("--auth", metavar="on|off", help="off: anybody may do anything; loopback only."),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", metavar="F", help="Serve HTTPS with this certificate (PEM).")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", metavar="F", help="Its private key (PEM).")
    ] = None,
    manage: Annotated[
        str | None,
        typer.Option(
            "--manage",
            metavar="HOST:PORT",
            help="Where /healthz, /readyz and /metrics are.  [default: loopback, the next port, or a free one]",
        ),
    ] = None,
    log_level: Annotated[
        str | None, typer.Option("--log-level", metavar="debug|info|warning|error", help="  [default: info]")
    ] = None,
    access_log: Annotated[
        Path | None,
        typer.Option(
            "--access-log", metavar="F", help="A JSON line for each request goes here; - is standard error."
        ),
    ] = None,
) -> None:
    """Run the server.

    Prints `penstock ready on http://HOST:PORT` on standard output once it takes requests; logs go to standard error.
    SIGTERM or Ctrl-C: it finishes what it has and exits with 0. All settings: docs/configuration.md.

    \b
    Examples:
      penstock serve --data ./data
      penstock serve --data /srv/penstock --listen 0.0.0.0:20004 --tls-cert server.pem --tls-key server-key.pem
      penstock serve --data ./data --limits relaxed --sync interval:50ms
    """
    from penstock.cli import serving

    overrides = {
        "data": data,
        "listen": listen,
        "limits": limits,
        "sync": sync,
        "workers": workers,
        "auth": auth,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
        "manage": manage,
        "log_level": log_level,
        "access_log": access_log,
    }
    settings = serving.settings(overrides, config)
    show = sys.stderr.isatty() or os.environ.get("PENSTOCK_HINTS") == "1"
    raise typer.Exit(serving.serve(settings, show_hints=show, program=sys.argv[0]))


@app.command()
def cert(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Directory for the files; made if missing.")
    ],
    host: Annotated[
        list[str] | None,
        typer.Option(
            "--host", metavar="NAME", help="A name or address clients will use; may be given again."
        ),
    ] = None,
) -> None:
    """Make a development authority and a server certificate.

    The certificate always holds localhost, 127.0.0.1 and ::1. An authority already in DIR is used again.

    \b
    Examples:
      penstock cert --out ./tls
      penstock cert --out ./tls --host dis.example.com --host 192.0.2.10
    """
    from penstock.cli import certificates

    names = certificates.make(out, host or [])
    paths = {name: out / getattr(certificates, name) for name in ("CA", "CA_KEY", "SERVER", "SERVER_KEY")}
    print(
        f"Made a certificate for {', '.join(names)}; the keys can be read by you only.\n"
        f"\n"
        f"Serve with it:       penstock serve --tls-cert {paths['SERVER']} --tls-key {paths['SERVER_KEY']}\n"
        f"Let clients trust it ({paths['CA']}):\n"
        f"  penstock           export PENSTOCK_ENDPOINT=https://localhost:20004 PENSTOCK_CACERT={paths['CA']}\n"
        f"  curl               curl --cacert {paths['CA']} https://localhost:20004/...\n"
        f"  Python SDK         HttpConfig(ssl_ca_cert='{paths['CA']}')\n"
        f"  Debian machines    cp {paths['CA']} /usr/local/share/ca-certificates/penstock.crt && update-ca-certificates\n"
        f"Keep {paths['CA_KEY']} to yourself: who has it can make certificates that these clients trust."
    )


@app.command()
def put(
    stream: StreamName,
    data: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[DATA]...",
            help="Records; none: lines of --file, or of standard input.",
            show_default=False,
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option("--key", "-k", metavar="K", help="Partition key: equal keys go to one partition."),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option("--file", "-f", metavar="F", help="Read lines from this file; - is standard input."),
    ] = None,
    partition: Annotated[
        str | None, typer.Option("--partition", "-p", metavar="P", help="Put into this partition.")
    ] = None,
    endpoint: Endpoint = DEFAULT_ENDPOINT,
    credentials: CredentialsFile = None,
    cacert: CaCert = None,
    insecure: Insecure = False,
) -> None:
    """Write records to a stream.

    The arguments, or each line of a file or of standard input. Records go in batches of up to 500. Only those that the server refuses for now (DIS.4303, DIS.5xxx) are sent again,
    for up to a minute. Exit code 0 means that every record is acknowledged.

    \b
    Examples:
      penstock put clicks '{"page": "/"}'                 prints partition and sequence number
      penstock put clicks --file clicks.ndjson
      tail -F access.log | penstock put logs --key web-1
    """
    from penstock.cli import records

    with connect(endpoint, credentials, cacert, insecure) as client:
        records.put(client, stream, data or [], key=key, file=file, partition=partition)


@app.command()
def get(
    stream: StreamName,
    partition: PartitionId = None,
    start: From = None,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", metavar="N", help="Stop after N records.")
    ] = None,
    as_json: AsJson = False,
    endpoint: Endpoint = DEFAULT_ENDPOINT,
    credentials: CredentialsFile = None,
    cacert: CaCert = None,
    insecure: Insecure = False,
) -> None:
    """Read what a stream holds now.

    From the oldest record (or --from) to the end of each partition. Prints the data of each record and a newline. With --json, one object for each record: partition_id,
    sequence_number, partition_key, timestamp, and data (or data_base64, when it is not UTF-8 text).

    \b
    Examples:
      penstock get clicks
      penstock get clicks --partition 0 --from 1000 --limit 10
      penstock get clicks --from 2h --json | jq .data
    """
    from penstock.cli import records

    with connect(endpoint, credentials, cacert, insecure) as client:
        records.get(client, stream, partition=partition, start=start or "trim", limit=limit, as_json=as_json)


@app.command()
def tail(
    stream: StreamName,
    start: From = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")
    ] = False,
    last: Annotated[
        int,
        typer.Option(
            "--last", "-n", metavar="N", help="Without --from: the last N records of each partition."
        ),
    ] = 10,
    partition: PartitionId = None,
    as_json: AsJson = False,
    endpoint: Endpoint = DEFAULT_ENDPOINT,
    credentials: CredentialsFile = None,
    cacert: CaCert = None,
    insecure: Insecure = False,
) -> None:
    """Print the newest records, and follow.

    The last records of all partitions, and with --follow what comes after them. Order holds within a partition. --follow survives a restart of the server and finds new partitions.

    \b
    Examples:
      penstock tail clicks
      penstock tail clicks --follow --from latest
      penstock tail clicks -f -n 0 --json | jq .data
    """
    from penstock.cli import records

    with connect(endpoint, credentials, cacert, insecure) as client:
        records.tail(
            client, stream, partition=partition, start=start, last=last, follow=follow, as_json=as_json
        )


@app.command()
def token(
    endpoint: Endpoint = DEFAULT_ENDPOINT,
    credentials: CredentialsFile = None,
    cacert: CaCert = None,
    insecure: Insecure = False,
) -> None:
    """Print a token for curl.

    Good for 24 hours, for the project of the credentials: the X-Auth-Token of programs that do not sign.

    \b
    Examples:
      curl -H "X-Auth-Token: $(penstock token)" http://127.0.0.1:20004/v2/PROJECT_ID/streams
    """
    with connect(endpoint, credentials, cacert, insecure) as client:
        print(client.token())


@app.command()
def doctor(
    data: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="A data directory, best of a stopped server.", show_default=False),
    ],
    as_json: AsJson = False,
) -> None:
    """Check a data directory.

    Prints what is found; exit code 0 when nothing is wrong.

    \b
    Examples:
      penstock doctor ./data
      penstock doctor ./data --json
    """
    from penstock.cli.doctor import doctor as check

    raise typer.Exit(check(data, as_json=as_json))


@app.command("dump-segment")
def dump_segment(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A segment file.", show_default=False)],
    records: Annotated[bool, typer.Option("--records", help="Each record of each frame too.")] = False,
) -> None:
    """Show the frames of a segment file.

    A segment is a file of the record log; its bytes are described in docs/log-format.md.

    \b
    Examples:
      penstock dump-segment FILE
      penstock dump-segment FILE --records
    """
    from penstock.cli.doctor import dump_segment as dump

    raise typer.Exit(dump(file, records=records))


@app.command()
def version() -> None:
    """Print the version.

    \b
    Example:
      penstock version
    """
    from penstock import __version__

    print(__version__)
