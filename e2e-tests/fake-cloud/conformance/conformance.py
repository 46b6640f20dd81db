"""Runs Alibaba's own SDKs against the fake cloud, records what they send, and compares with the recordings kept.

The recordings are replayed by the fake's own tests, which need no Python. `--record` replaces them.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import traceback
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

# Each adds its cases to the list.
from cases import acr, faults, library, sts  # noqa: F401
from check import CASES
from fake import Fake
from sdk import speak_http

HERE = Path(__file__).resolve().parent
RECORDINGS = HERE / "recordings"
STATE = HERE.parent / "examples" / "two-accounts.yaml"


def verdicts(recording: list[dict[str, Any]]) -> list[str]:
    """What must be the same in every run: who was asked for what, and the answer."""
    lines = []
    for request in recording:
        names = " ".join(sorted(name for name, _ in parse_qsl(request.get("query", ""), keep_blank_values=True)))
        lines.append(
            f"{request['method']} {request['path']} {request['region']} {request.get('action', '-')} ({names})"
            f" -> {request['status']} {request.get('code', 'ok')}"
        )
    return lines


def difference(name: str, recording: list[dict[str, Any]]) -> str | None:
    """How a run differs from the recording kept, if it does."""
    file = RECORDINGS / f"{name}.json"
    if not file.exists():
        return "it is not recorded: run `make conformance-record`"
    kept, now = verdicts(json.loads(file.read_text())), verdicts(recording)
    if kept == now:
        return None
    lines = [*(f"  - {line}" for line in kept), *(f"  + {line}" for line in now)]
    return "\n".join(["it differs from its recording:", *lines])


def run(fake: Fake, record: bool) -> tuple[int, int]:
    """Runs all cases; how many passed and failed."""
    passed = failed = 0
    for case in CASES:
        name = case.__name__
        fake.admin("POST", "reset")
        problem = None
        try:
            case(fake)
        except Exception as error:  # Whatever goes wrong is that case's failure, not the run's.
            problem = str(error) if isinstance(error, AssertionError) else traceback.format_exc()
        recording = fake.admin("GET", "requests")
        if problem is None and record:
            (RECORDINGS / f"{name}.json").write_text(json.dumps(recording, indent=1) + "\n")
        elif problem is None:
            problem = difference(name, recording)
        if problem is None:
            passed += 1
            print(f"ok      {name}")
        else:
            failed += 1
            print(f"FAILED  {name}\n{problem}")
    return passed, failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fake", type=Path, required=True, help="the program")
    parser.add_argument("--record", action="store_true", help="replace the recordings by this run's")
    arguments = parser.parse_args()
    # A proxy of the environment must not come between, nor credentials of the environment in.
    for name in [name for name in os.environ if name.lower().endswith("_proxy") or name.startswith("ALIBABA_CLOUD_")]:
        del os.environ[name]
    # The credentials library logs every refusal several times over; refusals are what half of the cases are about.
    logging.disable()
    speak_http()
    if arguments.record:
        RECORDINGS.mkdir(exist_ok=True)
        for file in RECORDINGS.glob("*.json"):
            file.unlink()
    kept = {file.stem for file in RECORDINGS.glob("*.json")} - {case.__name__ for case in CASES}
    with Fake(arguments.fake, STATE) as fake:
        passed, failed = run(fake, arguments.record)
    for name in sorted(kept):
        failed += 1
        print(f"FAILED  {name}\nthere is a recording, but no such case: run `make conformance-record`")
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
