"""Tests of highwater_dag.py, with a program in highwater's place. ``pytest test_dag.py``; it makes an Airflow home of
its own, with a SQLite database, in a temporary folder."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

# Airflow reads these when it is imported.
HERE = Path(__file__).parent
HOME = tempfile.TemporaryDirectory(prefix="airflow-")
os.environ |= {
    "AIRFLOW_HOME": HOME.name,
    "AIRFLOW__CORE__DAGS_FOLDER": str(HERE),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME.name}/airflow.db",
}
sys.path.insert(0, str(HERE))

from airflow.dag_processing.dagbag import DagBag  # noqa: E402
from airflow.sdk import TaskInstanceState  # noqa: E402
from airflow.sdk.exceptions import AirflowException, AirflowFailException  # noqa: E402
from highwater_dag import HighwaterOperator  # noqa: E402

LOADED = {"format": 1, "command": "run", "status": "loaded", "counts": {"inserted": 2, "updated": 1}}
REJECTED = {"format": 1, "command": "run", "status": "rejected", "reason": "row_count: 0 rows, at least 1"}


def failed(kind: str) -> dict:
    return {"format": 1, "command": "run", "error": {"kind": kind, "message": f"it was {kind}", "hint": "look"}}


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Makes a `highwater` that is found on PATH, of a script that finds its arguments in $arguments."""

    def make(script: str) -> Path:
        path = tmp_path / "highwater"
        path.write_text(f'#!/usr/bin/env bash\necho "$@" >>{tmp_path}/arguments\n{script}\n')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        return tmp_path / "arguments"

    return make


def printing(document: dict, status: int) -> str:
    return f"echo 'a word on stderr' >&2\necho '{json.dumps(document)}'\nexit {status}"


def operator() -> HighwaterOperator:
    return HighwaterOperator(task_id="load", config="orders.yaml", as_of="2025-09-01")


@pytest.fixture(scope="session")
def dag():
    bag = DagBag(dag_folder=str(HERE / "highwater_dag.py"))
    assert bag.import_errors == {}
    assert list(bag.dags) == ["highwater_orders"]
    return bag.dags["highwater_orders"]


def test_the_dag_parses_and_retries_as_the_statuses_want(dag):
    assert dag.catchup is False
    assert dag.max_active_runs == 1
    load = dag.get_task("load")
    assert load.retries == 4
    assert load.retry_exponential_backoff == 2
    assert load.retry_delay == timedelta(minutes=2)


@pytest.mark.parametrize("status", ["loaded", "already_loaded"])
def test_0_returns_the_document(program, status):
    arguments = program(printing(LOADED | {"status": status}, 0))
    assert operator().execute({}) == LOADED | {"status": status}
    assert arguments.read_text() == "-c orders.yaml run --json --as-of 2025-09-01\n"


@pytest.mark.parametrize(
    ("status", "document", "said"),
    [
        (1, REJECTED, "the gate rejected the batch: row_count: 0 rows, at least 1"),
        (2, failed("usage"), r"exit status 2: it was usage \(hint: look\)"),
        (4, failed("person"), r"exit status 4: it was person \(hint: look\)"),
        (70, failed("bug"), r"exit status 70: it was bug \(hint: look\)"),
    ],
)
def test_a_status_that_no_retry_helps_fails_at_once(program, status, document, said):
    program(printing(document, status))
    with pytest.raises(AirflowFailException, match=said):
        operator().execute({})


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (printing(failed("retry"), 3), "exit status 3: it was retry"),
        ("exit 137", "exit status 137: see the log"),
        ("exit 143", "exit status 143: see the log"),
        ("kill -KILL $$", "exit status 137: see the log"),
        ("kill -TERM $$", "exit status 143: see the log"),
        ("echo '{\"half\": '; kill -KILL $$", "exit status 137: see the log"),
    ],
)
def test_a_status_that_a_retry_may_help_is_retried(program, script, said):
    program(script)
    with pytest.raises(AirflowException, match=said) as raised:
        operator().execute({})
    assert not isinstance(raised.value, AirflowFailException)


def test_a_program_that_is_not_there_fails_at_once(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(AirflowFailException, match="cannot start highwater"):
        operator().execute({})


# Takes a second to end, as highwater does at the end of a step, and stops what it started.
STOPS_BY_ITSELF = "trap 'sleep 1; kill $!; echo stopped >&2; exit 143' TERM\nsleep 60 & wait"


def test_a_killed_task_lets_the_program_end_by_itself(program):
    program(STOPS_BY_ITSELF)
    load = operator()
    signal.signal(signal.SIGALRM, lambda *_: load.on_kill())  # as Airflow's task runner does on SIGTERM
    signal.setitimer(signal.ITIMER_REAL, 1)
    with pytest.raises(AirflowException, match="exit status 143"):
        load.execute({})


def test_a_task_out_of_time_leaves_no_program_behind(program):
    class OutOfTime(BaseException):
        pass

    def out_of_time(*_):
        raise OutOfTime

    program(STOPS_BY_ITSELF)
    load = operator()
    signal.signal(signal.SIGALRM, out_of_time)
    signal.setitimer(signal.ITIMER_REAL, 1)
    with pytest.raises(OutOfTime):
        load.execute({})
    assert load._process.returncode == 143


@pytest.fixture(scope="session")
def database():
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True)


@pytest.fixture
def run(dag, database, monkeypatch):
    """Runs the DAG for a day by Airflow itself, with retries that do not wait, and gives the task's end."""

    def go(day: int, **dates):
        monkeypatch.setattr(dag.get_task("load"), "retry_delay", timedelta(0))
        monkeypatch.setattr(dag.get_task("load"), "retry_exponential_backoff", 0)
        dates = dates or {"logical_date": datetime(2025, 9, day, 3, tzinfo=timezone.utc)}
        result = dag.test(**dates)
        (task,) = result.get_task_instances()
        return task

    return go


def test_airflow_keeps_the_document_as_xcom(program, run):
    arguments = program(printing(LOADED, 0))
    task = run(1)
    assert task.state == TaskInstanceState.SUCCESS
    assert task.xcom_pull(task_ids="load") == LOADED
    assert "--as-of 2025-09-01" in arguments.read_text()


def test_airflow_runs_without_a_logical_date_as_of_the_day_that_was_due(program, run):
    arguments = program(printing(LOADED, 0))
    task = run(0, logical_date=None, run_after=datetime(2025, 8, 30, 3, tzinfo=timezone.utc))
    assert task.state == TaskInstanceState.SUCCESS
    assert "--as-of 2025-08-30" in arguments.read_text()


def test_airflow_does_not_retry_a_rejected_batch(program, run):
    arguments = program(printing(REJECTED, 1))
    task = run(2)
    assert task.state == TaskInstanceState.FAILED
    assert len(arguments.read_text().splitlines()) == 1


def test_airflow_retries_until_storage_is_back(program, run):
    program(f"[ $(wc -l <$(dirname $0)/arguments) -lt 3 ] && exit 3\n{printing(LOADED, 0)}")
    task = run(3)
    assert task.state == TaskInstanceState.SUCCESS
    assert task.try_number == 3


def test_airflow_gives_up_after_four_retries(program, run):
    arguments = program("kill -KILL $$")
    task = run(4)
    assert task.state == TaskInstanceState.FAILED
    assert len(arguments.read_text().splitlines()) == 5
