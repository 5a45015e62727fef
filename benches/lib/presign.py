"""Presigned GET URLs, for clients that speak HTTP but not S3.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from lib.job import Job


def presigned_get(job: Job) -> str:
    """Return a URL of the job's object that is good for an hour."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = f"{stamp[:8]}/{job.region}/s3/aws4_request"
    query = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{job.access_key}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": "3600",
        "X-Amz-SignedHeaders": "host",
    }
    encoded = "&".join(f"{name}={quote(value, safe='')}" for name, value in sorted(query.items()))
    path = quote(f"/{job.bucket}/{job.key}")
    host = urlsplit(job.endpoint).netloc
    canonical = f"GET\n{path}\n{encoded}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD"
    to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{job.secret_key}".encode()
    for word in (*scope.split("/"), to_sign):
        key = hmac.digest(key, word.encode(), "sha256")
    return f"{job.endpoint}{path}?{encoded}&X-Amz-Signature={key.hex()}"
