"""What users load with elsewhere, a process each: others.py NAME FOLDER."""
import os
import sys

import duckdb
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

LATEST = "from staged qualify row_number() over (partition by order_id order by updated_at desc) = 1"


def latest(folder):
    database = duckdb.connect()
    database.execute("set TimeZone = 'UTC'")
    database.register("staged", DeltaTable(f"{folder}/staging").to_pyarrow_table())
    return database.sql(LATEST).to_arrow_table()


def script(folder):
    """Python's deltalake: read staging, dedupe in DuckDB, guarded MERGE."""
    rows = latest(folder)
    values = {name: f"s.{name}" for name in rows.column_names}
    merging = DeltaTable(f"{folder}/target").merge(rows, "t.order_id = s.order_id", source_alias="s", target_alias="t")
    merging = merging.when_matched_update(updates=values, predicate="s.updated_at > t.updated_at")
    merging.when_not_matched_insert(updates=values).execute()


def polars(folder):
    """Polars: the same by its own reading and write_delta."""
    import polars as pl

    rows = pl.scan_delta(f"{folder}/staging").sort("updated_at").unique("order_id", keep="last").collect(engine="streaming")
    values = {name: f"s.{name}" for name in rows.columns}
    merging = rows.write_delta(f"{folder}/target", mode="merge", delta_merge_options={
        "predicate": "t.order_id = s.order_id", "source_alias": "s", "target_alias": "t"})
    merging = merging.when_matched_update(updates=values, predicate="s.updated_at > t.updated_at")
    merging.when_not_matched_insert(updates=values).execute()


def merge_by_sql(spark, folder):
    names = [field.name for field in DeltaTable(f"{folder}/staging").schema().fields]
    spark.sql(f"""merge into delta.`{folder}/target` t using (
          select {", ".join(names)} from (
            select *, row_number() over (partition by order_id order by updated_at desc) as n from delta.`{folder}/staging`
          ) where n = 1
        ) s on t.order_id = s.order_id
        when matched and s.updated_at > t.updated_at then update set {", ".join(f"t.{name} = s.{name}" for name in names)}
        when not matched then insert ({", ".join(names)}) values ({", ".join(f"s.{name}" for name in names)})""").collect()


def spark(folder):
    """Spark with Delta, on this machine: the same in SQL. Its start is in its time, as it is in a job's."""
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "readers"))
    from spark_session import session

    merge_by_sql(session(), folder)


def sail(folder):
    """Sail, which takes Spark's place: the same SQL, its server in the same process."""
    from pysail.spark import SparkConnectServer
    from pyspark.sql import SparkSession

    server = SparkConnectServer()
    server.start()
    merge_by_sql(SparkSession.builder.remote(f"sc://localhost:{server.listening_address[1]}").getOrCreate(), folder)
    # Its server does not end by itself.
    os._exit(0)


def antijoin(folder):
    """DuckDB by hand, where all rows are new: those whose keys are not there, appended."""
    database = duckdb.connect()
    database.execute("set TimeZone = 'UTC'")
    database.register("staged", DeltaTable(f"{folder}/staging").to_pyarrow_table())
    files = [uri for uri in DeltaTable(f"{folder}/target").file_uris()]
    database.execute(f"create view t as select order_id from read_parquet({files!r})")
    rows = database.sql(f"select * from ({LATEST}) anti join t using (order_id)").to_arrow_table()
    target = DeltaTable(f"{folder}/target")
    schema = pa.schema(target.schema().to_arrow())
    columns = [rows[f.name].cast(f.type) if f.name in rows.column_names else pa.nulls(len(rows), f.type) for f in schema]
    write_deltalake(target, pa.table(columns, schema=schema), mode="append")


def plain(folder):
    """A first load without any of what a load is for: sort, and write."""
    database = duckdb.connect()
    database.execute("set TimeZone = 'UTC'")
    database.register("staged", DeltaTable(f"{folder}/staging").to_pyarrow_table())
    target = DeltaTable(f"{folder}/target")
    schema = pa.schema(target.schema().to_arrow())
    rows = database.sql("from staged order by order_month, order_id").to_arrow_table()
    columns = [rows[f.name].cast(f.type) if f.name in rows.column_names else pa.nulls(len(rows), f.type) for f in schema]
    write_deltalake(target, pa.table(columns, schema=schema), mode="append")


def duckdb_native(folder):
    """DuckDB's MERGE into a table of its own, which `native` made: an outside mark, not a Delta table."""
    database = duckdb.connect(f"{folder}/native.duckdb")
    database.execute("set TimeZone = 'UTC'")
    database.register("staged", DeltaTable(f"{folder}/staging").to_pyarrow_table())
    database.execute(f"""merge into target t using ({LATEST}) s on t.order_id = s.order_id
        when matched and s.updated_at > t.updated_at then update
        when not matched then insert""")
    database.close()


def native(folder):
    database = duckdb.connect(f"{folder}/native.duckdb")
    database.execute("set TimeZone = 'UTC'")
    files = DeltaTable(f"{folder}/target").file_uris()
    columns = ", ".join(f.name for f in DeltaTable(f"{folder}/staging").schema().fields)
    database.execute(f"create table target as select {columns} from read_parquet({files!r}, hive_partitioning = true)")
    database.close()


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2])
