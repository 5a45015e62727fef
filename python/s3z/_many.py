"""The operations behind the calls about many objects: what was asked for to a batch, and its counts to a result."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from s3z import _apart, _headers, _sides
from s3z._batching import Course, object_words, usual_checksum
from s3z._config import check_count, check_part_size, one_of
from s3z._escape import escape
from s3z._exceptions import AlreadyExistsError, BatchError, ConfigError, NotFoundError
from s3z._many_types import BatchResult, CopyResult, SyncResult, VerifyResult
from s3z._transfers import common, moment, object_uri
from s3z._uploads import ObjectWords

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from s3z._reading import Reading as Client
    from s3z._sides import Filters, Side

R = TypeVar("R", bound="BatchResult | VerifyResult")

#: URIs that are read before they are removed: as many as the core removes at a time
_AHEAD = 8000
#: what makes a copy have metadata of its own instead of that of its source
_REPLACING = ("content_type", "content_encoding", "content_disposition", "cache_control", "metadata", "expires")
#: how `compare` is called in the core
_COMPARE = {"newer": "newer", "size": "size", "times": "times", "checksum": "checksum", "etag": "etag"}
_TESTS = {"if_size_differs": "if_size_differs", "if_newer": "if_source_newer"}


@dataclass(frozen=True, slots=True)
class Asked:
    """How objects are to be transferred, as a caller said it; None is not said.

    Attributes:
        words: options of the same name and meaning in the core.
        overwrite: True, False, `if_size_differs` or `if_newer`.
        options: of new objects.
        replace_metadata: of copies.
        resume: whether what is left of an earlier call is used.
        durable: of files.
        direct_io: of files.
        follow_symlinks: of a local source.
    """

    words: Mapping[str, Any]
    overwrite: bool | str = True
    verify: str = "auto"
    options: ObjectWords = field(default_factory=ObjectWords)
    replace_metadata: bool | None = None
    resume: bool | None = None
    durable: bool | None = None
    direct_io: str = "auto"
    follow_symlinks: bool = True


@dataclass(frozen=True, slots=True)
class Telling:
    """How a call tells what comes of it.

    Attributes:
        progress: see `s3z._progress`.
        errors: `raise`, or `return` them in the result.
    """

    progress: Any = None
    errors: str = "raise"

    def __post_init__(self) -> None:
        one_of("raise", "return")(self.errors, "errors")


def transfer(
    client: Client, source: Side, target: Side, filters: Filters, asked: Asked, telling: Telling
) -> BatchResult:
    """See `Client.download_dir` and `Client.upload_dir`."""
    to_files = not target.is_remote
    selection = source.selection(filters, to_files=to_files, follows=asked.follow_symlinks, stats=False)
    request = {
        **words(client, source, target, asked),
        "operation": "cp",
        "selections": [selection],
        "goal": target.goal(),
    }
    with Course(telling.progress, source.shown) as course:
        course.run(client, client, request)
        result = BatchResult(**_counts(course, source, target), dry_run=request["dry_run"])
        if source.is_remote:
            _must_have_found(course, source)
        return _ended(course, result, telling)


def sync(
    sides: tuple[Client, Client],
    source: Side,
    target: Side,
    filters: Filters,
    asked: Asked,
    telling: Telling,
) -> SyncResult:
    """See `Client.sync`; `sides` are the clients of source and destination."""
    _check_sync(sides, source, target, filters, asked)
    to_files = not target.is_remote
    request = {
        **words(sides[1], source, target, asked),
        "operation": "sync",
        "selections": [source.selection(filters, to_files=to_files, follows=asked.follow_symlinks, stats=True)],
        "goal": target.goal(),
        "compared": target.compared(filters, source),
        "compare": _COMPARE[asked.words["compare"]],
        "copies_on_server": sides[0] is sides[1],
        "one_store": _apart.is_one_store(*sides),
    }
    with Course(telling.progress, source.shown) as course:
        course.run(*sides, request)
        counts = course.counts
        result = SyncResult(
            **_counts(course, source, target),
            dry_run=request["dry_run"],
            deleted=counts["deleted"],
            held_back=counts["held_back"],
        )
        deletes, forced = request["delete"], request["force"]
        if course.refused == "not_found" or (deletes and not forced and not counts["found"] and not counts["failed"]):
            text = f'"{escape(source.shown)}" holds nothing that is selected: delete=True needs force=True then'
            raise NotFoundError(text, bucket=source.bucket, key=source.name if source.is_remote else None)
        if source.is_remote and not (deletes and forced):
            _must_have_found(course, source)
        return _ended(course, result, telling)


def _check_sync(sides: tuple[Client, Client], source: Side, target: Side, filters: Filters, asked: Asked) -> None:
    compare = one_of(*_COMPARE)(asked.words["compare"], "compare")
    if compare == "times" and target.is_remote:
        raise ConfigError('compare: "times" goes with a directory as destination: a store sets times itself')
    if asked.words["max_delete"] is not None and not asked.words["delete"]:
        raise ConfigError("max_delete goes with delete=True")
    if asked.words["force"] and not asked.words["delete"]:
        raise ConfigError("force goes with delete=True")
    _sides.check_apart(sides, source, target, filters, deletes=bool(asked.words["delete"]))
    if asked.words["delete"] and not target.is_remote and (what := _sides.protected(target.name)):
        raise ConfigError(f'destination: "{escape(target.shown)}" is {what}: nothing is deleted there')


def verify(
    client: Client, source: Side, target: Side, filters: Filters, asked: Mapping[str, Any], telling: Telling
) -> VerifyResult:
    """See `Client.verify`."""
    compare = one_of("checksum", "size", "etag")(asked["compare"], "compare")
    check_count(asked["workers"], "workers")
    request: dict[str, Any] = {
        "operation": "verify",
        "compare": compare,
        "download": asked["download"],
        "one_way": asked["one_way"],
        "workers": asked["workers"],
        "tells_differences": True,
    }
    if source.is_many:
        selection = source.selection(filters, to_files=False, follows=asked["follow_symlinks"], stats=True)
        request |= {"selections": [selection], "goal": target.goal(), "compared": target.compared(filters, source)}
    else:
        if filters.include or filters.exclude:
            raise ConfigError("include and exclude go with a directory or a prefix")
        request |= {"selections": [source.only()], "goal": target.goal(), "compared": target.only()}
    with Course(telling.progress, source.shown) as course:
        course.run(client, client, request)
        counts = course.counts
        only = counts["source_only"] + counts["destination_only"] + counts["unproven"]
        result = VerifyResult(
            source=source.shown,
            destination=target.shown,
            same=counts["done"],
            differing=counts["differs"] - only,
            source_only=counts["source_only"],
            destination_only=counts["destination_only"],
            unproven=counts["unproven"],
            failed=counts["failed"],
            seconds=course.seconds,
            # A single one has no name relative to the sides.
            differences=tuple(each if each.name else each._replace(name=target.name) for each in course.differences),
            failures=tuple(course.failures),
        )
        return _ended(course, result, telling)


def one(
    sides: tuple[Client, Client], operation: str, source: Side, target: Side, asked: Asked, progress: Any
) -> CopyResult:
    """See `Client.copy` and `Client.move`."""
    if operation == "mv" and asked.verify == "off":
        raise ConfigError('verify: "off" is nothing for a move, which removes the source')
    if asked.words["version_id"] is not None and not source.is_remote:
        raise ConfigError("version_id goes with a source at a store")
    request = {
        **words(sides[1], source, target, asked),
        "operation": operation,
        "selections": [source.named(asked.words["version_id"])],
        "goal": target.goal(),
        "copies_on_server": sides[0] is sides[1],
        "one_store": _apart.is_one_store(*sides),
        "tells_report": True,
    }
    del request["version_id"]
    if operation == "mv":
        request["verify"] = asked.verify  # no setting switches it off for what removes its source
    with Course(progress, source.shown) as course:
        course.run(*sides, request)
        if course.failures:
            raise course.failures[0]
        if course.report is None:
            text = f'"{escape(target.shown)}" exists'
            raise AlreadyExistsError(text, bucket=target.bucket, key=target.name if target.is_remote else None)
        course.finish()
        last_modified = moment(course.report["last_modified"])
        return CopyResult(source.shown, target.shown, **common(course.report), last_modified=last_modified)


def delete(client: Client, uris: str | Iterable[str], version_id: str | None, telling: Telling) -> BatchResult | None:
    """See `Client.delete`."""
    if isinstance(uris, str):
        if telling != Telling():
            raise ConfigError("errors and progress go with an iterable of URIs")
        bucket, key = object_uri(uris)
        client._native().delete_object(bucket, key, version_id)
        return None
    if version_id is not None:
        raise ConfigError("version_id goes with a single URI only")
    waiting = iter(uris)
    with Course(telling.progress, "delete") as course:
        while True:
            objects = [object_uri(uri) for uri in itertools.islice(waiting, _AHEAD)]
            if not objects and course.counts:
                break
            entries = [(b"", (bucket, key, None), None) for bucket, key in objects]
            course.run(client, client, {"operation": "rm", "selections": [{"kind": "named", "entries": entries}]})
        counts = {**_counts(course, None, None), "done": course.counts["deleted"]}
        return _ended(course, BatchResult(**counts), telling, "could not be removed")


def words(client: Client, source: Side, target: Side, asked: Asked) -> dict[str, Any]:
    """What was said of every transfer, in the words of the core.

    Raises:
        ConfigError: an option is malformed, or does not go with these sides.
    """
    _check_options(source, target, asked)
    settings = client._settings
    verify = one_of("auto", "require", "off")(asked.verify, "verify")
    if verify == "auto" and settings.response_checksum_validation.value == "when_required":
        verify = "off"
    overwrite = asked.overwrite
    if not isinstance(overwrite, bool):
        overwrite = one_of(*_TESTS)(overwrite, "overwrite")
    resumes = asked.resume if asked.resume is not None else not target.is_remote
    request: dict[str, Any] = {
        "dry_run": False,
        **asked.words,
        **_object_words(client, asked),
        "no_clobber": overwrite is False,
        "verify": verify,
        "resume_downloads": resumes,
        "resume_uploads": resumes and target.is_remote,
        "durable": settings.durable if asked.durable is None else asked.durable,
        "direct_io": None if asked.direct_io == "auto" else asked.direct_io,
    }
    if isinstance(overwrite, str):
        request[_TESTS[overwrite]] = True
    return request


def _check_options(source: Side, target: Side, asked: Asked) -> None:
    """An option that says nothing about these sides is an error, never ignored."""
    check_part_size(asked.words["part_size"])
    for name in ("max_concurrency", "workers"):
        check_count(asked.words.get(name), name)
    unknown = sorted(set(asked.options) - set(ObjectWords.__annotations__))
    if unknown:
        raise TypeError(f"unexpected keyword argument '{unknown[0]}'")
    if not target.is_remote:
        for name, value in asked.options.items():
            if value is not None:
                raise ConfigError(f"{name} goes with a destination at a store")
    elif asked.durable is not None or asked.direct_io != "auto":
        raise ConfigError("durable and direct_io go with a local destination")
    if asked.replace_metadata is not None and not (source.is_remote and target.is_remote):
        raise ConfigError("replace_metadata goes with two sides at stores: other objects have no metadata to keep")
    if asked.resume and source.is_remote and target.is_remote:
        raise ConfigError("resume goes with a local side: a copy at the store starts anew")


def _object_words(client: Client, asked: Asked) -> dict[str, Any]:
    given: dict[str, Any] = dict(asked.options)
    extra = given.pop("extra_args", None)
    wanted, more = _headers.merge(given, extra)
    if wanted.if_match is not None or wanted.if_none_match is not None:
        raise ConfigError("extra_args: IfMatch and IfNoneMatch go with `upload`; see overwrite")
    replaces = asked.replace_metadata
    if replaces is None:
        replaces = any(getattr(wanted, name) is not None for name in _REPLACING)
    checksum = wanted.checksum or usual_checksum(client)
    return {
        **object_words(wanted, more),
        "replace_metadata": replaces,
        "checksum": None if checksum is None else checksum.lower(),
    }


def _counts(course: Course, source: Side | None, target: Side | None) -> dict[str, Any]:
    counts = course.counts
    return {
        "source": None if source is None else source.shown,
        "destination": None if target is None else target.shown,
        **{name: counts[name] for name in ("done", "skipped", "failed")},
        "bytes": counts["transferred"],
        "resumed_bytes": counts["resumed"],
        "seconds": course.seconds,
        "verified": {name: counts[name] for name in ("full_object", "parts", "length") if counts[name]},
        "failures": tuple(course.failures),
    }


def _must_have_found(course: Course, source: Side) -> None:
    if not course.counts["found"] and not course.counts["failed"]:
        raise NotFoundError(f'no object found: "{escape(source.shown)}"', bucket=source.bucket, key=source.name)


def _ended(course: Course, result: R, telling: Telling, what: str = "failed") -> R:
    """The result; or what is raised instead of it.

    Raises:
        BatchError: some objects failed, and that is to be raised.
    """
    counts = course.counts
    course.finish()
    if not counts["failed"]:
        return result
    others = sum(counts[name] for name in ("done", "skipped", "deleted", "differs"))
    if course.broken is not None and counts["failed"] == 1 and not others:
        # The call as a whole: no bucket, no permission to list, no store.
        raise course.broken
    if telling.errors == "return":
        return result
    held = counts["held_back"]
    text = f"{counts['failed']} of {counts['failed'] + others} objects {what}"
    if held:
        text += f", and {'1 deletion was' if held == 1 else f'{held} deletions were'} held back"
    text = f"{text}; first: {course.failures[0]}"
    if course.refused is not None and counts["failed"] == 1:
        text = str(course.failures[0])
    error = BatchError(text, failures=course.failures)
    error.result = result
    raise error
