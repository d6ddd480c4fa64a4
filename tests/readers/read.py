"""Reads what highwater wrote by other programs, and holds it against what the rows should be: read.py HIGHWATER [--spark].

Each strategy loads the same drawn days into a target of its own; after each day, and after a rollback, Python's deltalake,
Polars, DuckDB, and if asked for Spark, read it. HIGHWATER_SEED repeats the draws."""
import datetime
import decimal
import glob
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time

import duckdb
import duckdb_extension_delta
import polars
import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder, write_deltalake

STRATEGIES = ["deletion_vectors", "rewrite", "builder"]
DAYS = 12
# A folder's name encodes some of these; a row without a value lies in a partition of its own.
PLACES = ["north", "south", "a/b=c d%e", "Zürich", "x'y\"z", None]
PLAIN = ["north", "south", None]
COLUMNS = {
    "id": ("BIGINT", pa.int64()),
    "place": ("STRING", pa.string()),
    "name": ("STRING", pa.string()),
    "price": ("DECIMAL(18,4)", pa.decimal128(18, 4)),
    "ratio": ("DOUBLE", pa.float64()),
    "day": ("DATE", pa.date32()),
    "flag": ("BOOLEAN", pa.bool_()),
    "small": ("SMALLINT", pa.int16()),
    "bytes": ("BINARY", pa.binary()),
    "at": ("TIMESTAMP", pa.timestamp("us", "UTC")),
}
FIRST = datetime.datetime(2025, 8, 1, 0, 0, 0, 123456, datetime.timezone.utc)


def row(draw, key, at):
    maybe = lambda value: None if draw.random() < 0.1 else value
    return {
        "id": key,
        "place": draw.choice(PLACES),
        "name": maybe(draw.choice(["", "a", "ünï çödé 漢字 🎉", "x" * 300, 'q"uo\'te', "line\nbreak"])),
        "price": maybe(decimal.Decimal(draw.randrange(-10**17, 10**17)).scaleb(-4)),
        "ratio": maybe(draw.choice([0.0, -0.0, 1.5, -1e300, 5e-324, math.inf, -math.inf, math.nan])),
        "day": maybe(datetime.date(1900, 1, 1) + datetime.timedelta(days=draw.randrange(80_000))),
        "flag": maybe(draw.random() < 0.5),
        "small": maybe(draw.randrange(-(2**15), 2**15)),
        "bytes": maybe(bytes(draw.randrange(256) for _ in range(draw.randrange(5)))),
        "at": at,
    }


def make(folder, strategy):
    columns = ", ".join(f"{name} {ddl}" for name, (ddl, _) in COLUMNS.items())
    vectors = "TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')" if strategy == "deletion_vectors" else ""
    with open(f"{folder}/staging.sql", "w") as file:
        file.write(f"CREATE TABLE staging ({columns}) USING DELTA")
    with open(f"{folder}/target.sql", "w") as file:
        file.write(f"CREATE TABLE target ({columns.replace('id BIGINT', 'id BIGINT NOT NULL', 1)}, load_batch_id STRING, loaded_at TIMESTAMP, row_hash STRING, PRIMARY KEY (id)) "
                   f"USING DELTA PARTITIONED BY (place) {vectors}")
    with open(f"{folder}/pipeline.yaml", "w") as file:
        file.write(f"""name: readers
source: {{table: staging, ddl: staging.sql}}
target: {{table: target, ddl: target.sql}}
unique_key: id
updated_at: at
incremental: {{mode: changes}}
merge: {{strategy: {strategy}, purge: {{dead_rows: 20 %, small_files: 3}}}}
""")


