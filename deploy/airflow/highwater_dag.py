"""A daily load as an Airflow 3 DAG, with an operator that knows what highwater's exit statuses say of a retry.

The worker needs the program on its PATH, and the pipeline file that HIGHWATER_CONFIG names.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.sdk import DAG, BaseOperator, Context
from airflow.sdk.exceptions import AirflowException, AirflowFailException

TRY_AGAIN = 3
STOPS_WITHIN = 30  # seconds after SIGTERM; highwater promises 25


class HighwaterOperator(BaseOperator):
    """Runs ``highwater run --json`` and returns the document that it prints, which becomes the task's XCom.

    A run that may do better next time raises AirflowException: exit status 3, and any end by a signal. All else that
    is not 0 raises AirflowFailException, after which Airflow does not retry: 1, 2, 4, 70, and a program that is not
    there.

    :param config: the pipeline file
    :param as_of: the logical date. By default the day in UTC for which the DAG runs; of a run without a logical date,
        such as one that an asset started, the day that it was due. A cron schedule's logical date in Airflow 3 is the
        moment at which it is due, no longer a day before.
    :param binary: the program
    """

    template_fields: Sequence[str] = ("config", "as_of")

    def __init__(
        self,
        *,
        config: str,
        as_of: str = "{{ (dag_run.logical_date or dag_run.run_after) | ds }}",
        binary: str = "highwater",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.config = config
        self.as_of = as_of
        self.binary = binary
        self._process: subprocess.Popen[str] | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        command = [self.binary, "-c", self.config, "run", "--json", "--as-of", self.as_of]
        try:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        except OSError as error:
            raise AirflowFailException(f"cannot start {self.binary}: {error}") from error
        self._process = process
        talk = threading.Thread(target=self._log, args=(process,), daemon=True)
        talk.start()
        try:
            stdout = process.stdout.read()
            status = process.wait()
        except BaseException:  # the task's timeout: a program left behind would go on beside the retry
            self._stop(process)
            raise
        talk.join(timeout=STOPS_WITHIN)
        return self._judge(status, stdout)

    def on_kill(self) -> None:
        # Called by a signal handler in the midst of execute, which goes on to wait for the program's end.
        if self._process is not None:
            self._process.terminate()

    def _log(self, process: subprocess.Popen[str]) -> None:
        for line in process.stderr:
            self.log.info(line.rstrip("\n"))

    @staticmethod
    def _stop(process: subprocess.Popen[str]) -> None:
        process.terminate()
        try:
            process.wait(timeout=STOPS_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @staticmethod
    def _judge(status: int, stdout: str) -> dict[str, Any]:
        if status < 0:  # as a shell would say it: 137 of SIGKILL, 143 of SIGTERM
            status = 128 - status
        try:
            document = json.loads(stdout)
        except ValueError:  # nothing was printed before it was killed, say
            document = {}
        if status == 0:
            return document
        if status == 1:
            raise AirflowFailException(f"the gate rejected the batch: {document.get('reason')}")
        error = document.get("error") or {"message": "see the log"}
        message = f"highwater ended with exit status {status}: {error['message']}"
        if error.get("hint"):
            message += f" (hint: {error['hint']})"
        if status == TRY_AGAIN or status > 128:
            raise AirflowException(message)
        raise AirflowFailException(message)


with DAG(
    dag_id="highwater_orders",
    description="Loads staging_orders into fact_orders",
    schedule="0 3 * * *",
    start_date=datetime(2025, 9, 1, tzinfo=timezone.utc),
    # One run of today also takes what came in on days that were missed. A day again by hand: with its logical date.
    catchup=False,
    max_active_runs=1,
    default_args={
        "retries": 4,
        "retry_delay": timedelta(minutes=2),
        "retry_exponential_backoff": 2,
        "max_retry_delay": timedelta(minutes=30),
        "execution_timeout": timedelta(hours=2),
    },
    tags=["highwater"],
):
    HighwaterOperator(
        task_id="load",
        config=os.environ.get("HIGHWATER_CONFIG", "/etc/highwater/orders.yaml"),
    )
