"""Results, exceptions, progress, headers and content types, without a server and without the native module."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from datetime import UTC, datetime, timedelta, timezone

import pytest

import s3z
from s3z import _exceptions
from s3z._content_type import by_extension, guess, looks_like_text
from s3z._escape import escape, one_line
from s3z._headers import build, http_date, merge
from s3z._line import Meter
from s3z._paths import download_path
from s3z._progress import watch
from s3z._types import DownloadResult, HeadResult, ObjectInfo, ProgressEvent, UploadResult, Verification

EVIL = "a\x1b[31m\u202e<script>\n"

CLASSES = [value for value in vars(_exceptions).values() if isinstance(value, type) and issubclass(value, s3z.S3zError)]


@pytest.mark.parametrize("kind", CLASSES)
def test_exceptions_carry_and_pickle_everything(kind):
    details = {
        "bucket": "b", "key": "k", "code": "C", "status": 404, "request_id": "r", "host_id": "h", "attempts": 3,
        "upload_id": "u",
    }  # fmt: skip
    error = kind("what happened", **details)
    for again in (error, pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is kind
        assert str(again) == "what happened"
        assert {name: getattr(again, name) for name in details} == details


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (s3z.NotFoundError, FileNotFoundError),
        (s3z.AccessDeniedError, PermissionError),
        (s3z.AlreadyExistsError, FileExistsError),
        (s3z.TransferTimeoutError, TimeoutError),
        (s3z.TransferConnectionError, ConnectionError),
        (s3z.ConfigError, ValueError),
        (s3z.UnsafeKeyError, ValueError),
    ],
)
def test_exceptions_are_what_people_already_catch(kind, builtin):
    assert issubclass(kind, builtin)


def test_batch_errors_keep_their_failures():
    error = s3z.BatchError("two", failures=[s3z.NotFoundError("x", key="k"), OSError(28, "full", "f")])
    again = pickle.loads(pickle.dumps(error))
    assert [type(each) for each in again.failures] == [s3z.NotFoundError, OSError]
    assert again.failures[0].key == "k"


def test_all_is_sorted_and_there():
    assert s3z.__all__ == sorted(s3z.__all__)
    for name in s3z.__all__:
        if name not in ("Client", "delete", "download", "exists", "head", "list", "upload"):  # these load the core
            assert getattr(s3z, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        _ = s3z.nothing


def results():
    verified = Verification("parts", "sha256", "17")
    yield DownloadResult(EVIL, 2048, 0.5, EVIL, None, 1, 1, 0, verified, None, EVIL)
    yield UploadResult(f"s3://b/{EVIL}", 2048, 0.0, EVIL, None, 1, 1, 0, verified)
    yield ObjectInfo("b", EVIL, size=3, etag=EVIL, storage_class=EVIL)
    yield HeadResult("b", EVIL, 1, EVIL, None, None, EVIL, EVIL, {EVIL: EVIL}, {})
    failures = (s3z.PackFailure(EVIL, "OSError", EVIL, 5),)
    counts = (9, 1, 2, 3, 4)
    yield s3z.PackReport(EVIL, *counts, 1, 0, 0, 2048, 1024, {EVIL: 1}, failures, 2, 0.5, b"r" * 32, EVIL)
    yield s3z.UnpackReport(EVIL, *counts, 2048, {EVIL: 1}, failures, 0.5, True, True, b"r" * 32)
    yield s3z.ArchiveEntry(EVIL, EVIL.encode(), "l", 0, 0o644, -1, EVIL, False, None, 0)
    yield s3z.VerifyReport("full", 1, 2, 3, (s3z.VerifyProblem(EVIL, 7, EVIL),))


@pytest.mark.parametrize("result", list(results()), ids=lambda result: type(result).__name__)
def test_results_show_no_control_characters_and_no_markup(result):
    for text in (repr(result), result._repr_html_()):
        assert not any(ord(character) < 32 or character == "\u202e" for character in text)
    assert "<script>" not in result._repr_html_()
    assert len(repr(result)) < 300
    assert pickle.loads(pickle.dumps(result)) == result
    with pytest.raises(AttributeError):
        setattr(result, dataclasses.fields(result)[0].name, "x")


def test_words_of_archives():
    failure = s3z.PackFailure("a\x1b", "ArchiveError", "no\ngood")
    assert str(failure) == "a\\x1b: no\\ngood"
    assert str(s3z.VerifyProblem("a", 7, "bad")) == "a at byte 7: bad"
    assert str(s3z.VerifyProblem(None, None, "bad")) == "archive: bad"
    assert s3z.ByteRange(10, 5, 0).header == "bytes=10-14"
    report = s3z.PackReport("a", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, {}, (), 1, 0.0, bytes(32))
    assert (report.ratio, repr(report)) == (0.0, "PackReport('a', 0 entries, 0 to 0, 0.00s, -)")
    entry = s3z.ArchiveEntry("a", b"a", "f", 0, 0o644, -1, None, False, None, 0)
    assert entry.mtime.isoformat() == "1969-12-31T23:59:59.999999+00:00"


def test_verification_says_what_was_proved():
    assert str(Verification("full_object", "crc64nvme")) == "full_object/crc64nvme"
    assert str(Verification("parts", "sha256", "17")) == "parts/sha256:17"
    assert str(Verification("length", None, "the store keeps no checksum")) == "length"


def test_escape_is_visible_and_keeps_ordinary_text():
    assert escape("größe 🙂 日本") == "größe 🙂 日本"
    assert escape("\x1b\x9b\x7f\t\u2066\udcff") == "\\x1b\\x9b\\x7f\\t\\u2066\\xff"
    assert one_line("a\nb\tc") == "a b c"


# progress


def run(progress, steps=((5, 3), (10, 10)), size=10):
    watcher = watch(progress, "x")
    for received, durable in steps:
        watcher(received, durable, size, 0, 1)
    watcher.finish(size)
    watcher.close()


def test_a_callable_gets_events_and_one_at_the_end():
    events: list[ProgressEvent] = []
    run(lambda event: events.append(event))
    assert [(event.received, event.durable) for event in events] == [(5, 3), (10, 10), (10, 10)]
    assert (events[-1].objects, events[-1].total) == (1, 10)
    events.clear()
    run(events.append, steps=((10, 10),))
    watcher = watch(events.append, "x")
    events.clear()
    watcher(10, 10, 10, 1, 1)
    watcher.finish(10)
    assert len(events) == 1


def test_a_boto3_callback_gets_increments():
    class Callback:
        def __init__(self):
            self.seen = []

        def __call__(self, bytes_amount):
            self.seen.append(bytes_amount)

    callback = Callback()
    run(callback)
    assert callback.seen == [3, 7]
    seen = []

    def annotated(x: int):
        seen.append(x)

    run(annotated)
    assert sum(seen) == 10


def test_a_tqdm_bar_is_fed_and_left_open():
    class Bar:
        n, total, closed = 0, None, False

        def update(self, n=1):
            self.n += n

    bar = Bar()
    run(bar)
    assert (bar.n, bar.total) == (10, 10)
    bar = Bar()
    run(bar.update)
    assert bar.n == 10


def test_a_rich_progress_gets_a_task():
    class Live:
        is_started = False

    class Progress:
        def __init__(self):
            self.live, self.calls = Live(), []

        def start(self):
            self.calls.append("start")

        def stop(self):
            self.calls.append("stop")

        def add_task(self, name, total):
            self.calls.append((name, total))
            return 7

        def update(self, task, *, completed, total):
            self.calls.append((task, completed, total))

    progress = Progress()
    run(progress)
    assert progress.calls == ["start", ("x", None), (7, 3, 10), (7, 10, 10), (7, 10, 10), "stop"]


def test_an_fsspec_callback_gets_absolute_counts():
    class Callback:
        def __init__(self):
            self.sizes, self.values = [], []

        def set_size(self, size):
            self.sizes.append(size)

        def absolute_update(self, value):
            self.values.append(value)

    callback = Callback()
    run(callback)
    assert callback.sizes == [10]
    assert callback.values[-1] == 10


def test_other_progress_is_refused():
    assert watch(None, "x") is None
    assert watch(False, "x") is None
    with pytest.raises(TypeError, match="not int"):
        watch(3, "x")


def test_an_exception_in_progress_passes_through():
    def fail(event):
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        run(fail)


def test_the_rate_follows_the_last_seconds():
    now = 0.0
    meter = Meter(lambda: now)
    rate = 0.0
    for second in range(1, 11):
        now = float(second)
        rate = meter.rate(1000 * second if second <= 5 else 5000 + 100 * (second - 5))
    assert rate == 100.0


# headers


def test_headers_of_an_upload():
    moment = datetime(2026, 5, 1, 10, tzinfo=timezone(timedelta(hours=2)))
    options, more = merge(
        {"content_type": "a/b", "metadata": {"Made-By": "me"}, "tags": {"a b": "c&d"}, "expires": moment, "acl": None},
        {"StorageClass": "GLACIER", "BucketKeyEnabled": True, "ContentLanguage": "de", "ACL": "private"},
    )
    assert dict(build(options, more)) == {
        "content-type": "a/b",
        "expires": "Fri, 01 May 2026 08:00:00 GMT",
        "x-amz-acl": "private",
        "x-amz-storage-class": "GLACIER",
        "x-amz-tagging": "a+b=c%26d",
        "x-amz-server-side-encryption-bucket-key-enabled": "true",
        "content-language": "de",
        "x-amz-meta-made-by": "me",
    }
    assert http_date(datetime(2026, 5, 1, 8)) == "Fri, 01 May 2026 08:00:00 GMT"


@pytest.mark.parametrize(
    ("options", "extra", "name"),
    [
        ({}, {"Nope": 1}, "Nope"),
        ({}, {"SSECustomerKey": "x"}, "SSECustomerKey"),
        ({"acl": "private"}, {"ACL": "private"}, "acl"),
        ({"content_type": "a\r\nx: y"}, {}, "content-type"),
        ({"cache_control": "ü"}, {}, "cache-control"),
        ({"metadata": {"a": " x"}}, {}, "x-amz-meta-a"),
        ({"metadata": {"a b": "x"}}, {}, "metadata"),
        ({"metadata": {"": "x"}}, {}, "metadata"),
        ({"metadata": {"a": 1}}, {}, "x-amz-meta-a"),
    ],
)
def test_headers_that_cannot_be_sent_are_refused(options, extra, name):
    with pytest.raises(s3z.ConfigError, match=name):
        build(*merge(options, extra))


# content types


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.JSON", b"", "application/json"),
        ("a.csv", b"\0", "text/csv; charset=utf-8"),
        ("a.tar.gz", b"", "application/gzip"),
        ("a.unknown", b"hello", "text/plain; charset=utf-8"),
        ("noext", b"\x00\x01", "application/octet-stream"),
        (".bashrc", b"x", "text/plain; charset=utf-8"),
        ("dir.html/x", b"\xff\xfe", "application/octet-stream"),
        ("utf8", ("x" * 511 + "é").encode(), "text/plain; charset=utf-8"),
    ],
)
def test_content_types(tmp_path, name, content, expected):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    assert guess(str(path)) == expected


def test_text_has_a_charset():
    assert by_extension("x.html") == "text/html; charset=utf-8"
    assert looks_like_text(b"a\tb\r\n")
    assert not looks_like_text(b"a\x08")


# local names


def test_where_a_download_goes(tmp_path):
    assert download_path(None, "p/a") == "a"
    assert download_path("x/", "p/a") == "x/a"
    assert download_path(tmp_path, "p/a") == str(tmp_path / "a")
    assert download_path(tmp_path / "y", "p/") == str(tmp_path / "y")
    for key in ("p/", "p/..", "p/."):
        with pytest.raises(s3z.UnsafeKeyError):
            download_path(tmp_path, key)
    for bad in ("", "a\0b", "s3://b/k"):
        with pytest.raises(s3z.ConfigError, match="destination"):
            download_path(bad, "k")
    with pytest.raises(TypeError, match="destination"):
        download_path(b"x", "k")  # type: ignore[arg-type]


def test_times_are_utc():
    assert ObjectInfo("b", "k", last_modified=datetime(2026, 1, 1, tzinfo=UTC)).uri == "s3://b/k"
