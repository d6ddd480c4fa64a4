"""The merge shapes that duckrun publishes for itself (https://djouallah.github.io/duckrun/merge-benchmark.html), on the same
rows: TPC-H's lineitem at scale factor 10, not partitioned: scorecard.py --highwater PROGRAM --data FOLDER [--scale 10]."""
import argparse
import json
import os
import shutil
import subprocess
import sys

import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder

import compare
import data

PIPELINE = """name: lineitem
source: staging
target: target
unique_key: [l_orderkey, l_linenumber]
updated_at: l_updated
incremental: {mode: changes}
"""
FIRST = "timestamptz '2025-08-01'"
SHIFT = 1_000_000_000
# Each builds on the one before. Of all rows, how many in a hundred; SQL of what is staged; seconds that are asked for.
STEPS = {
    "upsert": (1, "case when hash(l_orderkey, 5) % 5 = 0 then l_orderkey + {shift} else l_orderkey end", "l_shipdate", 1, 10),
    "insert": (5, "l_orderkey + {shift} + {shift}", "date '2035-01-01'", 2, 4),
    "update": (5, "l_orderkey", "l_shipdate", 3, 20),
    # The rows of the step before once more, to be looked up and found as they are.
    "update again": (5, "l_orderkey", "l_shipdate", 3, 1),
}


def lineitem(kept, scale):
    path = f"{kept}/lineitem-{scale}/lineitem.parquet"
    if not os.path.exists(path):
        generator = os.path.join(os.path.dirname(sys.executable), "tpchgen-cli")
        subprocess.run([generator, "parquet", "-s", scale, "-T", "lineitem", "-o", f"{kept}/lineitem-{scale}", "-q"], check=True)
    return path


def staged(path, step):
    hundredths, key, shipped, number, _ = STEPS[step]
    at = f"{FIRST} + to_days({number})"
    return f"""select * replace ({key.format(shift=SHIFT)} as l_orderkey, {shipped} as l_shipdate, 'step {number}' as l_comment),
        {at} as l_updated from '{path}' where hash(l_orderkey, l_linenumber, {number}) % 100 < {hundredths}"""


def fingerprint(database, query):
    return database.sql(f"select count(*), sum(hash(l_orderkey, l_linenumber, l_shipdate, l_comment, l_updated)::hugeint) from ({query})").fetchall()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--highwater", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--scale", default="10")
    options = parser.parse_args()
    path, database = lineitem(options.data, options.scale), data.connection()
    folder, base = f"{options.data}/scorecard", f"{options.data}/target-lineitem-{options.scale}"
    whole = f"select *, {FIRST} as l_updated from '{path}'"
    if not os.path.exists(f"{base}/whole"):
        shutil.rmtree(base, ignore_errors=True)
        data.write(base, database, f"select *, 'b0' as load_batch_id, {FIRST} as loaded_at, cast(null as varchar) as row_hash from ({whole})")
        open(f"{base}/whole", "w").close()
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    data.link(base, f"{folder}/target")
    DeltaTable(f"{folder}/target").alter.set_table_properties({"delta.enableDeletionVectors": "true"})
    with open(f"{folder}/pipeline.yaml", "w") as file:
        file.write(PIPELINE)
    measured = {}
    database.execute(f"create view t as {whole}")
    for number, step in enumerate(STEPS):
        data.write_at_once(f"{folder}/staging", database, staged(path, step), **({"mode": "append"} if number else {}))
        if number == 0:
            subprocess.run([options.highwater, "-c", f"{folder}/pipeline.yaml", "init", "-q"], check=True)
        subprocess.run(["sync"], check=True)
        run = [options.highwater, "-c", f"{folder}/pipeline.yaml", "run", "-q", "--as-of", f"2025-09-{number + 1:02}"]
        measured[step] = compare.timed(run)
        measured[step]["asked"] = STEPS[step][-1]
        measured[f"{step}, run again"] = compare.timed(run)
        print(step, measured[step], measured[f"{step}, run again"]["wall"], flush=True)
    # The latest of each key, of the rows that were there and those that were staged.
    steps = " union all ".join(staged(path, step) for step in list(STEPS)[:3])
    database.execute(f"create table s as select * from ({steps}) qualify row_number() over "
                     "(partition by l_orderkey, l_linenumber order by l_updated desc) = 1")
    expected = fingerprint(database, "select * from t anti join s using (l_orderkey, l_linenumber) union all by name select * from s")
    rows = QueryBuilder().register("t", DeltaTable(f"{folder}/target")).execute(
        "select l_orderkey, l_linenumber, l_shipdate, l_comment, l_updated from t")
    database.register("found", pa.RecordBatchReader.from_stream(rows))
    found = fingerprint(database, "select * from found")
    if found != expected:
        sys.exit(f"the target is not what it should be: {found}, not {expected}")
    os.makedirs(f"{compare.HERE}/results/more", exist_ok=True)
    with open(f"{compare.HERE}/results/more/scorecard-{options.scale}.json", "w") as file:
        json.dump({"scale": options.scale, "machine": compare.machine(), "measured": measured}, file, indent=1)
        file.write("\n")
    shutil.rmtree(folder)


main()
