"""What highwater says to AWS: `register` to Glue, alerts to SNS; and metrics in CloudWatch's format.

    python check.py [--on moto|ministack] PATH_OF_HIGHWATER PATH_OF_VERSITYGW

Tables lie on versitygw; moto or ministack plays the other services. Wants boto3, and moto[server] or ministack.
"""

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import boto3

arguments = argparse.ArgumentParser()
arguments.add_argument("--on", choices=["moto", "ministack"], default="moto")
arguments.add_argument("program")
arguments.add_argument("gateway")
given = arguments.parse_args()
PROGRAM, GATEWAY, ON = given.program, given.gateway, given.on
KEY, SECRET, REGION = "highwater", "highwater-secret", "eu-west-1"


def free_ports(count: int) -> list[int]:
    """Held until all are known: a port that is given back may be given again."""
    with contextlib.ExitStack() as held:
        listeners = [held.enter_context(socket.socket()) for _ in range(count)]
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in listeners]


def wait_for(port: int) -> None:
    for _ in range(600):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"nobody listens on {port}")


def stand_in(port: int) -> subprocess.Popen:
    """Moto or ministack, with nothing of this environment but the path; what it says goes to a file."""
    settings = {"PATH": os.environ["PATH"], "TMPDIR": str(folder)}
    if ON == "moto":
        words = ["moto.server", "-H", "127.0.0.1", "-p", str(port)]
    else:
        words = ["ministack"]
        settings |= {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port)}
        # It would listen on fixed ports too.
        settings |= {"IOT_MTLS_ENABLED": "0", "SFTP_ENABLED": "0"}
        # As it starts and ends it removes every container of any ministack, which may be somebody's own.
        settings |= {"DOCKER_HOST": f"unix://{folder}/no-docker"}
    with open(folder / "aws.log", "wb") as log:
        return subprocess.Popen([sys.executable, "-m", *words], env=settings, stdout=log, stderr=log)


scratch = tempfile.TemporaryDirectory()
folder = Path(scratch.name)
(folder / "s3" / "lake").mkdir(parents=True)
s3_port, aws_port = free_ports(2)
aws = f"http://127.0.0.1:{aws_port}"
gateway = subprocess.Popen(
    [GATEWAY, "--port", f"127.0.0.1:{s3_port}", "--region", REGION, "--quiet", "posix", str(folder / "s3")],
    env={"ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET, "PATH": os.environ["PATH"]},
    stdout=subprocess.DEVNULL,
)
server = stand_in(aws_port)
environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "HIGHWATER"))} | {
    "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{s3_port}",
    "AWS_ENDPOINT_URL": aws,
    "AWS_ALLOW_HTTP": "true",
    "AWS_REGION": REGION,
    "AWS_ACCESS_KEY_ID": KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_EC2_METADATA_DISABLED": "true",
    "HIGHWATER_CLOCK": "2025-09-01T00:10:00Z",
}
config = folder / "demo" / "orders.yaml"


