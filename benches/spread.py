"""A spread day: spread.py make DIR ROWS STAGED writes a target of ROWS rows in 80 month partitions, and STAGED staged
rows of which 7 in 10 update keys all over it, 1 in 10 is new and 2 in 10 repeat another's key; spread.py merge DIR
loads them as a script would: read staging, dedupe in DuckDB, guarded MERGE; spread.py vectors DIR lets the target have
deletion vectors; spread.py same A B compares two targets."""
import sys

import duckdb
import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder, write_deltalake

PAYLOAD = """cast(hash(i) % 1000000 as bigint) as customer_id,
    ['F', 'O', 'P'][cast(hash(i * 5) % 3 as int) + 1] as status, cast((hash(i * 7) % 50000000) / 100.0 as decimal(15, 2)) as amount,
    ['1-URGENT', '2-HIGH', '3-MEDIUM', '4-NOT SPECIFIED', '5-LOW'][cast(hash(i * 11) % 5 as int) + 1] as priority,
    'Clerk#' || lpad((hash(i * 13) % 10000)::varchar, 9, '0') as clerk,
    substr(md5(i::varchar) || md5((i * 3)::varchar), 1, cast(19 + hash(i * 17) % 45 as int)) as note"""
MONTH = "(date '2019-01-01' + to_months(cast(hash(i) % 80 as int)))::date"
PIPELINE = """name: p
source: src
target: tgt
unique_key: id
updated_at: at
incremental: {mode: changes}
as_of: 2025-09-01
"""


def connection():
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    return connection


def rows(sql):
    table = connection().sql(sql).to_arrow_table()
    to_micros = lambda field: field.with_type(pa.timestamp("us", "UTC")) if pa.types.is_timestamp(field.type) else field
    return table.cast(pa.schema([to_micros(field) for field in table.schema]))


def make(folder, number, staged):
    target = rows(f"""select cast(i as bigint) id, {MONTH} as m, cast('2025-08-01' as timestamptz) as at, {PAYLOAD},
        'b0' as load_batch_id, cast('2025-08-01' as timestamptz) as loaded_at, cast(null as varchar) as row_hash
        from range({number}) r(i) order by m, id""")
    write_deltalake(f"{folder}/tgt", target, partition_by=["m"])
    write_deltalake(f"{folder}/src", rows(f"""select cast(i as bigint) id, {MONTH} as m,
        cast('2025-08-20' as timestamptz) + to_seconds(cast(q as int)) as at, {PAYLOAD} from (
            select case when q % 10 < 7 then hash(q) % {number} when q % 10 < 8 then {number} + q
                else hash(q - 3) % {number} end as i, q from range({staged}) r(q))"""))
    with open(f"{folder}/p.yaml", "w") as file:
        file.write(PIPELINE)


def merge(folder):
    staged, target = DeltaTable(f"{folder}/src").to_pyarrow_table(), DeltaTable(f"{folder}/tgt")
    database = connection()
    database.register("staged", staged)
    latest = database.sql("""select * exclude r from (
        select *, row_number() over (partition by id order by "at" desc) as r from staged) where r = 1""").to_arrow_table()
    values = {name: f"s.{name}" for name in latest.column_names}
    merging = target.merge(latest, predicate="t.id = s.id", source_alias="s", target_alias="t")
    merging = merging.when_matched_update(updates=values, predicate="s.at > t.at")
    merging.when_not_matched_insert(updates=values).execute()


def vectors(folder):
    DeltaTable(f"{folder}/tgt").alter.set_table_properties({"delta.enableDeletionVectors": "true"})


def same(one, other):
    database = connection()
    columns = ["id", "m", "at", "customer_id", "status", "amount", "priority", "clerk", "note"]
    for name, folder in (("a", one), ("b", other)):
        # By DataFusion: the other readers of this package know no deletion vectors.
        rows = QueryBuilder().register("t", DeltaTable(f"{folder}/tgt")).execute(f"select {', '.join(columns)} from t")
        database.register(name, pa.table(rows.read_all()))
    lines = database.sql("""select count(*) from (
        (select * from a except all select * from b) union all (select * from b except all select * from a))""")
    [(differing,)] = lines.fetchall()
    if differing:
        sys.exit(f"{differing} rows differ")


if __name__ == "__main__":
    {"make": make, "merge": merge, "vectors": vectors, "same": same}[sys.argv[1]](*sys.argv[2:])
