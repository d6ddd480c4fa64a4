"""Thirty days of updates all over a target, by deletion vectors, with purging and without: what the loads take, and what a
reader pays in the end: days.py --highwater PROGRAM --data FOLDER [--size M] [--days 30]."""
import argparse
import glob
import json
import os
import shutil
import statistics
import subprocess
import time

import duckdb
import duckdb_extension_delta
from deltalake import DeltaTable, WriterProperties

import compare
import data

PURGES = {"purged": "{}", "never": "{dead_rows: 100 %, small_files: 0}"}
ROUNDS = 5


def staged(path, scale, number, day):
    """SQL of the rows of a day: as on a spread day, of other rows each day."""
    at = f"{data.CHANGED} + to_days({day})"
    # Some of every million, by a hash: as many as on a spread day, all but exactly.
    part = lambda rows, of, salt: f"hash(o_orderkey, {salt + day}) % 1000000 < {rows * 1_000_000 // of}"
    orders = 1_500_000 * data.SCALES[scale]
    changed = f"select * from '{path}' where {part(number * 7 // 10, orders, 100)}"
    new = f"select * from '{path}' where {data.RECENT} and {part(number * 8 // 10, orders, 200)}"
    update = {**data.UPDATED, "at": at}
    return f"""select {data.row('spread', **update)} from ({changed}) union all
        select {data.row('spread', key=f'o_orderkey + {day * 1_000_000_000}', at=at)} from ({new}) union all
        select {data.row('spread', **{**update, 'at': at + ' + to_seconds(1)'})} from ({changed}) where hash(o_orderkey, 7) % 7 < 2"""


def reader():
    database = data.connection()
    [extension] = glob.glob(os.path.join(os.path.dirname(duckdb_extension_delta.__file__), "**/*.duckdb_extension"), recursive=True)
    database.execute(f"load '{extension}'")
    return database


def timed(database, sql):
    """The median of some reads, and what they found."""
    took = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        found = database.sql(sql).fetchall()
        took.append(time.perf_counter() - begun)
    return statistics.median(took), found


def read(table, keys):
    database = reader()
    rows = f"delta_scan('{table}')"
    scan, found = timed(database, f"select count(*), sum(total_price), epoch_us(max(updated_at)), sum(hash(order_id, status)::hugeint) from {rows}")
    lookups = [timed(database, f"select columns(* exclude (load_batch_id, loaded_at, row_hash))::varchar from {rows} where order_id = {key}") for key in keys]
    return {"scan": scan, "lookup": statistics.median(took for took, _ in lookups)}, [found, [row for _, row in lookups]]


def days(options, purge):
    scale, number = data.SIZES[options.size]
    path = data.orders(options.data, scale)
    made = data.make(options.data, options.size, "spread")
    folder = f"{options.data}/days-{purge}"
    data.copy(made, folder, True)
    shutil.rmtree(f"{folder}/staging")
    with open(f"{folder}/pipeline.yaml", "w") as file:
        file.write(data.PIPELINE.replace("as_of: 2025-09-01\n", f"merge: {{purge: {PURGES[purge]}}}\n"))
    loads, database = [], data.connection()
    for day in range(1, options.days + 1):
        mode = {"mode": "append"} if day > 1 else {}
        data.write_at_once(f"{folder}/staging", database, staged(path, scale, number, day), **mode)
        if day == 1:
            subprocess.run([options.highwater, "-c", f"{folder}/pipeline.yaml", "init", "-q"], check=True)
        subprocess.run(["sync"], check=True)
        run = [options.highwater, "-c", f"{folder}/pipeline.yaml", "run", "-q", "--as-of", f"2025-09-{day:02}"]
        loads.append(compare.timed(run))
        print(f"{purge} day {day}: {loads[-1]}", flush=True)
    table = DeltaTable(f"{folder}/target")
    return folder, {
        "loads": loads,
        "files": len(table.file_uris()),
        "mib": round(sum(table.get_add_actions(flatten=True).column("size_bytes").to_pylist()) / 2**20),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--highwater", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--size", choices=data.SIZES, default="M")
    parser.add_argument("--days", type=int, default=30)
    options = parser.parse_args()
    # Before a table with vectors is written by others, which may wait forever.
    found = {purge: days(options, purge) for purge in PURGES}
    keys = [key for (key,) in duckdb.sql(f"select o_orderkey from '{data.orders(options.data, data.SIZES[options.size][0])}' "
                                         "order by hash(o_orderkey, 9) limit 5").fetchall()]
    clean = f"{options.data}/days-clean"
    shutil.rmtree(clean, ignore_errors=True)
    columns = f"select * from delta_scan('{found['purged'][0]}/target') order by order_month, order_id"
    # By the codec that highwater appends with.
    codec = WriterProperties(compression="ZSTD", compression_level=1)
    data.write_at_once(clean, reader(), columns, partition_by=["order_month"], writer_properties=codec)
    measured = {purge: about for purge, (_, about) in found.items()}
    same = []
    for name, table in [("clean", clean), *((purge, f"{folder}/target") for purge, (folder, _) in found.items())]:
        took, rows = read(table, keys)
        measured.setdefault(name, {}).update(took)
        same.append(rows)
    if any(rows != same[0] for rows in same):
        raise SystemExit("the tables do not hold the same rows")
    for name in PURGES:
        about = measured[name]
        print(f"{name}: loads {sum(load['wall'] for load in about['loads']):.1f} s, peak {max(load['peak_mib'] for load in about['loads'])} MiB, "
              f"{about['files']} files of {about['mib']} MiB; scan {about['scan'] / measured['clean']['scan']:.2f}, "
              f"lookup {about['lookup'] / measured['clean']['lookup']:.2f} times that of a clean table")
    os.makedirs(f"{compare.HERE}/results/more", exist_ok=True)
    with open(f"{compare.HERE}/results/more/days-{options.size}.json", "w") as file:
        json.dump({"size": options.size, "days": options.days, "machine": compare.machine(), "measured": measured}, file, indent=1)
        file.write("\n")
    for folder, _ in found.values():
        shutil.rmtree(folder)
    shutil.rmtree(clean)


main()
