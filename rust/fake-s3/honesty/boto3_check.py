"""Run boto3's usual calls against a fake-s3 process and compare every answer with what S3 would say.

python3 boto3_check.py [path to the fake-s3 binary]
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

MIB = 1 << 20


def client(info: dict, secret: str | None = None, **extra):
    config = Config(
        signature_version="s3v4",
        retries={"total_max_attempts": 1},
        s3={"addressing_style": extra.pop("style", "path")},
        **extra,
    )
    return boto3.client(
        "s3",
        endpoint_url=info["endpoint"],
        aws_access_key_id=info["access_key"],
        aws_secret_access_key=secret or info["secret_key"],
        aws_session_token=info.get("session_token"),
        region_name=info["region"],
        config=config,
        verify=info.get("ca_pem_file"),
    )


def code(call, *args, **kwargs) -> str:
    try:
        call(*args, **kwargs)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "no error"


def md5(data: bytes) -> str:
    return f'"{hashlib.md5(data).hexdigest()}"'


def objects(info: dict) -> None:
    s3 = client(info)
    s3.create_bucket(Bucket="one")
    assert [b["Name"] for b in s3.list_buckets()["Buckets"]] == ["one"]
    data = os.urandom(3 * MIB + 1)
    answer = s3.put_object(
        Bucket="one",
        Key="a b/ü+~%?#",
        Body=data,
        Metadata={"x": "y"},
        ContentType="text/x",
        CacheControl="no-cache",
        ContentEncoding="gzip",
        Tagging="t=1",
    )
    assert answer["ETag"] == md5(data), answer
    assert answer["ChecksumCRC32"], answer
    got = s3.get_object(Bucket="one", Key="a b/ü+~%?#", ChecksumMode="ENABLED")
    assert got["Body"].read() == data and got["Metadata"] == {"x": "y"} and got["ContentType"] == "text/x"
    assert got["ContentEncoding"] == "gzip" and got["ChecksumType"] == "FULL_OBJECT" and got["TagCount"] == 1
    part = s3.get_object(Bucket="one", Key="a b/ü+~%?#", Range="bytes=10-19", IfMatch=got["ETag"])
    assert part["Body"].read() == data[10:20] and part["ContentRange"] == f"bytes 10-19/{len(data)}"
    assert s3.get_object(Bucket="one", Key="a b/ü+~%?#", Range="bytes=-7")["Body"].read() == data[-7:]
    assert s3.head_object(Bucket="one", Key="a b/ü+~%?#")["ContentLength"] == len(data)
    assert code(s3.get_object, Bucket="one", Key="a b/ü+~%?#", IfMatch='"no"') == "PreconditionFailed"
    assert code(s3.get_object, Bucket="one", Key="a b/ü+~%?#", IfNoneMatch=got["ETag"]) == "304"
    assert code(s3.get_object, Bucket="one", Key="a b/ü+~%?#", Range="bytes=99999999-") == "InvalidRange"
    assert code(s3.get_object, Bucket="one", Key="none") == "NoSuchKey"
    assert code(s3.head_object, Bucket="one", Key="none") == "404"
    assert code(s3.get_object, Bucket="nobucket", Key="none") == "NoSuchBucket"
    assert code(s3.put_object, Bucket="one", Key="a b/ü+~%?#", Body=b"", IfNoneMatch="*") == "PreconditionFailed"
    s3.put_object(Bucket="one", Key="new", Body=b"", IfNoneMatch="*")
    assert s3.get_object(Bucket="one", Key="new")["Body"].read() == b""


def checksums(info: dict) -> None:
    s3 = client(info)
    for name in ["CRC64NVME", "CRC32", "CRC32C", "SHA1", "SHA256"]:
        try:
            stored = s3.put_object(
                Bucket="one", Key=f"sum/{name}", Body=io.BytesIO(b"hello" * 1000), ChecksumAlgorithm=name
            )
        except Exception as error:  # botocore without awscrt knows only some of them
            if "CRT" in str(error) or "crt" in str(error):
                continue
            raise
        head = s3.head_object(Bucket="one", Key=f"sum/{name}", ChecksumMode="ENABLED")
        assert head[f"Checksum{name}"] == stored[f"Checksum{name}"], (name, head)
        s3.get_object(Bucket="one", Key=f"sum/{name}")["Body"].read()
    right = base64.b64encode(hashlib.sha256(b"x").digest()).decode()
    s3.put_object(Bucket="one", Key="sha", Body=b"x", ChecksumSHA256=right)
    assert code(s3.put_object, Bucket="one", Key="sha", Body=b"y", ChecksumSHA256=right) == "BadDigest"
    assert (
        code(s3.put_object, Bucket="one", Key="sha", Body=b"y", ContentMD5=base64.b64encode(b"0" * 16).decode())
        == "BadDigest"
    )
    plain = client(info, request_checksum_calculation="when_required")
    plain.put_object(Bucket="one", Key="plain", Body=b"123456789")
    assert s3.head_object(Bucket="one", Key="plain", ChecksumMode="ENABLED")["ChecksumCRC64NVME"] == "rosUhgp5mIg="


def signed_payloads(info: dict) -> None:
    config = Config(signature_version="s3v4", s3={"payload_signing_enabled": True, "addressing_style": "path"})
    s3 = boto3.client(
        "s3",
        endpoint_url=info["endpoint"],
        aws_access_key_id=info["access_key"],
        aws_secret_access_key=info["secret_key"],
        region_name=info["region"],
        config=config,
        verify=info.get("ca_pem_file"),
    )
    s3.put_object(Bucket="one", Key="signed", Body=b"z" * 200_000)
    assert s3.get_object(Bucket="one", Key="signed")["Body"].read() == b"z" * 200_000


def listing(info: dict) -> None:
    s3 = client(info)
    s3.create_bucket(Bucket="listed")
    keys = sorted(["a", "b/1", "b/2", "c d", "ü/x", "e+f", "g%h"] + [f"n/{n:03}" for n in range(25)], key=str.encode)
    for key in keys:
        s3.put_object(Bucket="listed", Key=key, Body=key.encode())
    for size in [1, 3, 1000]:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket="listed", PaginationConfig={"PageSize": size})
        assert [o["Key"] for page in pages for o in page.get("Contents", [])] == keys
        pages = s3.get_paginator("list_objects_v2").paginate(
            Bucket="listed", Delimiter="/", PaginationConfig={"PageSize": size}
        )
        found = [p["Prefix"] for page in pages for p in page.get("CommonPrefixes", [])]
        assert found == ["b/", "n/", "ü/"], found
    assert s3.list_objects_v2(Bucket="listed", Prefix="n/", StartAfter="n/022")["KeyCount"] == 2
    assert [o["Key"] for o in s3.list_objects(Bucket="listed", Prefix="b/")["Contents"]] == ["b/1", "b/2"]
    answer = s3.delete_objects(Bucket="listed", Delete={"Objects": [{"Key": key} for key in keys[:5]]})
    assert len(answer["Deleted"]) == 5
    assert code(s3.delete_bucket, Bucket="listed") == "BucketNotEmpty"
    s3.delete_objects(Bucket="listed", Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True})
    s3.delete_bucket(Bucket="listed")
    assert code(s3.head_bucket, Bucket="listed") == "404"


def multipart(info: dict) -> None:
    s3 = client(info)
    config = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
    data = os.urandom(17 * MIB + 3)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "file")
        path.write_bytes(data)
        s3.upload_file(str(path), "one", "big", Config=config)
        s3.download_file("one", "big", str(path.with_suffix(".back")), Config=config)
        assert path.with_suffix(".back").read_bytes() == data
    head = s3.head_object(Bucket="one", Key="big", ChecksumMode="ENABLED")
    assert head["ETag"].endswith('-4"') and head["ContentLength"] == len(data)
    part = s3.head_object(Bucket="one", Key="big", PartNumber=2)
    assert part["ContentLength"] == 5 * MIB and part["PartsCount"] == 4
    wanted = ["ETag", "Checksum", "ObjectParts", "ObjectSize", "StorageClass"]
    attributes = s3.get_object_attributes(Bucket="one", Key="big", ObjectAttributes=wanted)
    assert attributes["ObjectSize"] == len(data) and attributes["ObjectParts"]["TotalPartsCount"] == 4, attributes
    upload = s3.create_multipart_upload(Bucket="one", Key="m")["UploadId"]
    ids = {"Bucket": "one", "Key": "m", "UploadId": upload}
    small = s3.upload_part(**ids, PartNumber=1, Body=b"small")["ETag"]
    last = s3.upload_part(**ids, PartNumber=2, Body=b"last")["ETag"]
    assert [u["UploadId"] for u in s3.list_multipart_uploads(Bucket="one")["Uploads"]] == [upload]
    assert [p["Size"] for p in s3.list_parts(**ids)["Parts"]] == [5, 4]
    both = [{"PartNumber": 1, "ETag": small}, {"PartNumber": 2, "ETag": last}]
    assert code(s3.complete_multipart_upload, **ids, MultipartUpload={"Parts": both}) == "EntityTooSmall"
    assert code(s3.complete_multipart_upload, **ids, MultipartUpload={"Parts": both[::-1]}) == "InvalidPartOrder"
    wrong = [{"PartNumber": 1, "ETag": last}]
    assert code(s3.complete_multipart_upload, **ids, MultipartUpload={"Parts": wrong}) == "InvalidPart"
    s3.abort_multipart_upload(**ids)
    assert code(s3.list_parts, **ids) == "NoSuchUpload"


def copies(info: dict) -> None:
    s3 = client(info)
    data = s3.get_object(Bucket="one", Key="big")["Body"].read()
    s3.copy_object(Bucket="one", Key="copy ü", CopySource={"Bucket": "one", "Key": "big"})
    assert s3.get_object(Bucket="one", Key="copy ü")["Body"].read() == data
    replaced = s3.copy_object(
        Bucket="one",
        Key="copy ü",
        CopySource={"Bucket": "one", "Key": "copy ü"},
        Metadata={"n": "1"},
        MetadataDirective="REPLACE",
    )
    assert replaced["CopyObjectResult"]["ETag"] == md5(data)
    assert s3.head_object(Bucket="one", Key="copy ü")["Metadata"] == {"n": "1"}
    config = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=6 * MIB)
    s3.copy({"Bucket": "one", "Key": "big"}, "one", "parts", Config=config)
    assert s3.get_object(Bucket="one", Key="parts")["Body"].read() == data
    s3.delete_object(Bucket="one", Key="parts")
    assert code(s3.head_object, Bucket="one", Key="parts") == "404"


def versions(info: dict) -> None:
    s3 = client(info)
    s3.create_bucket(Bucket="versioned")
    s3.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    ids = [s3.put_object(Bucket="versioned", Key="k", Body=text)["VersionId"] for text in [b"1", b"22"]]
    assert s3.get_object(Bucket="versioned", Key="k", VersionId=ids[0])["Body"].read() == b"1"
    marker = s3.delete_object(Bucket="versioned", Key="k")
    assert marker["DeleteMarker"] and code(s3.get_object, Bucket="versioned", Key="k") == "NoSuchKey"
    listed = s3.list_object_versions(Bucket="versioned")
    assert len(listed["Versions"]) == 2 and listed["DeleteMarkers"][0]["IsLatest"]
    s3.delete_object(Bucket="versioned", Key="k", VersionId=marker["VersionId"])
    assert s3.get_object(Bucket="versioned", Key="k")["Body"].read() == b"22"


def identity(info: dict) -> None:
    assert code(client(info, secret="wrong").list_buckets) == "SignatureDoesNotMatch"
    assert code(client({**info, "access_key": "nobody"}).list_buckets) == "InvalidAccessKeyId"
    elsewhere = client({**info, "region": "eu-west-1"})
    assert code(elsewhere.list_buckets) == "AuthorizationHeaderMalformed"
    assert code(elsewhere.list_objects_v2, Bucket="one") == "no error"  # botocore signs again for the region named
    s3 = client(info)
    s3.put_object(Bucket="one", Key="pre signed", Body=b"presigned")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "one", "Key": "pre signed"})
    if info["endpoint"].startswith("http:"):
        assert urllib.request.urlopen(url).read() == b"presigned"
        try:
            urllib.request.urlopen(url.replace("signed", "sIgned", 1))
        except urllib.error.HTTPError as error:
            assert error.code == 403
        else:
            raise AssertionError("a changed presigned URL was accepted")
        try:
            urllib.request.urlopen(info["endpoint"] + "/one/x")
        except urllib.error.HTTPError as error:
            assert error.code == 403 and b"AccessDenied" in error.read()
        else:
            raise AssertionError("no signature, and yet an answer")


def virtual_hosts(info: dict) -> None:
    named = {**info, "endpoint": info["endpoint"].replace("127.0.0.1", "localhost")}
    real = socket.getaddrinfo
    socket.getaddrinfo = lambda host, *rest, **more: real("127.0.0.1", *rest, **more)  # no *.localhost everywhere
    try:
        s3 = client(named, style="virtual")
        s3.put_object(Bucket="one", Key="virtual", Body=b"v")
        assert s3.get_object(Bucket="one", Key="virtual")["Body"].read() == b"v"
    finally:
        socket.getaddrinfo = real


CHECKS = [objects, checksums, signed_payloads, listing, multipart, copies, versions, identity, virtual_hosts]


def main() -> None:
    root = pathlib.Path(__file__).resolve().parents[3]
    binary = sys.argv[1] if len(sys.argv) > 1 else str(root / "target/debug/fake-s3")
    for flags in [
        [],
        ["--storage", "dir:" + tempfile.gettempdir()],
        ["--tls", "--ca-out", tempfile.gettempdir() + "/fs3-ca.pem"],
    ]:
        process = subprocess.Popen([binary, "--quiet", *flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        info = json.loads(process.stdout.readline())
        try:
            for check in CHECKS:
                check(info)
                print("ok", " ".join(flags[:1]) or "memory", check.__name__, flush=True)
        finally:
            process.stdin.close()
            process.wait(5)


if __name__ == "__main__":
    main()
