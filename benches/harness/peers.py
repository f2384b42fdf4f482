"""The peers: found, or built from what is pinned, or said not to be here."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .machine import ROOT, said

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "serin"
OHA_VERSION = "1.16.0"
_GO_PACKAGES = {
    "vegeta": "github.com/tsenart/vegeta/v12",
    "cloudprober": "github.com/cloudprober/cloudprober/cmd/cloudprober",
    "blackbox_exporter": "github.com/prometheus/blackbox_exporter",
}


@dataclass(frozen=True)
class Peer:
    """A program, or why there is none."""

    name: str
    program: Path | None
    version: str
    why_not: str = ""


def find(name: str, say: Callable[[str], None]) -> Peer:
    """The peer; a failure to get it is said, and never ends the run."""
    try:
        if name in _GO_PACKAGES:
            return _go(name, say)
        return {"serin": _serin, "wrk": _debian, "hey": _debian, "oha": _oha, "wrk2": _wrk2}[name](
            name, say
        )
    except (OSError, subprocess.CalledProcessError) as error:
        return Peer(name, None, "", f"can't be had: {error}")


def serin_at(program: Path) -> Peer:
    """A Serin that was built elsewhere, as it is shipped for example."""
    return Peer("serin", program.resolve(), said(str(program), "--version"))


def _serin(name: str, say: Callable[[str], None]) -> Peer:
    say("building serin")
    subprocess.run(["cargo", "build", "--release", "--bin", "serin"], cwd=ROOT, check=True)
    program = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "release" / "serin"
    return Peer(name, program, said(str(program), "--version"))


def _debian(name: str, say: Callable[[str], None]) -> Peer:
    program = shutil.which(name)
    if program is None and os.geteuid() == 0 and shutil.which("apt-get"):
        say(f"apt-get install {name}")
        env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update"], ["install", "-y", "--no-install-recommends", name]):
            subprocess.run(["apt-get", "-qq", *command], env=env, check=True, stdout=subprocess.DEVNULL)
        program = shutil.which(name)
    if program is None:
        return Peer(name, None, "", "not here: only root on Debian can have it installed")
    return Peer(name, Path(program), said("dpkg-query", "-W", "-f", "${Version}", name))


def _wrk2(name: str, _say: Callable[[str], None]) -> Peer:
    program = os.environ.get("WRK2") or shutil.which("wrk2")
    if program is None:
        return Peer(name, None, "", "not here: Debian has none; put it on PATH or set WRK2")
    return Peer(name, Path(program).resolve(), said(program, "-v"))


def _oha(name: str, say: Callable[[str], None]) -> Peer:
    root = CACHE / f"oha-{OHA_VERSION}"
    program = root / "bin" / "oha"
    if not program.exists():
        say(f"cargo install oha {OHA_VERSION} (once: some minutes)")
        with tempfile.TemporaryDirectory(prefix="serin-oha-") as scratch:
            subprocess.run(
                ["cargo", "install", name, "--locked", "--version", OHA_VERSION, "--root", str(root)],
                env=os.environ | {"CARGO_TARGET_DIR": scratch},
                check=True,
            )
    return Peer(name, program, OHA_VERSION)


def _go(name: str, say: Callable[[str], None]) -> Peer:
    """Built once for each state of its pinned go.mod and go.sum."""
    source = ROOT / "benches" / "peers" / name
    digest = hashlib.sha256()
    for file in ("go.mod", "go.sum"):
        digest.update((source / file).read_bytes())
    program = CACHE / f"{name}-{digest.hexdigest()[:16]}"
    version = _pinned(source / "go.mod", _GO_PACKAGES[name])
    if not program.exists():
        if shutil.which("go") is None:
            return Peer(name, None, "", "not here: go, which builds it, is missing")
        say(f"building {name} (once: up to some minutes)")
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            work = Path(folder) / "source"
            shutil.copytree(source, work)
            built = Path(folder) / "built"
            package = _GO_PACKAGES[name]
            subprocess.run(
                ["go", "build", "-mod=mod", "-trimpath", "-ldflags=-s -w", "-o", str(built), package],
                cwd=work,
                env=os.environ | {"GOFLAGS": "-buildvcs=false", "CGO_ENABLED": "0"},
                check=True,
            )
            built.rename(program)
    return Peer(name, program, version)


def _pinned(go_mod: Path, package: str) -> str:
    for line in go_mod.read_text().splitlines():
        words = line.removeprefix("require ").split()
        if len(words) >= 2 and package.startswith(words[0]):
            return words[1]
    return "not known"
