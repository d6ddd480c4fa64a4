"""Brings drawn Avro files, which fastavro writes, in, and holds staging against what was written: avro.py HIGHWATER [SEED]."""
import datetime
import io
import os
import random
import subprocess
import sys
import tempfile
import uuid
from decimal import Decimal
from pathlib import Path

import fastavro
from deltalake import DeltaTable

UTC = datetime.timezone.utc
CODECS = ["null", "deflate", "snappy", "zstandard", "bzip2"]
# What each column is in Avro, and in a table.
COLUMNS = {
    "id": ("long", "BIGINT"),
    "version": ("long", "BIGINT"),
    "small": (["null", "int"], "INT"),
    "flag": (["boolean", "null"], "BOOLEAN"),
    "single": (["null", "float"], "FLOAT"),
    "ratio": (["null", "double"], "DOUBLE"),
    "name": (["null", "string"], "STRING"),
    "raw": (["null", "bytes"], "BINARY"),
    "kind": (["null", {"type": "enum", "name": "kind", "symbols": ["OPEN", "SHUT"]}], "STRING"),
    "key": (["null", {"type": "string", "logicalType": "uuid"}], "STRING"),
    "amount": (["null", {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}], "DECIMAL(12,2)"),
    "price": (["null", {"type": "fixed", "name": "price", "size": 8, "logicalType": "decimal", "precision": 18, "scale": 4}],
              "DECIMAL(18,4)"),
    "day": (["null", {"type": "int", "logicalType": "date"}], "DATE"),
    "at": (["null", {"type": "long", "logicalType": "timestamp-micros"}], "TIMESTAMP"),
    "seen": (["null", {"type": "long", "logicalType": "timestamp-millis"}], "TIMESTAMP"),
    "tags": (["null", {"type": "array", "items": ["null", "string"]}], "ARRAY<STRING>"),
    "counts": (["null", {"type": "map", "values": "long"}], "MAP<STRING, BIGINT>"),
    "home": (["null", {"type": "record", "name": "home", "fields": [
        {"name": "city", "type": "string"}, {"name": "since", "type": ["null", {"type": "int", "logicalType": "date"}]}]}],
        "STRUCT<city: STRING, since: DATE>"),
}
SCHEMA = {"type": "record", "name": "row", "fields": [
    {"name": name, "type": avro} | ({} if name in ("id", "version") else {"default": None} if avro[0] == "null" else {})
    for name, (avro, _) in COLUMNS.items()]}


def value(draw, name):
    """What is written, and what a table has then."""
    day = datetime.date(1, 1, 1) + datetime.timedelta(days=draw.randint(0, 3_000_000))
    at = datetime.datetime(1970, 1, 1, tzinfo=UTC) + datetime.timedelta(microseconds=draw.randint(-10**16, 10**16))
    word = "".join(draw.choices(["a", "ß", "東", '"', "\n", "🙂", "\0"], k=draw.randint(0, 5)))
    match name:
        case "small": return draw.randint(-2**31, 2**31 - 1)
        case "flag": return draw.random() < 0.5
        case "single": return draw.choice([0.5, -0.0, 2.0**100])
        case "ratio": return draw.choice([draw.uniform(-1e9, 1e9), 1e-300, -0.0])
        case "name": return word
        case "raw": return draw.randbytes(draw.randint(0, 5))
        case "kind": return draw.choice(["OPEN", "SHUT"])
        case "key": return str(uuid.UUID(int=draw.getrandbits(128)))
        case "amount": return Decimal(draw.randint(-10**12 + 1, 10**12 - 1)).scaleb(-2)
        case "price": return Decimal(draw.randint(-10**18 + 1, 10**18 - 1)).scaleb(-4)
        case "day": return day
        case "at": return at
        case "seen": return at.replace(microsecond=at.microsecond // 1000 * 1000)
        case "tags": return [draw.choice([None, word]) for _ in range(draw.randint(0, 3))]
        case "counts": return {word + str(at): draw.randint(-2**63, 2**63 - 1) for at in range(draw.randint(0, 3))}
        case "home": return {"city": word, "since": draw.choice([None, day])}


def main():
    seed = int(sys.argv[2] if len(sys.argv) > 2 else random.randrange(2**32))
    print(f"seed {seed}")
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "raw").mkdir()
        columns = ", ".join(f"{name} {of}" for name, (_, of) in COLUMNS.items())
        (folder / "src.sql").write_text(
            f"CREATE TABLE src ({columns}, source_file STRING, source_row BIGINT, ingest_time TIMESTAMP) USING DELTA")
        pipeline = 'name: avro\nsource: {table: %s, files: {path: "raw/*.avro"}}\ntarget: tgt\nunique_key: id\n' \
            'updated_at: version\nincremental: {mode: changes}\n'
        (folder / "p.yaml").write_text(pipeline % "src, ddl: src.sql")
        ids = iter(range(10**9))
        expected = {}
        for number in range(int(os.environ.get("HIGHWATER_FILES") or 60) // 4):
            rows = []
            for _ in range(draw.choice([0, 1, 40, 9000])):
                id = next(ids)
                row = {name: None if draw.random() < 0.15 else value(draw, name) for name in COLUMNS if name != "id"}
                row["version"] = number
                rows.append({"id": id} | row)
                expected[id] = row
            buffer = io.BytesIO()
            fastavro.writer(buffer, SCHEMA, rows, codec=draw.choice(CODECS), sync_interval=draw.choice([100, 16_000]))
            whole = buffer.getvalue()
            (folder / f"raw/{number}.avro").write_bytes(whole)
        cut = draw.randint(1, 40)
        (folder / "raw/cut.avro").write_bytes(whole[:-cut])
        run = lambda *words: subprocess.run([sys.argv[1], "-c", folder / "p.yaml", *words], capture_output=True, text=True)
        made = run("init")
        assert made.returncode == 0, made
        ingested = run("ingest")
        assert ingested.returncode == 1 and "cut.avro" in ingested.stdout, ingested
        found = {}
        for row in DeltaTable(folder / "src").to_pyarrow_table().to_pylist():
            assert row["source_file"] != "cut.avro"
            found[row["id"]] = {name: row[name] for name in COLUMNS if name != "id"}
        assert found.keys() == expected.keys(), (len(found), len(expected))
        for id, row in expected.items():
            for name, wanted in row.items():
                have = found[id][name]
                if name == "counts" and have is not None:
                    have = dict(have)
                assert have == wanted, f"{id} {name}: {have!r}, not {wanted!r}"
        (folder / "p.yaml").write_text(pipeline.replace("name: avro", "name: other").replace("tgt", "made") % "other")
        (folder / "raw/cut.avro").unlink()
        inferred = {field.name: field.type for field in DeltaTable(folder / "src").schema().fields}
        again = run("init")
        assert again.returncode == 0, again
        made = {field.name: field.type for field in DeltaTable(folder / "other").schema().fields}
        assert made == inferred, (made, inferred)
        print(f"{len(expected)} rows of Avro came in as they were written")


main()
