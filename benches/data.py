"""Tables to be measured on: TPC-H's orders as the target, and a day's rows in staging, for each workload.

Everything is made once per size and workload, from a fixed seed, below a folder that is kept; `copy` gives a table to
write to, whose data files are the kept ones (hard links: no writer changes a file that is there)."""
import json
import os
import shutil
import subprocess
import sys

import duckdb
import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder, write_deltalake

# Scale factors of TPC-H: the targets have 150,000 rows, 1.5, 15 and 60 million.
SCALES = {"XS": 0.1, "S": 1, "M": 10, "L": 40}
# The target, and rows that are staged. Of two sizes that end alike the target is all that differs.
SIZES = {"XS": ("XS", 10_000), "S": ("S", 100_000), "M-S": ("M", 100_000), "M": ("M", 1_000_000), "L-M": ("L", 1_000_000),
         "L": ("L", 3_000_000)}

ROW = """{key} as order_id, {partition}o_custkey as customer_id, {status} as status, {price} as total_price,
    {date} as order_date, o_orderpriority as priority, o_clerk as clerk, o_shippriority as ship_priority, o_comment as comment,
    {at} as updated_at"""
COLUMNS = ["order_id", "customer_id", "status", "total_price", "order_date", "priority", "clerk", "ship_priority", "comment",
           "updated_at"]
LOADED = "timestamptz '2025-08-01'"
CHANGED = "timestamptz '2025-08-20' + to_seconds(cast(hash(o_orderkey, 3) % 80000 as int))"
SAME = {"key": "o_orderkey", "status": "o_orderstatus", "price": "o_totalprice", "date": "o_orderdate"}
UPDATED = {**SAME, "status": "'F'", "price": "cast(o_totalprice + 1 as decimal(15, 2))", "at": CHANGED}
RECENT = "o_orderdate >= date '1997-09-01'"  # 12 of 80 months

# Of the staged rows: updates of which rows, how many in ten; new keys; rows that an update of a second later repeats.
WORKLOADS = {
    "spread": {"updates": 7, "inserts": 1, "repeats": 2, "of": "true"},
    "realistic": {"updates": 7, "inserts": 1, "repeats": 2, "of": RECENT},
    "inserts": {"updates": 0, "inserts": 10, "repeats": 0, "of": "true"},
    "stale": {"updates": 10, "inserts": 0, "repeats": 0, "of": "true", "at": "timestamptz '2025-07-01'"},
    "daily": {"updates": 7, "inserts": 1, "repeats": 2, "of": "true", "by": "order_date"},
    "first": {"first": True},
}
PIPELINE = """name: orders
source: staging
target: target
unique_key: order_id
updated_at: updated_at
incremental: {mode: changes}
as_of: 2025-09-01
"""


def connection():
    database = duckdb.connect()
    database.execute("set TimeZone = 'UTC'")
    database.execute("set preserve_insertion_order = true")
    return database


def in_micros(schema):
    """delta-rs stores timestamps in microseconds with the zone UTC, DuckDB gives them that of the session."""
    of = lambda field: field.with_type(pa.timestamp("us", "UTC")) if pa.types.is_timestamp(field.type) else field
    return pa.schema([of(field) for field in schema])


def write(folder, database, sql, **options):
    reader = database.sql(sql).to_arrow_reader(1_000_000)
    schema = in_micros(reader.schema)
    batches = (pa.table(pa.Table.from_batches([batch])).cast(schema).to_batches()[0] for batch in reader if batch.num_rows)
    write_deltalake(folder, pa.RecordBatchReader.from_batches(schema, batches), **options)


def write_at_once(folder, database, sql, **options):
    """The same, for rows that fit memory: streams of DuckDB and deltalake wait for each other now and then."""
    rows = database.sql(sql).to_arrow_table()
    write_deltalake(folder, rows.cast(in_micros(rows.schema)), **options)


def orders(kept, scale):
    path = f"{kept}/orders-{scale}/orders.parquet"
    if not os.path.exists(path):
        generator = os.path.join(os.path.dirname(sys.executable), "tpchgen-cli")
        factor = str(SCALES[scale])
        subprocess.run([generator, "parquet", "-s", factor, "-T", "orders", "-o", f"{kept}/orders-{scale}", "-q"], check=True)
    return path


def partition_of(workload):
    return WORKLOADS[workload].get("by", "order_month")


def month(date):
    return f"date_trunc('month', {date})::date as order_month, "


def row(workload, **terms):
    terms = {**SAME, **terms}
    partition = month(terms["date"]) if partition_of(workload) == "order_month" else ""
    return ROW.format(partition=partition, **terms)


