"""A run that has nothing to do, over logs of many commits: logs.py --highwater PROGRAM --data FOLDER [--commits 10000].

Target and staging have as many commits each, staging's with a file of one row each, behind a checkpoint."""
import argparse
import datetime
import json
import os
import shutil
import statistics
import subprocess

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

import compare

AT = datetime.datetime(2025, 8, 1, tzinfo=datetime.timezone.utc)
PIPELINE = """name: p
source: staging
target: target
unique_key: id
updated_at: at
incremental: {mode: changes}
as_of: 2025-09-01
"""


def lengthen(table, commits):
    """Adds commits to a table of one, each with a file like the first commit's, if that has one."""
    log = f"{table}/_delta_log"
    with open(f"{log}/{0:020}.json") as entry:
        adds = [action["add"] for action in map(json.loads, entry) if "add" in action]
    for version in range(1, commits + 1):
        info = {"timestamp": 1754000000000 + version, "operation": "WRITE", "operationParameters": {"mode": "Append"}}
        actions = [{"commitInfo": info}]
        for add in adds:
            path = f"part-{version}.parquet"
            os.link(f"{table}/{add['path']}", f"{table}/{path}")
            actions.append({"add": {**add, "path": path}})
        with open(f"{log}/{version:020}.json", "w") as entry:
            entry.write("\n".join(map(json.dumps, actions)))
    DeltaTable(table).create_checkpoint()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--highwater", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--commits", type=int, default=10_000)
    options = parser.parse_args()
    folder, at = f"{options.data}/logs", pa.timestamp("us", "UTC")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    staged = pa.table({"id": pa.array([1], pa.int64()), "at": pa.array([AT], at), "x": ["a"]})
    write_deltalake(f"{folder}/staging", staged)
    own = {"load_batch_id": pa.array(["b"]), "loaded_at": pa.array([AT], at), "row_hash": pa.array([None], pa.string())}
    write_deltalake(f"{folder}/target", pa.table({**dict(zip(staged.column_names, staged.columns)), **own}).slice(0, 0))
    for name in ["staging", "target"]:
        lengthen(f"{folder}/{name}", options.commits)
    with open(f"{folder}/pipeline.yaml", "w") as file:
        file.write(PIPELINE)
    command = [options.highwater, "-c", f"{folder}/pipeline.yaml"]
    subprocess.run([*command, "init", "-q"], check=True)
    print("first load", compare.timed([*command, "run", "-q"]))
    again = [compare.timed([*command, "run", "-q"]) for _ in range(5)]
    print(f"the same again: {statistics.median(run['wall'] for run in again):.2f} s, the median of {again}")
    shutil.rmtree(folder)


main()
