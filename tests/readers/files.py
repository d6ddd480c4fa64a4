"""Brings drawn CSV and JSON files in, and holds staging against what DuckDB reads of them: files.py HIGHWATER [SEED].

Each file is written in a way of its own: delimiter, quotes, line ends, byte order mark, packing, order of columns, rows that
cannot be read. DuckDB skips those, so the rows that it has must be the rows that came in."""
import csv
import datetime
import gzip
import io
import json
import os
import random
import subprocess
import sys
import tempfile
from decimal import Decimal
from pathlib import Path

import duckdb
from deltalake import DeltaTable, QueryBuilder

COLUMNS = {"id": "BIGINT", "name": "STRING", "amount": "DECIMAL(12,2)", "ratio": "DOUBLE", "day": "DATE", "at": "TIMESTAMP",
           "flag": "BOOLEAN", "small": "INT"}
TYPES = COLUMNS | {"name": "VARCHAR", "at": "TIMESTAMPTZ", "small": "INTEGER"}
PIECES = ["a", "ß", "東", "'", '"', ",", ";", "\t", "|", "\n", "\r\n", " ", "\\", "NULL", "0", "🙂", "{", "]"]
SHOWN = ", ".join('epoch_us("at")' if name == "at" else name for name in COLUMNS)
CASES = int(os.environ.get("HIGHWATER_FILES") or 60)


def value(draw, column):
    if draw.random() < 0.15:
        return None
    match column:
        case "name":
            # One that begins or ends in a space is another text, also to DuckDB, but only in quotes.
            return "".join(draw.choices(PIECES, k=draw.randint(1, 6))).strip() or "x"
        case "amount":
            return str(Decimal(draw.randint(-10**10, 10**10)).scaleb(-draw.choice([0, 1, 2, 3])))
        case "ratio":
            return draw.choice([repr(draw.uniform(-1e9, 1e9)), "1e-300", "-0.0", "12345678901234567890", "1E5"])
        case "day":
            return str(datetime.date(1, 1, 1) + datetime.timedelta(days=draw.randint(0, 3_000_000)))
        case "at":
            time = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=draw.randint(-10**16, 10**16))
            return time.isoformat(draw.choice([" ", "T"])) + draw.choice(["Z", "+02:00", "+00:00"])
        case "flag":
            return draw.choice(["true", "false", "TRUE"])
        case "small":
            return str(draw.randint(-2**31, 2**31 - 1))


def spoilt(draw, row):
    """A row that cannot be read, by both: to DuckDB, a time that is none is NULL, and 1e400 infinite."""
    column, wrong = draw.choice([("amount", "much"), ("amount", "99999999999.99"), ("day", "2025-02-30"),
                                 ("small", "2147483648"), ("flag", "perhaps"), ("ratio", "1.2.3")])
    return row | {column: wrong}


def rows(draw, ids):
    for number in range(draw.choice([0, 1, 50, 700, 9000])):
        row = {"id": str(next(ids))} | {name: value(draw, name) for name in COLUMNS if name != "id"}
        yield spoilt(draw, row) if draw.random() < 0.02 else row


def write_csv(draw, path, ids):
    form = {"delimiter": draw.choice([",", ";", "\t", "|"]), "lineterminator": draw.choice(["\n", "\r\n"]),
            "quoting": draw.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])}
    text = io.StringIO()
    names = draw.sample(list(COLUMNS), len(COLUMNS))
    writer = csv.DictWriter(text, names, **form)
    writer.writeheader()
    for row in rows(draw, ids):
        writer.writerow(row)
    data = text.getvalue().encode()
    if draw.random() < 0.3:
        data = b"\xef\xbb\xbf" + data
    pack(draw, path, data)
    return form["delimiter"], names


def write_json(draw, path, ids):
    lines = []
    for row in rows(draw, ids):
        row = {name: row[name] for name in draw.sample(list(row), len(row))}
        for name in ("id", "small", "flag"):
            # Written as what they are, where they are that.
            if row[name] is not None and row[name].lstrip("-").isdigit():
                row[name] = int(row[name])
            elif row[name] in ("true", "false"):
                row[name] = row[name] == "true"
        if draw.random() < 0.3:
            row = {name: value for name, value in row.items() if value is not None}
        lines.append(json.dumps(row, ensure_ascii=draw.random() < 0.5))
    data = ("[" + ",\n".join(lines) + "]") if ".json" in path.name else "\n".join(lines) + "\n"
    pack(draw, path, data.encode())


