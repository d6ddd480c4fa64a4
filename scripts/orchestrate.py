#!/usr/bin/env python3
"""Runs a load as an orchestrator's task would: orchestrate.py -c FILE [--as-of DATE]"""
import json, os, subprocess, sys, time

HIGHWATER = os.environ.get("HIGHWATER", "highwater")

for attempt in range(5):
    if attempt:  # running it again is always safe: it finishes what was begun, or finds it done
        time.sleep(2**attempt)
    run = subprocess.run([HIGHWATER, "run", "--json", *sys.argv[1:]], stdout=subprocess.PIPE)
    crashed = run.returncode < 0 or run.returncode > 128  # killed: out of memory, say, or a node taken away
    if run.returncode != 3 and not crashed:
        break

report = json.loads(run.stdout or "{}")
if run.returncode == 0:  # "loaded", or "already_loaded" where an earlier attempt had got through
    counts = report["counts"]
    print(f"{report['status']}: {counts['inserted']} inserted, {counts['updated']} updated, "
          f"watermark {report['watermark']['after']}")
elif run.returncode == 1:  # don't retry: the same rows would be rejected again
    print(f"rejected: {report['reason']}")
else:  # 2, 4, 70: call a person; 3 or a crash: it kept happening
    error = report.get("error", {"message": "see the log", "hint": None})
    print(f"failed with exit status {run.returncode}: {error['message']} (hint: {error['hint']})")
sys.exit(run.returncode if run.returncode >= 0 else 128 - run.returncode)
