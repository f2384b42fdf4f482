"""What a generator is asked to do, and what it then says of itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Load:
    """One load for any tool. No rate: as fast as it can over its connections."""

    urls: list[str]
    rate_hz: float | None
    seconds: float
    connections: int
    fresh: bool = False
    ca: Path | None = None
    timeout_s: float = 1.0
    # Only Serin's: its coalescing quantum, and whether TLS sessions may be resumed.
    quantum: str = "0s"
    resume: bool = False

    @property
    def spread_hz(self) -> float:
        """The rate of one URL."""
        return (self.rate_hz or 0.0) / len(self.urls)


@dataclass(frozen=True)
class Reported:
    """A tool's own account; absent where it gives none."""

    p95_us: float | None = None
    p99_us: float | None = None
    attempts: int | None = None
    missed: int | None = None
    # Samples that the tool itself doesn't trust: only Serin has such.
    void: int | None = None
    failures: dict[str, int] = field(default_factory=dict)
