"""An object store on loopback that speaks S3, as moto's server does."""
# boto3 has no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false

import json
import logging
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import boto3
from moto.server import ThreadedMotoServer


@dataclass(frozen=True)
class Bucket:
    """An empty bucket, and how to reach it."""

    address: str
    options: dict[str, str]

    @property
    def settings(self) -> dict[str, str]:
        """What a server is told."""
        return {"store": self.address, "storage_options": json.dumps(self.options)}


@contextmanager
def bucket() -> Generator[Bucket]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    key = {"aws_access_key_id": "tests", "aws_secret_access_key": "tests"}
    try:
        client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **key)
        client.create_bucket(Bucket="memories")
        client.close()
        options = {**key, "endpoint": endpoint, "allow_http": "true", "region": "us-east-1"}
        yield Bucket("s3://memories/store", options)
    finally:
        server.stop()
