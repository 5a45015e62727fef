"""Who pays: every request says so once `requester` is set, and none does otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import s3z

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.command import Command
    from support.servers import FakeS3


def told(fake_s3: FakeS3) -> set[str | None]:
    """What the requests so far said."""
    return {dict(record["headers"]).get("x-amz-request-payer") for record in fake_s3.log()}


def test_nobody_pays_unasked(fake_s3: FakeS3, fake_client: s3z.Client, command: Callable[..., Command]) -> None:
    fake_s3.put("b", "k", b"hello")
    fake_client.head("s3://b/k")
    command(fake_s3)("cat", "s3://b/k")
    assert told(fake_s3) == {None}


def test_call(fake_s3: FakeS3) -> None:
    fake_s3.put("b", "k", b"hello")
    client = fake_s3.client(request_payer="requester")
    client.head("s3://b/k")
    assert bytes(client.get("s3://b/k")) == b"hello"
    assert [info.key for info in client.list("s3://b")] == ["k"]
    client.put("s3://b/l", b"hello")
    client.delete("s3://b/l")
    assert told(fake_s3) == {"requester"}


@pytest.mark.parametrize(
    ("flags", "environment"),
    [(["--request-payer", "requester"], {}), ([], {"AWS_REQUEST_PAYER": "requester"})],
    ids=["option", "variable"],
)
def test_command(
    flags: list[str], environment: dict[str, str], fake_s3: FakeS3, command: Callable[..., Command]
) -> None:
    fake_s3.put("b", "k", b"hello")
    for arguments in (["ls", "s3://b"], ["head", "s3://b/k"], ["cp", "s3://b/k", "k"]):
        command(fake_s3)(*flags, *arguments, env=environment)
    assert told(fake_s3) == {"requester"}


def test_others_cannot_be_made_to_pay() -> None:
    with pytest.raises(s3z.ConfigError, match="request_payer"):
        s3z.Client(request_payer="owner")
