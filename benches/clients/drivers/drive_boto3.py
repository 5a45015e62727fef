"""boto3: `download_file` or `upload_file` with the classic transfer manager."""

import os
import sys

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

MIB = 1 << 20


def main() -> None:
    """Arguments: verb, endpoint, bucket, key, path."""
    verb, endpoint, bucket, key, path = sys.argv[1:]
    threads = int(os.environ.get("BENCH_THREADS", "16"))
    part = int(os.environ.get("BENCH_PART", 16 * MIB))
    client = boto3.client(
        "s3", endpoint_url=endpoint, config=Config(max_pool_connections=threads, s3={"addressing_style": "path"})
    )
    transfer = TransferConfig(
        multipart_threshold=part,
        multipart_chunksize=part,
        max_concurrency=threads,
        io_chunksize=MIB,
        preferred_transfer_client="classic",
    )
    if verb == "download":
        client.download_file(bucket, key, path, Config=transfer)
    elif verb == "pipe":
        client.upload_fileobj(sys.stdin.buffer, bucket, key, Config=transfer)
    else:
        client.upload_file(path, bucket, key, Config=transfer)


if __name__ == "__main__":
    main()
