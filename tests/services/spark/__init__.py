"""Apache Spark with Iceberg, in a virtual environment of its own in the cache of tools. Needs Java 17 and Maven; the first use fetches
450 MB."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support import maven, tools

PYSPARK = "3.5.9"
ICEBERG = "1.12.0"
_RUNTIME = f"iceberg-spark-runtime-3.5_2.12-{ICEBERG}.jar"
_SECONDS = 300
_READ = """
import json, sys
from pyspark.sql import SparkSession
jar, metadata, query = sys.argv[1:]
spark = (SparkSession.builder.master("local[1]").config("spark.jars", jar).config("spark.ui.enabled", "false")
    .config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1")
    .config("spark.sql.session.timeZone", "UTC").config("spark.driver.memory", "512m").getOrCreate())
spark.sparkContext.setLogLevel("ERROR")
spark.read.format("iceberg").load(metadata).createOrReplaceTempView("t")
answer = spark.sql(query)
print("\\n" + json.dumps([answer.schema.simpleString(), [json.loads(row) for row in answer.toJSON().collect()]]))
spark.stop()
"""


def query(metadata: str, sql: str) -> tuple[str, list[dict[str, Any]]]:
    """What Spark answers about the table `t` with that metadata file: its types and the rows."""
    java = Path(tools.find("java", needs=maven.NEEDS)).resolve()
    home = _installed()
    done = subprocess.run(
        [home / "bin" / "python", "-c", _READ, home / _RUNTIME, metadata, sql],
        env=os.environ
        | {"JAVA_HOME": str(java.parent.parent), "PYSPARK_PYTHON": str(home / "bin" / "python")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    types, rows = json.loads(done.stdout.splitlines()[-1])
    return types, rows


def _installed() -> Path:
    mvn = tools.find("mvn", needs=maven.NEEDS)
    home = tools.cache_directory() / f"spark-{PYSPARK}-iceberg-{ICEBERG}"
    with home.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "ready").exists():
            tools.run([sys.executable, "-m", "venv", str(home)], home.parent)
            python = str(home / "bin" / "python")
            tools.run([python, "-m", "pip", "install", "-q", f"pyspark=={PYSPARK}", "setuptools"], home)
            kept = [] if tools.account_home() else [f"-Dmaven.repo.local={tools.cache_directory() / 'maven'}"]
            artifact = f"org.apache.iceberg:iceberg-spark-runtime-3.5_2.12:{ICEBERG}"
            goal = ["dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={home}"]
            tools.run([mvn, "--batch-mode", "--quiet", *kept, *goal], home)
            (home / "ready").touch()
    return home
