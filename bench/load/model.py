"""What every load generator hands back. It must not know which one ran."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Load:
    """One run of a load.

    `records` were acknowledged (put) or delivered (get, to all consumers together) in `seconds`;
    `generator_cpu` seconds were spent by the generator in `generator_wall` seconds of life.
    Latencies are per request. `handled`: records the server took in the whole time, where that is more than what was
    measured (a run that warms up); 0: the same. `wrong` lists what was not as it had to be; empty means all was checked.
    """

    records: int
    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    generator_cpu: float
    generator_wall: float
    wrong: list[str] = field(default_factory=list)
    notes: dict[str, float] = field(default_factory=dict)
    handled: int = 0

    @property
    def rate(self) -> float:
        """Records per second."""
        return self.records / self.seconds if self.seconds else 0.0

    @property
    def idle(self) -> float:
        """The share of its time that the generator did nothing, 0 to 1."""
        return max(0.0, 1.0 - self.generator_cpu / self.generator_wall) if self.generator_wall else 0.0
