"""Loads the staging tables that Spark wrote (tests/fixtures/spark), and holds the target against what Spark reads of them:
spark_staging.py HIGHWATER [NAME …].

Each case loads a copy of its table, a second time to no effect, or is refused in the words that it says. Then some of the
tables are the target, of which a load changes one row. Needs no Spark."""
import datetime
import decimal
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable, Field, QueryBuilder, write_deltalake

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures" / "spark"
# A second run on another day would be another batch.
os.environ["HIGHWATER_CLOCK"] = "2025-09-01T00:10:00Z"
LOADED = {"load_batch_id", "loaded_at", "row_hash"}
MAPPED = "`whole name` STRING, `a,b;c{d}(e)=f` INT, `the part` STRING, gone BIGINT, `full name` STRING"
VECTORS = "name STRING, price DECIMAL(10,2)"
TYPES = ("ts TIMESTAMP, ntz TIMESTAMP_NTZ, day DATE, price DECIMAL(38,10), cents DECIMAL(9,2), tiny TINYINT, small SMALLINT, "
         "whole INT, big BIGINT, real FLOAT, ratio DOUBLE, flag BOOLEAN, bytes BINARY, name STRING, short STRING")
FEATURES = "price DECIMAL(10,2), counter BIGINT, day DATE, status STRING"
PARTITIONED_TYPES = ("at TIMESTAMP, local TIMESTAMP_NTZ, price DECIMAL(18,4), flag BOOLEAN, tiny TINYINT, ratio DOUBLE, "
                     "number BIGINT")
PIPELINE = "name: spark\nsource: staging\n{}\nunique_key: id\nupdated_at: updated_at\n{}\n"
WITH_VECTORS = "TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')"
WITH_NAMES = "TBLPROPERTIES ('delta.columnMapping.mode' = 'name')"
NO_WIDENING = ("init", 2, "cannot read table `staging`: it has the feature `typeWidening`")
# A table, and the target's columns but for key and version. What there may be beside them: `ddl`, the end of the target's
# DDL; `yaml`, more of the pipeline file; `refused`, the command that ends so, its exit status and a part of its message;
# `first`, the version of staging that is loaded before the whole, and `left`, the keys that staging no longer has then.
CASES = [
    ("partitioned", "place STRING, day DATE", {}),
    ("partitioned", "place STRING, day DATE", {"ddl": "PARTITIONED BY (place, day)", "first": 1}),
    ("partitioned_types", PARTITIONED_TYPES, {}),
    ("partitioned_types", PARTITIONED_TYPES, {"ddl": "PARTITIONED BY (at, local, price, flag, tiny, number)"}),
    ("vectors", VECTORS, {}),
    ("vectors", VECTORS, {"ddl": WITH_VECTORS, "first": 2, "left": {2, 4, 7, 14, 20, 21, 28, 32, 34, 35, 36, 38, 40}}),
    ("vectors", VECTORS, {"first": 3, "left": {2, 4, 20, 32, 34, 36, 38, 40}}),
    ("cdf", "name STRING", {}),
    ("cdf", "name STRING", {"first": 1}),
    ("mapped", MAPPED, {}),
    ("mapped", MAPPED, {"ddl": f"PARTITIONED BY (`the part`) {WITH_NAMES}"}),
    # `gone` is another column by then, of another type.
    ("mapped", "`a,b;c{d}(e)=f` INT", {"first": 1, "refused": ("run", 2, "does not fit the quarantine `target_bad`: it is STRING there")}),
    ("mapped_id", "`whole name` STRING", {"refused": ("init", 2, "`staging` has column mapping by id")}),
    ("mapped_later", "new STRING", {}),
    ("clustered", "place STRING, day DATE", {}),
    ("clustered", "place STRING, day DATE", {"first": 2}),
    ("types", TYPES, {}),
    ("types", TYPES, {"ddl": WITH_VECTORS}),
    ("checkpointed", "name STRING", {}),
    ("checkpoint_v2", "name STRING", {}),
    ("features", FEATURES, {}),
    ("features", FEATURES, {"first": 2, "yaml": "incremental: {column: day}\nas_of: 2025-08-05"}),
    ("widened", "number BIGINT, real DOUBLE, price DECIMAL(20,4), day TIMESTAMP_NTZ", {"refused": NO_WIDENING}),
    ("variant", "name STRING", {"refused": ("init", 2, "column `extra`: type variant is not supported")}),
    ("nested", "name STRING", {}),
]
# Tables that are a target too, and the strategies by which one row of them is changed.
TARGETS = [
    ("partitioned", ["builder", "rewrite"]),
    ("partitioned_types", ["builder", "rewrite"]),
    ("vectors", ["builder", "rewrite", "deletion_vectors"]),
    ("types", ["builder", "rewrite"]),
    ("checkpointed", ["builder", "rewrite"]),
]


