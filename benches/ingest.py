"""CSV into staging: ingest.py --highwater PROGRAM --data FOLDER [--rows 5000000] [--rounds 5].

Takes turns with DuckDB's COPY of the same file to one Parquet file, compressed by zstd as ours are, and by its default. Each
result is held against the other."""
import argparse
import os
import shutil
import statistics
import sys

import duckdb

import compare

PIPELINE = """name: shop
source:
  table: lake/staging
  files: {path: raw/*.csv}
target: lake/orders
unique_key: order_id
updated_at: updated_at
incremental: {mode: changes}
"""

ROWS = """SELECT i AS order_id, DATE '2025-01-01' + (i % 240)::INT AS order_date,
  TIMESTAMP '2025-09-01' + INTERVAL (i % 86400) SECOND AS updated_at,
  'customer number ' || (i * 7919 % 1000003) AS customer, (i % 100000) / 100.0 AS amount,
  ['new', 'paid', 'sent', 'returned'][1 + i % 4] AS state,
  'a remark that is as long as such remarks are, ' || i AS remark
FROM range({rows}) t(i)"""

COPY = "COPY (SELECT * FROM read_csv('{raw}')) TO '{to}' (FORMAT parquet{more})"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--highwater", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    folder = f"{options.data}/ingest"
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(f"{folder}/raw")
    raw = f"{folder}/raw/orders.csv"
    duckdb.sql(f"COPY ({ROWS.format(rows=options.rows)}) TO '{raw}' (HEADER)")
    with open(f"{folder}/p.yaml", "w") as file:
        file.write(PIPELINE)
    print(f"{options.rows:,} rows, {os.path.getsize(raw) / 1e6:.0f} MB of CSV")
    command = [options.highwater, "-c", f"{folder}/p.yaml"]
    took = {"ingest": [], "COPY, zstd": [], "COPY": []}
    for _ in range(options.rounds):
        shutil.rmtree(f"{folder}/lake", ignore_errors=True)
        compare.timed([*command, "init", "-q"])
        took["ingest"].append(compare.timed([*command, "ingest", "-q"]))
        for name, more in [("COPY, zstd", ", COMPRESSION zstd"), ("COPY", "")]:
            sql = COPY.format(raw=raw, to=f"{folder}/out.parquet", more=more)
            took[name].append(compare.timed([sys.executable, "-c", f'import duckdb; duckdb.sql("""{sql}""")']))
    ours, theirs = [f"SELECT count(*), sum(order_id), sum(amount), count(DISTINCT customer), max(updated_at)::TIMESTAMP FROM '{path}'"
                    for path in (f"{folder}/lake/staging/*.parquet", f"{folder}/out.parquet")]
    found, expected = (duckdb.sql(query).fetchall()[0] for query in (ours, theirs))
    assert found[:2] == expected[:2] and found[3] == expected[3] and abs(found[2] - expected[2]) < 1, (found, expected)
    wall = {name: statistics.median(run["wall"] for run in runs) for name, runs in took.items()}
    for name, runs in took.items():
        peak = statistics.median(run["peak_mib"] for run in runs)
        ratio = "" if name == "ingest" else f"   ingest takes {wall['ingest'] / wall[name]:.2f} times as long"
        print(f"{name:12} {wall[name]:6.2f} s {peak:7.0f} MiB{ratio}")
    shutil.rmtree(folder)


main()
