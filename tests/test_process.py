"""s3z inside a process: other threads go on, Ctrl-C works, children of a fork may use it, and the end is quiet."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from support.command import python
from support.data import MIB, is_pattern, leftovers, remove_leftovers, write_pattern

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.command import Command
    from support.servers import FakeS3

    import s3z

PART = 5 * MIB


class TestThreads:
    def test_another_thread_runs_during_a_download(
        self, fake_s3: FakeS3, fake_client: s3z.Client, tmp_path: Path
    ) -> None:
        """Y1: the GIL is released."""
        fake_s3.pattern("b", "k", 24 * MIB)
        fake_s3.switch(rate_total=24 * MIB)
        turns = [0]
        done = threading.Event()

        def work() -> None:
            while not done.is_set():
                turns[0] += 1
                time.sleep(0.001)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            before = turns[0]
            fake_client.download("s3://b/k", tmp_path / "k")
            during = turns[0] - before
        finally:
            done.set()
            thread.join()
            fake_s3.switch(rate_total=0)
        assert during > 50

    def test_16_threads_share_a_client(
        self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client, tmp_path: Path
    ) -> None:
        def work(number: int) -> None:
            size = 200_000 + 1_000_003 * (number % 4)
            source = write_pattern(tmp_path / f"up{number}", size, seed=number + 1)
            uri = f"s3://{fake_bucket}/{number}"
            fake_client.upload(source, uri)
            fake_client.download(uri, tmp_path / f"down{number}", part_size=300_000)
            assert is_pattern(tmp_path / f"down{number}", size, seed=number + 1)
            assert fake_client.head(uri).size == size

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(work, range(48)))

    def test_first_use_by_many_threads_at_once(self, fake_s3: FakeS3, tmp_path: Path) -> None:
        fake_s3.put("b", "k", b"hello")
        code = (
            "import s3z, threading\n"
            "barrier, found = threading.Barrier(16), []\n"
            "def work():\n    barrier.wait(); found.append(s3z.head('s3://b/k').size)\n"
            "threads = [threading.Thread(target=work) for _ in range(16)]\n"
            "[thread.start() for thread in threads]; [thread.join() for thread in threads]\n"
            "assert found == [5] * 16, found\n"
        )
        outcome = python(code, env=fake_s3.environment())
        assert (outcome.status, outcome.stderr) == (0, "")

    def test_exception_in_a_thread_does_not_touch_the_others(
        self, fake_s3: FakeS3, fake_client: s3z.Client, tmp_path: Path
    ) -> None:
        import s3z as package

        fake_s3.pattern("b", "k", 20 * MIB)

        def work(number: int) -> str:
            try:
                fake_client.download(f"s3://b/{'k' if number % 2 else 'none'}", tmp_path / f"{number}")
            except package.NotFoundError:
                return "missing"
            return "there"

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(work, range(8))) == ["missing", "there"] * 4
        assert all(is_pattern(tmp_path / f"{number}", 20 * MIB) for number in (1, 3, 5, 7))


TRANSFER = """
import sys, time, s3z
from s3z import TransferConfig

def started(event):
    if event.received and not told:
        told.append(1)
        print("started", flush=True)

told = []
kind, where = sys.argv[1:]
try:
    if kind == "download":
        s3z.download("s3://b/k", where, progress=started)
    else:
        s3z.upload(where, "s3://b/up", part_size=5 << 20, progress=started)
    print("done", flush=True)
except BaseException as error:
    words = repr([*error.args, *getattr(error, "__notes__", []), getattr(error, "upload_id", None)])
    print(type(error).__name__, time.clock_gettime(time.CLOCK_MONOTONIC), words, flush=True)
    raise
