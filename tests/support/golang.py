"""Programs in Go: a module, built once outside the checkout. What it depends on is fetched by Go as configured here."""

from __future__ import annotations

from pathlib import Path

from tests.support import tools

NEEDS = "Go 1.18 or later: apt-get install -y golang-go (or put it in /usr/local/go)"
_BINARY = "program"


def command(module: Path) -> list[str]:
    """What runs the program in `module`, a directory with go.mod, go.sum and package main; built if need be.

    Without Go the calling test does not run (mark it `services`).
    """
    go = tools.find("go", "/usr/local/go/bin/go", needs=NEEDS)

    def build(directory: Path) -> None:
        environment = {"GOWORK": "off"}
        if tools.home() is None:
            # Go refuses to work without a place for its caches.
            kept = tools.cache_directory() / "go"
            environment |= {"GOPATH": f"{kept / 'path'}", "GOCACHE": f"{kept / 'build'}"}
        tools.run([go, "build", "-mod=readonly", "-o", _BINARY, "."], directory, environment)

    directory = tools.built(f"go-{module.name}", module, build)
    return [str(directory / _BINARY)]
