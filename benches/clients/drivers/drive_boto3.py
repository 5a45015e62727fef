"""boto3: managed transfers by the classic transfer manager; to standard output, the body in chunks."""

import mmap
import os
import sys

import boto3
import memory
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

MIB = 1 << 20


class Into:
    """A buffer as the seekable file that `download_fileobj` writes to, from one thread."""

    def __init__(self, buffer: mmap.mmap) -> None:
        self.view = memoryview(buffer)
        self.at = 0
        self.received = 0

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int) -> None:
        self.at = offset

    def write(self, data: bytes) -> None:
        end = self.at + len(data)
        self.view[self.at : end] = data
        self.at, self.received = end, self.received + len(data)


def main() -> None:
    """Arguments: verb, endpoint, bucket, key, path; with `memory` the size instead of the path."""
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
    elif verb == "list":
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            sys.stdout.writelines(f"{entry['Key']}\n" for entry in page.get("Contents", ()))
    elif verb == "cat":
        for chunk in client.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(MIB):
            sys.stdout.buffer.write(chunk)
    elif verb == "memory":
        buffer = memory.allocate(int(path))
        into = Into(buffer)
        client.download_fileobj(bucket, key, into, Config=transfer)
        memory.finish(buffer, into.received)
    else:
        client.upload_file(path, bucket, key, Config=transfer)


if __name__ == "__main__":
    main()