"""


class TestInterrupt:
    """Y2. How long it took is printed; the bound is generous."""

    @pytest.fixture
    def slow(self, fake_s3: FakeS3) -> FakeS3:
        fake_s3.pattern("b", "k", 200 * MIB)
        fake_s3.switch(rate_total=10 * MIB)
        return fake_s3

    def start(self, server: FakeS3, tmp_path: Path, kind: str, where: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", TRANSFER, kind, where],
            env={**os.environ, **server.environment()},
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        return process

    @pytest.mark.parametrize("kind", ["download", "upload"])
    def test_ctrl_c_in_a_call(
        self, slow: FakeS3, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "out").mkdir()
        where = tmp_path / "out/k"
        if kind == "upload":
            write_pattern(where, 60 * MIB)
        process = self.start(slow, tmp_path, kind, str(where))
        sent = time.clock_gettime(time.CLOCK_MONOTONIC)
        process.send_signal(signal.SIGINT)
        told, errors = process.communicate(timeout=20)
        name, returned, _ = told.split(maxsplit=2)
        took = float(returned) - sent
        with capsys.disabled():
            print(f"\n[Ctrl-C in a throttled {kind}: {took * 1000:.0f} ms]", end="")
        assert name == "KeyboardInterrupt"
        assert process.returncode == -signal.SIGINT
        assert took < (1 if kind == "download" else 3)
        assert "\nKeyboardInterrupt\n" in errors
        assert slow.uploads() == []
        if kind == "download":
            assert not where.exists()
            kept = sorted(name.rpartition(".")[2] for name in leftovers(tmp_path / "out"))
            assert kept in ([], ["ledger", "part"])
            assert ("kept beside the destination" in errors) == bool(kept)
            remove_leftovers(tmp_path / "out")
        else:
            assert leftovers(tmp_path) == []
        assert slow.do("keys", bucket="b")["keys"] == ["k"]

    @pytest.mark.parametrize("kind", ["download", "upload"])
    def test_client_is_usable_afterwards(self, slow: FakeS3, tmp_path: Path, kind: str) -> None:
        if kind == "upload":
            write_pattern(tmp_path / "k", 60 * MIB)
        slow.put("b", "small", b"hello")
        code = TRANSFER.replace("    raise\n", "") + "s3z.download('s3://b/small', 'small')\n"
        process = subprocess.Popen(
            [sys.executable, "-c", code, kind, str(tmp_path / "k")],
            env={**os.environ, **slow.environment()}, cwd=tmp_path, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=20)
        assert told.startswith("KeyboardInterrupt")
        assert process.returncode == 0
        assert (tmp_path / "small").read_bytes() == b"hello"
        if kind == "download":
            remove_leftovers(tmp_path)  # kept to go on with, if anything was written

    def test_second_ctrl_c_returns_at_once_and_names_the_upload(self, slow: FakeS3, tmp_path: Path) -> None:
        write_pattern(tmp_path / "k", 60 * MIB)
        slow.rule({"type": "stall", "seconds": 30, "in_head": True}, operation="AbortMultipartUpload")
        process = self.start(slow, tmp_path, "upload", str(tmp_path / "k"))
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)  # the clean-up has begun, and hangs
        sent = time.clock_gettime(time.CLOCK_MONOTONIC)
        process.send_signal(signal.SIGINT)
        told, errors = process.communicate(timeout=20)
        name, returned, words = told.split(maxsplit=2)
        assert name == "KeyboardInterrupt"
        assert float(returned) - sent < 1
        log = slow.log(operation="UploadPart")
        left = {record["query"].partition("uploadId=")[2].partition("&")[0] for record in log}
        slow.do("reset")
        assert len(left) == 1
        assert left.pop() in words + errors

    @pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
    @pytest.mark.parametrize("kind", ["download", "upload"])
    def test_signals_of_the_command(
        self, slow: FakeS3, command: Callable[..., Command], tmp_path: Path, kind: str, name: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        """#72, #73: the shell sees the signal; the summary is written; nothing is left."""
        number = getattr(signal, name)
        (tmp_path / "out").mkdir()
        if kind == "upload":
            write_pattern(tmp_path / "out/k", 60 * MIB)
        pair = ("s3://b/k", "out/k") if kind == "download" else ("out/k", "s3://b/up")
        process = command(slow).start("--json", "--log-progress", "0.1", "cp", "-p", "5", *pair)
        assert process.stderr is not None
        assert b'"progress"' in process.stderr.readline()
        sent = time.monotonic()
        process.send_signal(number)
        told, errors = process.communicate(timeout=20)
        with capsys.disabled():
            print(f"\n[{name} to a throttled {kind} by command: {(time.monotonic() - sent) * 1000:.0f} ms]", end="")
        assert process.returncode == -number
        summary = json.loads(told.splitlines()[-1])
        assert (summary["record"], summary["interrupted"], summary["exit_code"]) == ("summary", True, 128 + number)
        assert b'"interrupted"' in errors
        assert b"Traceback" not in errors
        assert slow.uploads() == []
        assert slow.do("keys", bucket="b")["keys"] == ["k"]
        if kind == "download":
            assert "k" not in os.listdir(tmp_path / "out")
            assert len(leftovers(tmp_path / "out")) in (0, 2)
            assert (b"kept beside the destination" in errors) == bool(leftovers(tmp_path / "out"))
            remove_leftovers(tmp_path / "out")

    @pytest.mark.parametrize("flags", [[], ["--json"]], ids=["text", "json"])
    def test_second_signal_ends_the_command_at_once(
        self, slow: FakeS3, command: Callable[..., Command], tmp_path: Path, flags: list[str]
    ) -> None:
        write_pattern(tmp_path / "k", 60 * MIB)
        slow.rule({"type": "stall", "seconds": 30, "in_head": True}, operation="AbortMultipartUpload")
        process = command(slow).start(*flags, "--log-progress", "0.1", "cp", "-p", "5", "k", "s3://b/up")
        assert process.stderr is not None
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        slow.do("reset")
        assert time.monotonic() - sent < 1
        assert process.returncode == -signal.SIGINT
        assert b"interrupted again" in errors
        if flags:
            record = [json.loads(line) for line in errors.splitlines()][-1]
            assert (record["record"], record["level"]) == ("log", "error")
            assert record["message"].startswith("interrupted again: ")

    def test_ignored_signal_stays_ignored(self, slow: FakeS3, command: Callable[..., Command], tmp_path: Path) -> None:
        slow.switch(rate_total=0)
        slow.pattern("b", "k", 30 * MIB)
        slow.switch(rate_total=30 * MIB)
        process = command(slow).start(
            "--log-progress",
            "0.1",
            "cp",
            "s3://b/k",
            "k",
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
        )
        assert process.stderr is not None
        process.stderr.readline()
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=60)
        assert process.returncode == 0
        assert is_pattern(tmp_path / "k", 30 * MIB)

    def test_no_handler_is_installed_by_the_library(self, fake_s3: FakeS3, tmp_path: Path) -> None:
        fake_s3.put("b", "k", b"hello")
        code = (
            "import s3z, signal\n"
            "numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD, signal.SIGALRM]\n"
            "before = [signal.getsignal(each) for each in numbers]\n"
            f"s3z.download('s3://b/k', {str(tmp_path / 'k')!r})\n"
            "assert before == [signal.getsignal(each) for each in numbers]\n"
        )
        assert python(code, env=fake_s3.environment()).status == 0


