"""Runs the SQL that highwater prints in Spark, and holds its classes and row hashes against a run: spark_sql.py HIGHWATER.

Nested columns have row hashes that DataFusion cannot compute by the printed SQL, and an array is exploded by a LATERAL VIEW.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from spark_session import session

ROWS = [
    {"id": 1, "v": 1, "items": [], "inner": {"d": 1.5, "words": [], "x": -0.0}, "pairs": {"b": [1, None], "a": None}},
    {"id": 2, "v": 1, "items": [{"a": 1, "at": "2025-01-01T00:00:00.5Z"}, {"a": None}, None],
     "inner": {"d": 2.25, "words": ["", "n", "]", None], "x": 0.1, "wall": "2025-01-02T03:04:05"}, "pairs": {}},
    {"id": 3, "v": 1, "items": [None], "inner": None, "pairs": None},
    {"id": 4, "v": 1, "items": None, "inner": {"odd name": "0001-01-01"}, "pairs": {"a": [1], "": [], "ä": None}},
    {"id": 4, "v": 2, "items": [{"a": 7}], "inner": {}, "pairs": {"Z": [1], "a": [2]}},
]
DDL = """CREATE TABLE src (id BIGINT, v BIGINT, items ARRAY<STRUCT<a: INT, at: TIMESTAMP>>,
  inner STRUCT<d: DECIMAL(10,2), words: ARRAY<STRING>, x: DOUBLE, wall: TIMESTAMP_NTZ, `odd name`: DATE>,
  pairs MAP<STRING, ARRAY<BIGINT>>, source_file STRING, source_row BIGINT, ingest_time TIMESTAMP) USING DELTA"""
PIPELINE = """name: nested
source: {table: src, ddl: src.sql, files: {path: "raw/**"}%s}
target: tgt
unique_key: %s
updated_at: v
incremental: {mode: changes}
"""
PIPELINES = {
    "whole": ("", "id", 4),
    "exploded": (", explode: {column: items, as: item, position: place}", "[id, place]", 5),
}


def check(highwater, spark, name):
    explode, key, expected = PIPELINES[name]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "raw").mkdir()
        (folder / "raw/rows.ndjson").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
        (folder / "src.sql").write_text(DDL)
        (folder / "p.yaml").write_text(PIPELINE % (explode, key))
        run = lambda *words: subprocess.run(
            [highwater, "-c", folder / "p.yaml", "--json", *words], check=True, capture_output=True).stdout
        run("init")
        run("ingest")
        classify = json.loads(run("sql"))["classify"]
        for table in ("src", "tgt"):
            spark.read.format("delta").load(str(folder / table)).createOrReplaceTempView(table)
        names = key.strip("[]")
        printed = spark.sql(f"select {names}, __hw_class, __hw_hash from ({classify})").collect()
        counts = json.loads(run("run"))["counts"]
        spark.catalog.clearCache()
        loaded = spark.sql(f"select {names}, row_hash from delta.`{folder / 'tgt'}`").collect()
        assert {tuple(row)[-2] for row in printed} == {"inserted"}, printed
        assert counts["inserted"] == expected == len(printed), (counts, printed)
        printed = {tuple(row)[:-2]: row["__hw_hash"] for row in printed}
        assert printed == {tuple(row)[:-1]: row["row_hash"] for row in loaded}, (printed, loaded)


if __name__ == "__main__":
    spark = session()
    for name in PIPELINES:
        check(sys.argv[1], spark, name)
        print(f"printed SQL, {name}: Spark's classes and row hashes are the run's")