def pack(draw, path, data):
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def of_duckdb(path, delimiter, names):
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    if delimiter:
        types = "{" + ", ".join(f"'{name}': '{TYPES[name]}'" for name in names) + "}"
        source = (f"read_csv('{path}', columns = {types}, delim = '{delimiter}', quote = '\"', escape = '\"', header = true, "
                  "auto_detect = false, ignore_errors = true, nullstr = '', max_line_size = 10000000)")
    else:
        types = "{" + ", ".join(f"'{name}': 'VARCHAR'" for name in COLUMNS) + "}"
        kind = "array" if ".json" in path.name else "newline_delimited"
        source = f"(SELECT * FROM read_json('{path}', columns = {types}, format = '{kind}'))"
        casts = [(f'TRY_CAST("{name}" AS {TYPES[name]})', name) for name in COLUMNS]
        lost = " OR ".join(f'("{name}" IS NOT NULL AND {cast} IS NULL)' for cast, name in casts)
        columns = ", ".join(f'{cast} AS "{name}"' for cast, name in casts)
        source = f"(SELECT {columns} FROM {source} WHERE NOT ({lost}))"
    return con.execute(f"SELECT {SHOWN} FROM {source} ORDER BY id").fetchall()


def main():
    highwater = Path(sys.argv[1]).resolve()
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**6)
    print(f"seed {seed}")
    draw, ids = random.Random(seed), iter(range(10**9))
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        ddl = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
        (folder / "staging.sql").write_text(f"CREATE TABLE staging ({ddl}) USING DELTA")
        compared = kept_out = 0
        for case in range(CASES):
            # A pipeline of its own: all of its files are written in one way.
            place = folder / str(case)
            (place / "raw").mkdir(parents=True)
            ending = draw.choice(["csv", "csv", "ndjson", "json"]) + draw.choice(["", ".gz"])
            path = place / "raw" / f"a.{ending}"
            delimiter = names = None
            if ending.startswith("csv"):
                delimiter, names = write_csv(draw, path, ids)
            else:
                write_json(draw, path, ids)
            files = {"path": "raw/*"} | ({"delimiter": delimiter.replace("\t", "\\t")} if delimiter else {})
            config = place / "pipeline.yaml"
            config.write_text(json.dumps({
                "name": "files", "source": {"table": "staging", "ddl": "../staging.sql", "files": files}, "target": "target",
                "unique_key": "id", "updated_at": "at", "incremental": {"mode": "changes"}}))
            for command in ("init", "ingest"):
                done = subprocess.run([highwater, "-c", config, command, "--json"], capture_output=True, text=True)
                assert done.returncode == 0, f"{path}: {done.stdout}{done.stderr}"
            report = json.loads(done.stdout)
            found = QueryBuilder().register("staging", DeltaTable(place / "staging")).execute("SELECT * FROM staging")
            found = found.read_all()
            found = duckdb.sql(f"SELECT {SHOWN} FROM found ORDER BY id").fetchall()
            expected = of_duckdb(path, delimiter, names)
            if found != expected:
                aside = QueryBuilder().register("aside", DeltaTable(place / "ingest_corrupt")).execute("SELECT * FROM aside")
                aside = aside.read_all()
                aside = duckdb.sql("SELECT reason, text FROM aside ORDER BY source_row").fetchall()
                ours, theirs = set(found) - set(expected), set(expected) - set(found)
                ids = {str(row[0]) for row in theirs}
                aside = [row for row in aside if any(number in row[1] for number in ids)]
                sys.exit(f"case {case}, {path.name}: only here {sorted(ours)[:3]}, only there {sorted(theirs)[:3]}, "
                         f"kept aside {aside[:3]}")
            compared, kept_out = compared + len(found), kept_out + report["corrupt_rows"]
        print(f"{CASES} files, {compared} rows as DuckDB reads them, {kept_out} kept aside")
        assert compared > 0 and kept_out > 0


main()