FORK = """
import os, signal, sys, s3z
signal.alarm(60)
client = s3z.Client()
client.download("s3://b/k", "parent")
for number in range(int(sys.argv[1])):
    child = os.fork()
    if child == 0:
        try:
            client.download("s3://b/k", f"child{number}")
            s3z.download("s3://b/k", f"default{number}")
            os._exit(0)
        except BaseException as error:
            os.write(2, repr(error).encode())
            os._exit(7)
    if number % 4 == 3:
        client.download("s3://b/k", "parent")
    assert os.waitpid(child, 0)[1] == 0, number
client.download("s3://b/k", "parent")
"""

POOL = """
import multiprocessing, os, sys, s3z
client = s3z.Client()

def work(number):
    client.download("s3://b/k", f"pool{number}")
    return os.path.getsize(f"pool{number}")

if __name__ == "__main__":
    client.download("s3://b/k", "parent")
    context = multiprocessing.get_context(sys.argv[1])
    with context.Pool(4) as pool:
        assert pool.map(work, range(20)) == [3 << 20] * 20
    client.download("s3://b/k", "parent")
"""

TRAFFIC = """
import os, signal, sys, threading, s3z
signal.alarm(60)
client = s3z.Client()
stop = threading.Event()

def traffic(number):
    while not stop.is_set():
        client.download("s3://b/k", f"thread{number}")

threads = [threading.Thread(target=traffic, args=(number,)) for number in range(4)]
[thread.start() for thread in threads]
try:
    for number in range(20):
        child = os.fork()
        if child == 0:
            try:
                client.download("s3://b/k", f"child{number}")
                os._exit(0)
            except BaseException as error:
                os.write(2, repr(error).encode())
                os._exit(7)
        assert os.waitpid(child, 0)[1] == 0, number
finally:
    stop.set()
    [thread.join() for thread in threads]
"""