def highwater(*words: str, status: int = 0, **more: str) -> str:
    run = subprocess.run(
        [PROGRAM, "-c", str(config), *words], env=environment | more, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == status, (words, run)
    return run.stdout


def client(service: str, region: str = REGION):
    return boto3.client(
        service, endpoint_url=aws, region_name=region, aws_access_key_id=KEY, aws_secret_access_key=SECRET
    )


def registers() -> None:
    glue = client("glue")
    missing = json.loads(highwater("register", "--glue-database", "gold", "--json", status=2))
    assert "create the database" in missing["error"]["hint"], missing
    glue.create_database(DatabaseInput={"Name": "gold"})
    states = lambda *more: [table["state"] for table in json.loads(highwater("register", "--glue-database", "gold", "--json", *more))["tables"]]
    assert states() == ["created", "created"]
    assert states() == ["unchanged", "unchanged"]
    table = glue.get_table(DatabaseName="gold", Name="fact_orders")["Table"]
    assert table["TableType"] == "EXTERNAL_TABLE", table
    wanted = {"EXTERNAL": "TRUE", "spark.sql.sources.provider": "delta", "table_type": "DELTA", "classification": "delta"}
    assert table["Parameters"].items() >= wanted.items(), table
    storage = table["StorageDescriptor"]
    assert storage["Location"] == "s3://lake/demo/fact_orders", storage
    assert storage["SerdeInfo"]["Parameters"] == {"serialization.format": "1", "path": storage["Location"]}, storage
    types = {column["Name"]: column["Type"] for column in storage["Columns"]}
    assert types["order_id"] == "int" and types["total_amount"] == "decimal(10,2)", types
    assert types["updated_at"] == "timestamp" and "order_date" not in types, types
    assert [key["Name"] for key in table["PartitionKeys"]] == ["order_date"], table
    assert any(column.get("Comment") for column in storage["Columns"]), storage
    # Another hand's words stay, and what is wrong is mended. Glue, and moto, drop what an update leaves out; ministack
    # keeps it (but replaces `Parameters` as a whole), so that on it the description stays whatever highwater sends.
    changed = {"Name": "fact_orders", "Description": "theirs", "TableType": "EXTERNAL_TABLE"}
    storage["Columns"] = storage["Columns"][:-1]
    glue.update_table(DatabaseName="gold", TableInput=changed | {"StorageDescriptor": storage, "Parameters": {"theirs": "1"}})
    assert states() == ["updated", "unchanged"]
    table = glue.get_table(DatabaseName="gold", Name="fact_orders")["Table"]
    assert table["Parameters"].items() >= (wanted | {"theirs": "1"}).items() and table["Description"] == "theirs", table
    assert len(table["StorageDescriptor"]["Columns"]) == len(types), table
    # An entry of that name that is another table's is left alone.
    glue.create_table(DatabaseName="gold", TableInput={"Name": "taken", "StorageDescriptor": {"Location": "s3://lake/else"}})
    highwater("register", "--glue-database", "gold", "--table", "taken", status=2)
    assert states("--table", "orders") == ["created", "unchanged"]


def alerts() -> None:
    # In another region than the tables'.
    region = "us-west-2"
    sns, sqs = client("sns", region), client("sqs", region)
    topic = sns.create_topic(Name="loads")["TopicArn"]
    queue = sqs.create_queue(QueueName="heard")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)

    def heard() -> list[dict]:
        messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=0).get("Messages", [])
        for message in messages:
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"]) for message in messages]

    text = config.read_text()
    config.write_text(text.replace("alerts: []", f"alerts: [{{sns: '{topic}', on: [rejected, failed]}}]"))
    strict = config.read_text().replace('action: quarantine, error_if: "> 25 %"', "action: fail")
    loud, quiet = config.read_text(), strict.replace("on: [rejected, failed]", "on: [failed]")
    config.write_text(strict)
    highwater("run", status=1)
    (told,) = heard()
    assert told["Subject"] == "highwater: run of orders rejected a batch", told
    assert "relationships_customer_id" in told["Message"] and '"status": "rejected"' in told["Message"], told
    config.write_text(quiet)
    highwater("run", status=1)
    assert heard() == []
    highwater("run", status=2, HIGHWATER__SOURCE__TABLE="s3://lake/demo/gone")
    (told,) = heard()
    assert told["Subject"] == "highwater: run of orders failed with exit status 2", told
    # A topic that is not there does not change how a run ends.
    config.write_text(strict.replace(topic, topic + "-gone"))
    highwater("run", status=1)
    config.write_text(loud)
    highwater("run")
    assert heard() == [], "a good end is told to nobody"


def metrics() -> None:
    first = json.loads(highwater("run", "--as-of", "2025-09-03", "--metrics", "emf").splitlines()[-1])
    assert first["staged_rows"] == 4 and first["status"] == "loaded", first
    out = highwater("run", "--as-of", "2025-09-03", "--metrics", "emf", "--summary-line")
    line, summary = (json.loads(line) for line in out.splitlines()[-2:])
    assert summary["status"] == "already_loaded", summary
    directive = line["_aws"]["CloudWatchMetrics"][0]
    assert directive["Namespace"] == "highwater" and directive["Dimensions"] == [["pipeline"]], line
    assert line["pipeline"] == "orders" and "staged_rows" not in line and line["failed"] == 0, line
    assert all(metric["Name"] in line for metric in directive["Metrics"]), line
    assert abs(line["_aws"]["Timestamp"] / 1000 - time.time()) < 600, line


try:
    wait_for(s3_port)
    wait_for(aws_port)
    subprocess.run(
        [PROGRAM, "demo", str(config.parent), "--tables", "s3://lake/demo"], env=environment, check=True, capture_output=True
    )
    for check in [registers, alerts, metrics]:
        check()
        print(f"ok  {check.__name__} ({ON})")
except BaseException:
    print((folder / "aws.log").read_text()[-2000:], file=sys.stderr)
    raise
finally:
    gateway.terminate()
    server.terminate()
    server.wait(timeout=30)