def text(value):
    """A value in the form that it has in NAME.json."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, decimal.Decimal):
        return f"{value:f}"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime.datetime):
        zone = "Z" if value.tzinfo else ""
        return value.replace(tzinfo=None).isoformat(timespec="microseconds") + zone
    return None if value is None else str(value)


def select(table, columns, where=""):
    return pa.table(QueryBuilder().register("t", DeltaTable(table)).execute(f"select {columns} from t {where}"))


def read(target):
    names = [field.name for field in DeltaTable(target).schema().fields if field.name not in LOADED]
    rows = select(target, ", ".join(f'"{name}"' for name in names)).to_pylist()
    return names, sorted(({name: text(value) for name, value in row.items()} for row in rows), key=lambda row: int(row["id"]))


def stage(name, folder, version=None):
    """Lays the table as staging, as it was at a version."""
    shutil.rmtree(folder / "staging", ignore_errors=True)
    shutil.copytree(FIXTURES / name, folder / "staging")
    for path in (folder / "staging/_delta_log").glob("*.json"):
        if version is not None and int(path.name[:20]) > version:
            path.unlink()


def make(folder, columns, ddl="", yaml="incremental: {mode: changes}"):
    (folder / "target.sql").write_text(
        f"CREATE TABLE target (id BIGINT NOT NULL, updated_at TIMESTAMP NOT NULL, {columns}, load_batch_id STRING, "
        f"loaded_at TIMESTAMP, row_hash STRING, PRIMARY KEY (id)) USING DELTA {ddl}")
    (folder / "pipeline.yaml").write_text(PIPELINE.format("target: {table: target, ddl: target.sql}", yaml))


def wrong(highwater, folder, name, columns, refused=None, first=None, left=frozenset(), **how):
    """What went otherwise than it should, if anything did."""
    make(folder, columns, **how)
    # When each command should end with which status; the first load is of an earlier version, if there is one.
    whole = [("run", "loaded"), ("run", "already_loaded")]
    steps = [("init", None)] + ([("run", "loaded")] if first is not None else []) + whole
    stage(name, folder, first)
    for number, (command, ends) in enumerate(steps):
        if number == 2 and first is not None:
            stage(name, folder)
        done = subprocess.run([highwater, "-c", folder / "pipeline.yaml", command, "--json"], capture_output=True, text=True)
        said = done.stdout + done.stderr
        if done.returncode != 0:
            right = refused and refused[:2] == (command, done.returncode) and refused[2] in said
            return None if right else f"`{command}` ended with {done.returncode}: {said}"
        if ends and json.loads(done.stdout)["status"] != ends:
            return f"`{command}` says {json.loads(done.stdout)['status']}, and not {ends}"
    if refused:
        return "it was not refused"
    names, found = read(folder / "target")
    expected = [{name: row[name] for name in names} for row in spark(name)]
    lost = [key for key in sorted(left) if str(key) not in {row["id"] for row in found}]
    if lost:
        return f"keys that staging had are gone: {lost}"
    kept = {row["id"] for row in expected}
    return unlike([row for row in found if row["id"] in kept or int(row["id"]) not in left], expected) or unreadable(folder)


def unreadable(folder):
    """The tables that Spark does not open, as their protocol lacks what their schema has."""
    for name in "target", "target_bad":
        table = DeltaTable(folder / name)
        protocol = table.protocol()
        if protocol.min_writer_version == 7 and not all(field.nullable for field in table.schema().fields) and "invariants" not in protocol.writer_features:
            return f"`{name}` has NOT NULL columns, but not the feature `invariants`: {protocol.writer_features}"


def spark(name):
    return json.loads((FIXTURES / f"{name}.json").read_text())


def unlike(found, expected):
    """The first difference."""
    for row, other in itertools.zip_longest(found, expected, fillvalue={}):
        if row != other:
            differ = [name for name in {**row, **other} if row.get(name) != other.get(name)]
            return f"id {(row or other)['id']} has {[(name, row.get(name)) for name in differ]}, and not {[(name, other.get(name)) for name in differ]}"


def wrong_as_target(highwater, folder, name, strategy):
    """The same of a load of one row, its first, of a version that is higher by a day."""
    stage(name, folder)
    (folder / "staging").rename(folder / "target")
    [first, *others] = spark(name)
    columns = ", ".join(f'"{column}"' for column in first if column != "updated_at")
    newer = select(folder / "target", f"{columns}, updated_at + interval '1 day' as updated_at", f"where id = {first['id']}")
    write_deltalake(folder / "staging", newer)
    DeltaTable(folder / "target").alter.add_columns([Field("load_batch_id", "string"), Field("loaded_at", "timestamp"), Field("row_hash", "string")])
    (folder / "pipeline.yaml").write_text(PIPELINE.format("target: target", f"incremental: {{mode: changes}}\nmerge: {{strategy: {strategy}}}"))
    for command in "init", "run":
        done = subprocess.run([highwater, "-c", folder / "pipeline.yaml", command, "--json"], capture_output=True, text=True)
        if done.returncode != 0:
            return f"`{command}` ended with {done.returncode}: {done.stdout}{done.stderr}"
    at = datetime.datetime.fromisoformat(first["updated_at"]) + datetime.timedelta(days=1)
    return unlike(read(folder / "target")[1], [{**first, "updated_at": text(at)}, *others])


def main():
    highwater, *chosen = sys.argv[1:]
    tests = [(name, name, wrong, {"columns": columns, **how}) for name, columns, how in CASES]
    tests += [(name, f"{name} as target, {strategy}", wrong_as_target, {"strategy": strategy}) for name, strategies in TARGETS for strategy in strategies]

    def tried(test):
        name, title, problem, how = test
        with tempfile.TemporaryDirectory() as folder:
            return title, problem(highwater, Path(folder), name, **how)

    failed = False
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for title, problem in pool.map(tried, [test for test in tests if not chosen or test[0] in chosen]):
            failed |= problem is not None
            print(f"{title}: {problem or 'as it should be'}", flush=True)
    sys.exit(failed)


main()