def staged(workload, path, number):
    """SQL of the staged rows."""
    plan = WORKLOADS[workload]
    part = lambda tenths: number * plan[tenths] // 10
    chosen = f"select * from '{path}' where {plan['of']} order by hash(o_orderkey, 1) limit {part('updates')}"
    update = {**UPDATED, "at": plan.get("at", CHANGED)}
    # Keys beyond those that are there, on recent days.
    new = f"select * from '{path}' where {RECENT} order by hash(o_orderkey, 2) limit {part('inserts')}"
    rows = [
        f"select {row(workload, **update)} from ({chosen})",
        f"select {row(workload, key='o_orderkey + 1000000000', at=CHANGED)} from ({new})",
        f"select {row(workload, **{**update, 'price': 'o_totalprice', 'at': update['at'] + ' + to_seconds(1)'})} "
        f"from (from ({chosen}) limit {part('repeats')})",
    ]
    return f"select * from ({' union all '.join(rows)}) order by hash(order_id, updated_at)"


def make(kept, size, workload):
    """The folder with the tables of a workload, made unless it is there."""
    folder = f"{kept}/{size}-{workload}"
    if os.path.exists(f"{folder}/expected.json"):
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    scale, number = SIZES[size]
    path, by, database = orders(kept, scale), partition_of(workload), connection()
    ours = "'b0' as load_batch_id, {0} as loaded_at, cast(null as varchar) as row_hash".format(LOADED)
    whole = f"select {row(workload, at=LOADED)} from '{path}'"
    if WORKLOADS[workload].get("first"):
        write(f"{folder}/staging", database, f"{whole} order by hash(o_orderkey)")
        target = f"select *, {ours} from ({whole}) limit 0"
        schema = in_micros(database.sql(target).to_arrow_table().schema)
        write_deltalake(f"{folder}/target", pa.table({f.name: pa.array([], f.type) for f in schema}, schema=schema),
                        partition_by=[by])
        query = whole
    else:
        write(f"{folder}/staging", database, staged(workload, path, number))
        target = f"{kept}/target-{scale}-{by}"
        if not os.path.exists(f"{target}/whole"):
            shutil.rmtree(target, ignore_errors=True)
            write(target, database, f"select *, {ours} from ({whole}) order by {by}, order_id", partition_by=[by])
            open(f"{target}/whole", "w").close()
        link(target, f"{folder}/target")
        database.register("s", DeltaTable(f"{folder}/staging").to_pyarrow_table())
        database.execute("create table w as from s qualify row_number() over (partition by order_id order by updated_at desc) = 1")
        columns = ", ".join(COLUMNS)
        database.execute(f"create view t as {whole}")
        query = f"""select {columns} from t anti join (select order_id from w where updated_at > {LOADED}) using (order_id)
            union all select {columns} from w left join (select order_id as there, updated_at as since from t) on order_id = there
            where since is null or updated_at > since"""
    with open(f"{folder}/pipeline.yaml", "w") as file:
        file.write(PIPELINE)
    with open(f"{folder}/expected.json", "w") as file:
        json.dump(fingerprint(database, query), file)
    return folder


def fingerprint(database, query):
    """Number of rows and a sum that any other value would change, whatever the order of rows."""
    [(rows, total)] = database.sql(f"select count(*), sum(hash({', '.join(COLUMNS)})::hugeint) from ({query})").fetchall()
    return [rows, str(total)]


def found(folder):
    """The fingerprint of a target, year by year: deltalake waits forever for more than 500 deletion vectors."""
    database, columns = connection(), ", ".join(COLUMNS)
    rows, total = 0, 0
    for year in range(1992, 1999):
        query = QueryBuilder().register("t", DeltaTable(f"{folder}/target")).execute(
            f"select {columns} from t where order_date between date '{year}-01-01' and date '{year}-12-31'")
        database.register("t", pa.RecordBatchReader.from_stream(query))
        part = fingerprint(database, "select * from t")
        rows, total = rows + part[0], total + int(part[1] or 0)
    return [rows, str(total)]


def link(source, target):
    shutil.copytree(source, target, copy_function=lambda a, b: os.link(a, b), ignore=shutil.ignore_patterns("whole"))


def copy(made, folder, vectors):
    """A copy of a workload's tables to write to; with deletion vectors, if so said."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(made, folder, copy_function=lambda a, b: os.link(a, b))
    if vectors:
        DeltaTable(f"{folder}/target").alter.set_table_properties({"delta.enableDeletionVectors": "true"})
