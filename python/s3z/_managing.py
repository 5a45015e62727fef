"""The methods of a client that manage: buckets, signed URLs, and what the client itself is set to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from s3z import _core
from s3z._archiving import Archiving
from s3z._exceptions import AccessDeniedError, ConfigError
from s3z._transfers import any_uri, object_uri

if TYPE_CHECKING:
    from collections.abc import Mapping

    from s3z._config import Resolver
    from s3z._describing import Description

#: seconds that a signed URL may hold, by the rules of SigV4
MAX_EXPIRES = 7 * 24 * 3600


class Managing(Archiving):
    """Buckets, signed URLs and settings."""

    _anonymous: bool
    _arguments: Mapping[str, Any]
    _find: Resolver

    def make_bucket(self, uri: str) -> None:
        """Make a bucket, in the region of the client.

        Args:
            uri: `s3://bucket`.

        Raises:
            AlreadyExistsError: there is such a bucket, yours or another's.
            AccessDeniedError: the store refused.
            ConfigError: the URI is malformed, or has a key.
            ServiceError: the store takes no such name.

        Example:
            >>> s3z.make_bucket("s3://new-bucket")
            >>> s3z.exists("s3://new-bucket")
            True

        See also https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html
        """
        self._native().create_bucket(_bucket(uri))

    def remove_bucket(self, uri: str) -> None:
        """Remove a bucket, which has to be empty.

        Args:
            uri: `s3://bucket`.

        Raises:
            NotFoundError: there is no such bucket.
            AccessDeniedError: the store refused.
            ConfigError: the URI is malformed, or has a key.
            ServiceError: the bucket is not empty; `code` is `BucketNotEmpty`.

        Example:
            >>> s3z.make_bucket("s3://old-bucket")
            >>> s3z.remove_bucket("s3://old-bucket")

        See also https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteBucket.html
        """
        self._native().delete_bucket(_bucket(uri))

    def presign(self, uri: str, *, expires: float = 10800, version_id: str | None = None) -> str:
        """A URL that fetches one object without keys, until it expires. Whoever has it can use it.

        No request is made to see whether there is such an object; only where AWS has to be asked for the region of
        the bucket, since none was named.

        Args:
            uri: `s3://bucket/key`, literally.
            expires: seconds from now, 1 to 604800 (7 days), fractions cut. Keys that expire earlier end it earlier.
            version_id: of the object; None is the current one when the URL is used.

        Returns:
            The URL, to be used with GET.

        Raises:
            CredentialsError: there are no keys to sign with.
            ConfigError: the URI is malformed or has no key, `expires` is out of range, or the client is anonymous.
            NotFoundError: AWS was asked for the region, and there is no such bucket.

        Example:
            >>> url = s3z.presign("s3://examples/hello.txt", expires=60)
            >>> url.partition("?")[0].endswith("/examples/hello.txt")
            True

        See also https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
        """
        bucket, key = object_uri(uri)
        if isinstance(expires, bool) or not isinstance(expires, (int, float)) or not 1 <= expires <= MAX_EXPIRES:
            raise ConfigError(f"expires must be from 1 to {MAX_EXPIRES} seconds (7 days), not {expires!r}")
        if self._anonymous:
            raise ConfigError("an anonymous client cannot sign: presign needs keys")
        core, settings = self._native(), self._settings
        if settings.endpoint_url.value is None and settings.region.source == "default":
            self._learn_region(core, bucket)
        return _core.presign(core, bucket, key, int(expires), version_id)

    def _learn_region(self, core: _core.Client, bucket: str) -> None:
        """Ask AWS once where a bucket is, which the core then remembers; a refusal names the region, too."""
        try:
            core.head_bucket(bucket)
        except AccessDeniedError:
            return

    def describe(self, *, resolve: bool = False) -> Description:
        """Each setting in effect, and where it came from. Secrets show at most their last four characters.

        Args:
            resolve: whether keys that have to be asked for (SSO, roles, processes, containers, instances) are; without
                it no request is made and no process started.

        Returns:
            The settings by their names, which shows itself as a table.

        Raises:
            CredentialsError: `resolve=True`, and no keys can be had.

        Example:
            >>> s3z.describe()["addressing_style"]
            SettingInfo(addressing_style=auto, default)
        """
        from s3z import _describing

        arguments = {**self._arguments, "anonymous": self._anonymous}
        return _describing.describe(self._settings, self._find, arguments, _core.defaults(), resolve=resolve)


def _bucket(uri: str) -> str:
    """The bucket of a URI that may have no key."""
    bucket, key = any_uri(uri)
    if key:
        raise ConfigError(f'"{uri}" names an object; a bucket is needed: s3://{bucket}', bucket=bucket)
    return bucket
