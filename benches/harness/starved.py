"""A quarter of a core, shared with a busy sibling: does Serin know which samples it made late itself?

The server isn't in the group, so its stamps tell the truth: what a response took beyond the server's own time, from
arrival to answer, was the prober's fault. `compare` sets that against what Serin wrote down of each sample.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

from . import analysis
from .cgroup import NoCgroup, Quota
from .daemons import DAEMONS
from .load import Load
from .processes import Process
from .ruler import Stamps
from .stand import Failed, Figures, Folder, Stand

COLUMNS = (
    *("rate_hz", "throttled", "late", "late_void", "timely_void", "matched"),
    *("false_bad", "untold", "bad_after_s", "cpu_us", "rss_mb"),
)
SHARE = 0.25
# More than this of a response that isn't the server's is the prober's fault; the bound from which a sample is tainted.
LATE_NS = 1_000_000
CLEAN = "clean"
# The last part of the run has an outage of the server, which must be told in spite of all.
_OUTAGE_AT = 0.8
_OUTAGE_S = 10.0


def run(stand: Stand, load: Load, keep: Path | None) -> Figures:
    """Runs it; with `keep`, the stamps and Serin's evidence stay there for a closer look."""
    try:
        quota = Quota(SHARE)
    except NoCgroup as error:
        raise Failed(str(error)) from error
    try:
        with Folder() as folder:
            return _in_group(stand, load, keep, quota, folder)
    finally:
        quota.remove()


def _in_group(stand: Stand, load: Load, keep: Path | None, quota: Quota, folder: Path) -> Figures:
    program = stand.program("serin")
    outage = min(_OUTAGE_S, load.seconds * (1 - _OUTAGE_AT) / 2)
    # The ruler never sleeps here: its own wake-up would be taken for the prober's lateness.
    options = ["--spin"] if not stand.spin else []
    options += [f"--outage-after={load.seconds * _OUTAGE_AT:.0f}s", f"--outage-for={outage * 1e3:.0f}ms"]
    ruler = stand.ruler(folder, int((load.rate_hz or 0) * (load.seconds + 30)) + 10_000, options)
    try:
        load = replace(load, urls=ruler.urls())
        argv = DAEMONS["serin"].argv(program, load, folder)
        prober = Process("prober", argv, stand.generator_core, folder, enter=quota.enter)
        try:
            busy = [sys.executable, "-c", "while True: pass"]
            sibling = Process("sibling", busy, stand.generator_core, folder, enter=quota.enter)
            try:
                begin, before, throttled = time.monotonic_ns(), prober.cpu_s(), quota.throttled()
                time.sleep(load.seconds)
                if not prober.running():
                    raise Failed(f"ended by itself: {prober.complaint()}")
                end, cpu_s = time.monotonic_ns(), prober.cpu_s() - before
                throttled, memory = quota.throttled() - throttled, prober.memory()
            finally:
                # Serin has to end in peace, so that it writes all of its evidence.
                sibling.stop()
        finally:
            prober.stop(30)
    finally:
        stamps, _ = ruler.stop()
        if keep is not None:
            sockets = shutil.ignore_patterns("*.sock")
            shutil.copytree(folder, keep / "starved", ignore=sockets, dirs_exist_ok=True)
    seen = stamps.between(begin, end)
    if not seen.arrived:
        raise Failed("no probe arrived")
    count = len(seen.arrived)
    figures = {
        "rate_hz": count / (end - begin) * 1e9,
        "throttled": throttled / ((end - begin) / 1e8),
        "cpu_us": cpu_s / count * 1e6,
    }
    evidence = folder / "evidence"
    return figures | memory | compare(seen, evidence) | verdicts(seen, evidence)


def compare(stamps: Stamps, evidence: Path) -> Figures:
    """The hook: each sample that Serin kept against the server's stamp of it.

    Told are the share of samples that were late by our fault (`late`), of those the share that Serin voided (`late_void`), and of
    the others the share that it voided needlessly (`timely_void`).
    """
    # What was never sent has no stamp, and a line that counts what was too much to keep is no sample.
    told = [line for line in lines(evidence, "samples*.jsonl") if line.get("outcome")]
    samples = sorted(told, key=lambda sample: sample["mono"])
    samples = [sample for sample in samples if sample["outcome"] not in ("missed", "saturated")]
    pairs = analysis.paired([sample["mono"] for sample in samples], stamps.arrived)
    answered = dict(zip(stamps.arrived, stamps.answered, strict=True))
    late, timely = [], []
    for sample, (due, arrived) in zip(samples, pairs, strict=True):
        if arrived is None:
            continue
        # What of the response the server didn't take was ours: sent late, or read late.
        ours = arrived - due
        if answered[arrived]:
            ours = sample["response_ms"] * 1e6 - (answered[arrived] - arrived)
        void = sample["taint"] != CLEAN or sample["outcome"] == "failed"
        (late if ours > LATE_NS else timely).append(void)
    matched = len(late) + len(timely)
    told = {"matched": float(matched)}
    if matched:
        told["late"] = len(late) / matched
    if late:
        told["late_void"] = sum(late) / len(late)
    if timely:
        told["timely_void"] = sum(timely) / len(timely)
    return told


def verdicts(stamps: Stamps, evidence: Path) -> Figures:
    """What the ledger said: bad verdicts before the server's outage (`false_bad`), and how soon the outage was told."""
    bad = [
        record["mono"]
        for record in lines(evidence, "ledger*.jsonl")
        if record["event"] == "verdict" and record["verdict"] == "bad"
    ]
    outages = stamps.told["outages"]
    if not outages:
        return {"false_bad": float(len(bad))}
    (begin, _end), *_ = outages
    after = [at for at in bad if at >= begin]
    told = {"false_bad": float(len(bad) - len(after)), "untold": 0.0 if after else 1.0}
    return told | ({"bad_after_s": (min(after) - begin) / 1e9} if after else {})


def lines(evidence: Path, pattern: str) -> list[dict]:
    """Every record of the files of this name."""
    return [
        json.loads(line)
        for path in sorted(evidence.rglob(pattern))
        for line in path.read_text().splitlines()
    ]
