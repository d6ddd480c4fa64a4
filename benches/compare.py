"""Measures loads beside what users load with elsewhere: compare.py measure … | table. See scripts/bench --help."""
import argparse
import datetime
import glob
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import data

HERE = os.path.dirname(os.path.abspath(__file__))
STRATEGIES = ["deletion_vectors", "rewrite", "builder"]
# Beside the strategies: what each workload is held against, the first being what ratios are to.
BESIDE = {"first": ["plain"], "inserts": ["script", "antijoin"]}
# Files that make the removal of a copy show in the next measurement.
MANY = 1000
# What is held against nothing else: others would have to merge where there is nothing to merge with.
ALONE = {"first"}


def timed(command, environment=None):
    """Seconds, processor seconds and peak memory of a process."""
    # By a program between: a child starts with the memory of the process that made it, and this one has read tables.
    with tempfile.NamedTemporaryFile("r") as used:
        timer = ["/usr/bin/time", "-f", "%e %U %S %M", "-o", used.name, *command]
        done = subprocess.run(timer, env={**os.environ, **(environment or {})}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)} failed:\n{done.stdout.decode()}")
        wall, user, system, peak = map(float, used.read().split())
    return {"wall": wall, "cpu": round(user + system, 2), "peak_mib": round(peak / 1024)}


def files(folder):
    below = glob.glob(f"{folder}/target/**/*", recursive=True)
    return {path: os.stat(path).st_size for path in below if os.path.isfile(path)}


def removed(folder, since):
    """Files that commits after a version took out, but for those that they added again, with a vector."""
    gone = set()
    for name in sorted(os.listdir(f"{folder}/target/_delta_log")):
        if name.endswith(".json") and name[0].isdigit() and int(name[:-5]) > since:
            actions = [json.loads(line) for line in open(f"{folder}/target/_delta_log/{name}")]
            added = {action["add"]["path"] for action in actions if "add" in action}
            gone |= {action["remove"]["path"] for action in actions if "remove" in action} - added
    return len(gone)


def one(contender, made, folder, highwater, memory):
    """One measured load into a fresh copy, held against what DuckDB computed; and against the memory it may use, in MiB."""
    ours = contender in STRATEGIES
    data.copy(made, folder, contender == "deletion_vectors")
    if ours:
        timed([highwater, "-c", f"{folder}/pipeline.yaml", "init", "-q"])
    if contender == "duckdb_native":
        timed([sys.executable, f"{HERE}/others.py", "native", folder])
    before, version = files(folder), data.DeltaTable(f"{folder}/target").version()
    subprocess.run(["sync"], check=True)
    if len(before) > MANY:
        # ext4 goes around inodes that were freed a moment ago, and the copy before this one had as many.
        time.sleep(6)
    run = [highwater, "-c", f"{folder}/pipeline.yaml", "run", "-q"]
    if ours:
        limit = {"HIGHWATER__MEMORY": f"{memory} MiB"} if memory else {}
        measured = timed(run, {"HIGHWATER__MERGE__STRATEGY": contender, **limit})
        if memory and measured["peak_mib"] > memory:
            sys.exit(f"{contender} took {measured['peak_mib']} MiB, where it may take {memory}")
        measured["again"] = timed(run)
    else:
        measured = timed([sys.executable, f"{HERE}/others.py", contender, folder])
    new = {path: size for path, size in files(folder).items() if path not in before}
    measured["written_mib"] = round(sum(new.values()) / 2**20, 1)
    measured["files_rewritten"] = removed(folder, version)
    if contender != "duckdb_native":
        expected = json.load(open(f"{folder}/expected.json"))
        found = data.found(folder)
        if found != expected:
            sys.exit(f"{contender}: the target is not what it should be: {found}, not {expected}")
    return measured


def measure(options):
    version = subprocess.run([options.highwater, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    os.makedirs(f"{HERE}/results", exist_ok=True)
    for workload in options.workloads:
        made = data.make(options.data, options.size, workload)
        contenders = BESIDE.get(workload, ["script"]) + options.strategies + ([] if workload in ALONE else options.beside)
        if options.memory:
            contenders = options.strategies
        measured = {contender: [] for contender in contenders}
        with tempfile.TemporaryDirectory(dir=options.data) as folder:
            for _ in range(1 if options.memory else options.rounds):
                for contender in contenders:
                    measured[contender].append(one(contender, made, f"{folder}/tables", options.highwater, options.memory))
                    show(workload, contender, measured[contender][-1])
        if options.memory:
            continue
        about = {"size": options.size, "workload": workload, "highwater": version, "machine": machine(),
                 "date": str(datetime.date.today())}
        with open(f"{HERE}/results/{options.size}-{workload}.json", "w") as file:
            json.dump({**about, "measured": measured}, file, indent=1)
            file.write("\n")


def machine():
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB"


def show(workload, contender, measured):
    print(f"{workload:10} {contender:17} {measured['wall']:7.2f} s {measured['cpu']:7.2f} s of CPU "
          f"{measured['peak_mib']:6.0f} MiB {measured['written_mib']:6.0f} MiB written", flush=True)


def table(_):
    """The results as a table in docs/performance.md, between its marks: a line a workload."""
    order = {name: at for at, name in enumerate(data.WORKLOADS)}
    found = [json.load(open(path)) for path in glob.glob(f"{HERE}/results/*.json")]
    found.sort(key=lambda result: (list(data.SIZES).index(result["size"]), order[result["workload"]]))
    lines = ["| size, workload | beside | `deletion_vectors` | `rewrite` | `builder` | the same again |", "|---|---|---|---|---|---:|"]
    for result in found:
        measured = result["measured"]
        median = lambda name, key: statistics.median(round[key] for round in measured[name])
        first = median(next(iter(measured)), "wall")
        cell = lambda name: f"{median(name, 'wall'):.2f} s, {median(name, 'peak_mib'):,.0f} MiB"
        ratio = lambda name: f"**{median(name, 'wall') / first:.2f}** " + cell(name) if name in measured else "–"
        beside = [f"{name} {cell(name)}" for name in measured if name not in STRATEGIES]
        again = [round["again"]["wall"] for rounds in measured.values() for round in rounds if "again" in round]
        cells = ["; ".join(beside), ratio("deletion_vectors"), ratio("rewrite"), ratio("builder"), f"{statistics.median(again):.2f} s"]
        lines.append(f"| {result['size']} {result['workload']} | {' | '.join(cells)} |")
    path = f"{HERE}/../docs/performance.md"
    text = open(path).read()
    begin, end = "<!-- results -->\n", "<!-- end of results -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        sys.exit(f"{path} lacks the marks of its table")
    with open(path, "w") as file:
        file.write(text.split(begin)[0] + begin + "\n" + "\n".join(lines) + "\n\n" + end + text.split(end)[1])


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(required=True)
    measuring = commands.add_parser("measure")
    measuring.set_defaults(do=measure)
    measuring.add_argument("--highwater", required=True)
    measuring.add_argument("--data", required=True)
    measuring.add_argument("--size", choices=data.SIZES, default="M")
    measuring.add_argument("--rounds", type=int, default=3)
    split = lambda text: [name for name in text.split(",") if name]
    measuring.add_argument("--workloads", type=split, default=list(data.WORKLOADS))
    measuring.add_argument("--strategies", type=split, default=STRATEGIES)
    measuring.add_argument("--beside", type=split, default=[])
    measuring.add_argument("--memory", type=int)
    commands.add_parser("table").set_defaults(do=table)
    options = parser.parse_args()
    options.do(options)


if __name__ == "__main__":
    main()
