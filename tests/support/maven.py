"""Programs in Java: a Maven project, built once outside the checkout, and the command that runs it.

A project is a directory with pom.xml and src/main/java. What it depends on comes from the repositories that Maven is
configured with on this machine.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.support import tools

NEEDS = "Java and Maven: apt-get install -y default-jdk-headless maven"
_CLASSPATH = "classpath.txt"
# Builds and drivers live for seconds: compile little, start with one collector thread.
_LIGHT = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"]


def command(project: Path, main: str, *options: str) -> list[str]:
    """What runs the class `main` of `project`, built if need be: ["java", ..., main]. `options` go to the JVM.

    Without Java or Maven the calling test does not run (mark it `services`).
    """
    java = tools.find("java", needs=NEEDS)
    tools.find("javac", needs=NEEDS)
    maven = tools.find("mvn", needs=NEEDS)

    def build(directory: Path) -> None:
        # The account's home may be missing or read-only; Maven keeps what it fetches below it.
        kept = [] if tools.account_home() else [f"-Dmaven.repo.local={tools.cache_directory() / 'maven'}"]
        flags = f"{os.environ.get('MAVEN_OPTS', '')} {' '.join(_LIGHT)}"
        goals = ["compiler:compile", "dependency:build-classpath", f"-Dmdep.outputFile={_CLASSPATH}"]
        tools.run([maven, "--batch-mode", "--quiet", *kept, *goals], directory, {"MAVEN_OPTS": flags})

    directory = tools.built(f"maven-{project.name}", project, build, check=_complete)
    jars = (directory / _CLASSPATH).read_text().strip()
    return [java, *_LIGHT, "-Xmx256m", *options, "-cp", f"{directory / 'target/classes'}:{jars}", main]


def _complete(directory: Path) -> bool:
    """Whether the jars that were fetched are still there."""
    classpath = directory / _CLASSPATH
    return classpath.is_file() and all(
        Path(jar).is_file() for jar in classpath.read_text().strip().split(":") if jar
    )
