"""awscrt: one S3 meta request that reads or writes the file by itself."""

import os
import sys
from urllib.parse import urlsplit

from awscrt.auth import AwsCredentialsProvider
from awscrt.http import HttpHeaders, HttpRequest
from awscrt.io import ClientTlsContext, TlsConnectionOptions, TlsContextOptions
from awscrt.s3 import (
    S3Client,
    S3FileIoOptions,
    S3RequestTlsMode,
    S3RequestType,
    create_default_s3_signing_config,
)

MIB = 1 << 20


def tls_options() -> TlsConnectionOptions:
    """Trust the CA of the benchmark's server."""
    context = TlsContextOptions()
    context.override_default_trust_store_from_path(None, os.environ["AWS_CA_BUNDLE"])
    return TlsConnectionOptions(ClientTlsContext(context))


def client(secure: bool) -> S3Client:
    """Build the client; the region is signed, the endpoint is named by each request's Host header."""
    direct = os.environ.get("BENCH_DIRECT", "1") == "1"
    return S3Client(
        region=os.environ["AWS_REGION"],
        signing_config=create_default_s3_signing_config(
            region=os.environ["AWS_REGION"],
            credential_provider=AwsCredentialsProvider.new_static(
                os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
            ),
        ),
        tls_mode=S3RequestTlsMode.ENABLED if secure else S3RequestTlsMode.DISABLED,
        tls_connection_options=tls_options() if secure else None,
        part_size=int(os.environ.get("BENCH_PART", 8 * MIB)),
        throughput_target_gbps=float(os.environ.get("BENCH_GBPS", "10")),
        fio_options=S3FileIoOptions(should_stream=direct, direct_io=direct),
    )


def main() -> None:
    """Arguments: verb, endpoint, bucket, key, path."""
    verb, endpoint, bucket, key, path = sys.argv[1:]
    url = urlsplit(endpoint)
    headers = HttpHeaders([("host", url.netloc)])
    if verb == "download":
        request = HttpRequest("GET", f"/{bucket}/{key}", headers)
        kind, options = S3RequestType.GET_OBJECT, {"recv_filepath": path}
    else:
        headers.add("content-length", str(os.stat(path).st_size))
        headers.add("content-type", "application/octet-stream")
        request = HttpRequest("PUT", f"/{bucket}/{key}", headers)
        kind, options = S3RequestType.PUT_OBJECT, {"send_filepath": path}
    client(url.scheme == "https").make_request(type=kind, request=request, **options).finished_future.result()


if __name__ == "__main__":
    main()
