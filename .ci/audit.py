#!/usr/bin/env python3
"""Known vulnerabilities of what requirements.txt locks, as PyPI tells them. Arguments go on to pip-audit.

One that is known is a failure. Where the service does not answer, that is said and is none: a build must not depend on
somebody else's server, and must not call that clean which nobody has looked at either.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent.parent
SECONDS = 240


def main() -> int:
    with tempfile.TemporaryDirectory() as place:
        report = Path(place) / "report.json"
        given = sys.argv[1:] or ["--requirement", str(HERE / "requirements.txt")]
        command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--progress-spinner=off"]
        command += ["--format=json", f"--output={report}", "--timeout=15", *given]
        try:
            done = subprocess.run(  # noqa: S603 - the program is ours, the arguments are the caller's
                command, capture_output=True, text=True, timeout=SECONDS, check=False
            )
            said = done.stderr.strip()
        except subprocess.TimeoutExpired:
            said = f"no answer in {SECONDS} seconds"
        told: list[dict[str, Any]] = json.loads(report.read_text())["dependencies"] if report.exists() else []
    looked_at = [each for each in told if "skip_reason" not in each]
    known = [(each, vulnerability) for each in looked_at for vulnerability in each["vulns"]]
    for each, vulnerability in known:
        mended = ", ".join(vulnerability["fix_versions"]) or "no version yet"
        sys.stdout.write(f"{each['name']} {each['version']}: {vulnerability['id']}, mended in {mended}\n")
    if known:
        return 1
    if not looked_at:
        if not told and not re.search(r"(?i)connection|timed? ?out|no answer|resolve", said):
            sys.stderr.write(f"{said}\nThe audit did not work: see the lines above.\n")
            return 2
        why = "knows none of the packages" if told else "did not answer"
        sys.stdout.write(f"NOT AUDITED: the service of advisories {why}.\n")
        return 0
    unknown = f"; {len(told) - len(looked_at)} are not known there" if len(looked_at) < len(told) else ""
    sys.stdout.write(f"No known vulnerability in {len(looked_at)} packages{unknown}.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