class TestFork:
    """Y3, #74."""

    @pytest.fixture(autouse=True)
    def object(self, fake_s3: FakeS3) -> None:
        fake_s3.pattern("b", "k", 3 * MIB)

    def test_child_downloads_after_the_parent_has(self, fake_s3: FakeS3, tmp_path: Path) -> None:
        outcome = python(FORK, "20", env=fake_s3.environment(), cwd=tmp_path)
        assert (outcome.status, outcome.stderr) == (0, "")
        assert all(is_pattern(tmp_path / f"child{number}", 3 * MIB) for number in range(20))
        assert all(is_pattern(tmp_path / f"default{number}", 3 * MIB) for number in range(20))

    def test_child_downloads_while_threads_of_the_parent_do(self, fake_s3: FakeS3, tmp_path: Path) -> None:
        outcome = python(TRAFFIC, env=fake_s3.environment(), cwd=tmp_path)
        assert (outcome.status, outcome.stderr) == (0, "")
        assert all(is_pattern(tmp_path / f"child{number}", 3 * MIB) for number in range(20))

    @pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
    def test_multiprocessing(self, fake_s3: FakeS3, tmp_path: Path, method: str) -> None:
        (tmp_path / "program.py").write_text(POOL)
        done = subprocess.run(
            [sys.executable, "program.py", method],
            cwd=tmp_path,
            env={**os.environ, **fake_s3.environment()},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert all(is_pattern(tmp_path / f"pool{number}", 3 * MIB) for number in range(20))


class TestEnd:
    """Y4, #75: no crash, no hang."""

    @pytest.mark.parametrize(
        "code",
        [
            "s3z.download('s3://b/k', 'k')",
            "client = s3z.Client(); client.download('s3://b/k', 'k'); entries = client.list('s3://b'); next(entries)",
            "import atexit; atexit.register(lambda: s3z.download('s3://b/k', 'k'))",
            "s3z.download('s3://b/k', 'k'); sys.exit(0)",
        ],
        ids=["after", "with-handles", "at-exit", "sys-exit"],
    )
    def test_exit_right_after_a_transfer(self, fake_s3: FakeS3, tmp_path: Path, code: str) -> None:
        fake_s3.pattern("b", "k", 3 * MIB)
        for _ in range(5):
            outcome = python(f"import sys, s3z\n{code}\n", env=fake_s3.environment(), cwd=tmp_path, timeout=20)
            assert (outcome.status, outcome.stdout, outcome.stderr) == (0, "", "")
        assert is_pattern(tmp_path / "k", 3 * MIB)

    @pytest.mark.parametrize("kind", ["download", "upload"])
    def test_exit_while_a_daemon_thread_transfers(self, fake_s3: FakeS3, tmp_path: Path, kind: str) -> None:
        fake_s3.pattern("b", "k", 200 * MIB)
        fake_s3.switch(rate_total=10 * MIB)
        write_pattern(tmp_path / "up", 60 * MIB)
        call = (
            "s3z.download('s3://b/k', 'k', progress=seen)"
            if kind == "download"
            else "s3z.upload('up', 's3://b/up', part_size=5 << 20, progress=seen)"
        )
        code = (
            "import threading, s3z\n"
            "started = threading.Event()\n"
            "def seen(event):\n    if event.received: started.set()\n"
            f"threading.Thread(target=lambda: {call}, daemon=True).start()\n"
            "assert started.wait(20)\n"
        )
        for _ in range(5):
            began = time.monotonic()
            outcome = python(code, env=fake_s3.environment(), cwd=tmp_path, timeout=30)
            assert (outcome.status, outcome.stderr) == (0, ""), outcome
            assert time.monotonic() - began < 15
        assert not (tmp_path / "k").exists()
        assert len(leftovers(tmp_path)) in (0, 2), "five ends keep no more than one does"
        remove_leftovers(tmp_path)


class TestStart:
    """What `import s3z` brings with it, and what it costs; figures are printed, not judged."""

    def test_import_brings_no_boto3_no_native_module_no_thread(self) -> None:
        code = (
            "import sys, threading, os, s3z\n"
            "late = {'boto3', 'botocore', 'tqdm', 'asyncio', 'argparse', 's3z._core', 's3z._client'}\n"
            "bad = late & set(sys.modules)\n"
            "assert not bad, bad\n"
            "s3z.Client\n"
            "assert not {'boto3', 'botocore', 'tqdm', 'asyncio'} & set(sys.modules)\n"
            "assert threading.active_count() == 1 and len(os.listdir('/proc/self/task')) == 1\n"
        )
        outcome = python(code)
        assert (outcome.status, outcome.stderr) == (0, "")

    def test_client_starts_no_thread_before_its_first_request(self, fake_s3: FakeS3) -> None:
        fake_s3.put("b", "k", b"hello")
        code = (
            "import os, sys, s3z\n"
            "client = s3z.Client()\n"
            "assert len(os.listdir('/proc/self/task')) == 1\n"
            "client.head('s3://b/k')\n"
            "assert len(os.listdir('/proc/self/task')) > 1\n"
            "assert not {'boto3', 'botocore'} & set(sys.modules), 'keys of the environment need no botocore'\n"
        )
        outcome = python(code, env=fake_s3.environment())
        assert (outcome.status, outcome.stderr) == (0, "")

    def test_start_up_times(self, command: Callable[..., Command], capsys: pytest.CaptureFixture[str]) -> None:
        run = command()

        def median(action: Callable[[], Any]) -> float:
            times = []
            for _ in range(7):
                began = time.perf_counter()
                action()
                times.append(time.perf_counter() - began)
            return sorted(times)[3] * 1000

        bare = median(lambda: python("pass"))
        imported = median(lambda: python("import s3z"))
        with_client = median(lambda: python("import s3z; s3z.Client(region='x')"))
        version = median(lambda: run("--version"))
        help_text = median(lambda: run("--help"))
        with capsys.disabled():
            print(
                f"\n[python {bare:.0f} ms, with import s3z {imported:.0f}, with a client {with_client:.0f}; "
                f"s3z --version {version:.0f}, --help {help_text:.0f}]",
                end="",
            )
        assert version < 2000


def test_descriptors_and_threads_do_not_grow(fake_s3: FakeS3, fake_client: s3z.Client, tmp_path: Path) -> None:
    """T8."""
    fake_s3.pattern("b", "k", 20 * MIB)

    def gauges() -> tuple[int, int]:
        return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))

    for _ in range(3):
        fake_client.download("s3://b/k", tmp_path / "k")
    descriptors, threads = gauges()
    for _ in range(15):
        fake_client.download("s3://b/k", tmp_path / "k")
    after = gauges()
    assert after[0] <= descriptors + 8, "connections may stay open, but not ever more of them"
    assert after[1] <= threads + 2


def test_few_descriptors_are_enough(fake_s3: FakeS3, tmp_path: Path) -> None:
    """#70."""
    fake_s3.pattern("b", "k", 60 * MIB)
    code = "import resource, s3z\nresource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))\ns3z.download('s3://b/k', 'k')\n"
    outcome = python(code, env=fake_s3.environment(), cwd=tmp_path)
    assert (outcome.status, outcome.stderr) == (0, "")
    assert is_pattern(tmp_path / "k", 60 * MIB)


def test_leaks_would_be_seen(fake_s3: FakeS3, tmp_path: Path) -> None:
    """The look for leaks after each test is not blind."""
    fake_s3.do("create_bucket", bucket="b")
    upload = fake_s3.boto3.create_multipart_upload(Bucket="b", Key="k")
    assert [each["upload_id"] for each in fake_s3.uploads()] == [upload["UploadId"]]
    fake_s3.boto3.abort_multipart_upload(Bucket="b", Key="k", UploadId=upload["UploadId"])
    assert fake_s3.uploads() == []
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/.s3z-x.part").write_text("")
    assert leftovers(tmp_path) == [str(tmp_path / "deep/.s3z-x.part")]
    (tmp_path / "deep/.s3z-x.part").unlink()