def command(highwater, folder, *arguments):
    done = subprocess.run([highwater, "-c", f"{folder}/pipeline.yaml", *arguments, "--json"], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{arguments} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return json.loads(done.stdout)


def by_deltalake(target):
    names = ", ".join(COLUMNS)
    rows = QueryBuilder().register("t", DeltaTable(target)).execute(f"select {names} from t")
    return pa.table(pa.RecordBatchReader.from_stream(rows)).to_pylist()


def by_polars(target):
    return polars.scan_delta(target).select(list(COLUMNS)).collect().to_dicts()


def by_duckdb(target):
    database = duckdb.connect()
    [extension] = glob.glob(f"{os.path.dirname(duckdb_extension_delta.__file__)}/**/*.duckdb_extension", recursive=True)
    database.execute(f"load '{extension}'")
    database.execute("set TimeZone = 'UTC'")
    names = ", ".join(f'"{name}"' for name in COLUMNS)
    return database.sql(f"select {names} from delta_scan('{target}')").to_arrow_table().to_pylist()


def by_spark(target):
    from spark_session import session
    spark = session()
    # Each version anew: Spark keeps a table's snapshot for a while.
    spark.catalog.clearCache()
    rows = spark.sql(f"select {', '.join(f'`{name}`' for name in COLUMNS)} from delta.`{target}`").collect()
    zoned = lambda value: value.replace(tzinfo=datetime.timezone.utc) if isinstance(value, datetime.datetime) else value
    return [{name: zoned(value) for name, value in row.asDict().items()} for row in rows]


READERS = {"deltalake": by_deltalake, "polars": by_polars, "duckdb": by_duckdb}


def alike(rows):
    """Rows by key, with values in one form, whichever library gave them."""
    def plain(value):
        if isinstance(value, float):
            # NaN is not equal to itself, and negative zero is to zero.
            return repr(value)
        if isinstance(value, datetime.datetime):
            return value.astimezone(datetime.timezone.utc).isoformat()
        if isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(value)
        return value
    found = {}
    for row in rows:
        if row["id"] in found:
            raise ValueError(f"key {row['id']} is there twice")
        found[row["id"]] = {name: plain(value) for name, value in row.items()}
    return found


def check(target, whole, when):
    for name, read in READERS.items():
        # Polars 2.1 passes over the deletion vectors of files in folders whose names are encoded.
        read_right = lambda row: name != "polars" or row["place"] in PLAIN
        expected = alike(filter(read_right, whole.values()))
        try:
            found = alike(filter(read_right, read(target)))
        except ValueError as error:
            sys.exit(f"{when}: {name}: {error}")
        for key in expected.keys() | found.keys():
            if found.get(key) != expected.get(key):
                sys.exit(f"{when}: {name} reads {found.get(key)}, and not {expected.get(key)}")


def loads(highwater, strategy, seed):
    draw = random.Random(seed)
    schema = pa.schema([(name, arrow) for name, (_, arrow) in COLUMNS.items()])
    purged = 0
    with tempfile.TemporaryDirectory() as folder:
        make(folder, strategy)
        command(highwater, folder, "init")
        target, expected = f"{folder}/target", {}
        for day in range(1, DAYS + 1):
            before = dict(expected)
            staged = []
            for number in range(draw.choice([5, 200, 3000])):
                key = draw.randrange(4000)
                at = FIRST + datetime.timedelta(days=day, microseconds=number)
                if draw.random() < 0.1:
                    at -= datetime.timedelta(days=draw.randrange(day + 1))
                staged.append(row(draw, key, at))
            for new in staged:
                if new["id"] not in expected or new["at"] > expected[new["id"]]["at"]:
                    expected[new["id"]] = new
            write_deltalake(f"{folder}/staging", pa.Table.from_pylist(staged, schema=schema), mode="append")
            document = command(highwater, folder, "run", "--as-of", f"2025-09-{day:02}")
            purged += "purged" in document
            check(target, expected, f"seed {seed}, {strategy}, day {day}")
            if day in (4, 9):
                command(highwater, folder, "rollback", "--last")
                expected = before
                check(target, expected, f"seed {seed}, {strategy}, day {day} taken back")
                command(highwater, folder, "run", "--as-of", f"2025-09-{day:02}")
                for new in staged:
                    if new["id"] not in expected or new["at"] > expected[new["id"]]["at"]:
                        expected[new["id"]] = new
    if strategy == "deletion_vectors" and not purged:
        sys.exit(f"seed {seed}: nothing was purged")
    print(f"{strategy}: {DAYS} days read alike by {', '.join(READERS)}; {purged} of them purged")


def main():
    if "--spark" in sys.argv:
        # Times come without a zone, in the zone of this process.
        os.environ["TZ"] = "UTC"
        time.tzset()
        READERS["spark"] = by_spark
    seed = int(os.environ.get("HIGHWATER_SEED") or random.randrange(2**32))
    print(f"HIGHWATER_SEED={seed}")
    for strategy in STRATEGIES:
        loads(sys.argv[1], strategy, seed)


main()
