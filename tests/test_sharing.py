"""One client in many hands: callbacks that rest or download themselves, 64 threads, other interpreters (#77, #78)."""

from __future__ import annotations

import itertools
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from support.command import python
from support.data import MIB, is_pattern

if TYPE_CHECKING:
    from pathlib import Path

    from support.servers import FakeS3

    import s3z


class TestProgressCallback:
    """Y7."""

    def test_rest_in_it_does_not_stop_the_network(
        self, fake_s3: FakeS3, fake_client: s3z.Client, tmp_path: Path
    ) -> None:
        fake_s3.pattern("b", "k", 40 * MIB)
        fake_s3.switch(rate_total=60 * MIB)
        rests: list[tuple[float, float]] = []

        def rest(event: s3z.ProgressEvent) -> None:
            if not rests:
                began = time.time()
                time.sleep(1)
                rests.append((began, time.time()))

        fake_client.download("s3://b/k", tmp_path / "k", part_size=MIB, max_concurrency=4, progress=rest)
        assert is_pattern(tmp_path / "k", 40 * MIB)
        began, ended = rests[0]
        during = [record for record in fake_s3.log(operation="GetObject") if began < record["time"] < ended]
        assert len(during) > 10

    def test_comes_ten_times_a_second_at_most(self, fake_s3: FakeS3, fake_client: s3z.Client, tmp_path: Path) -> None:
        fake_s3.pattern("b", "k", 30 * MIB)
        fake_s3.switch(rate_total=30 * MIB)
        times: list[float] = []
        began = time.monotonic()
        fake_client.download(
            "s3://b/k", tmp_path / "k", part_size=64 << 10, progress=lambda event: times.append(time.monotonic())
        )
        took = time.monotonic() - began
        assert 2 <= len(times) <= 10 * took + 2
        gaps = [later - earlier for earlier, later in itertools.pairwise(times[:-1])]
        assert all(gap > 0.05 for gap in gaps), "the last one may follow at once"

    def test_may_download_itself(self, fake_s3: FakeS3, fake_client: s3z.Client, tmp_path: Path) -> None:
        fake_s3.pattern("b", "k", 20 * MIB)
        fake_s3.pattern("b", "other", 9 * MIB, seed=2)
        fake_s3.switch(rate_total=60 * MIB)
        inner: list[int] = []

        def again(event: s3z.ProgressEvent) -> None:
            if len(inner) < 3:
                inner.append(len(inner))
                fake_client.download("s3://b/other", tmp_path / f"other{inner[-1]}")

        fake_client.download("s3://b/k", tmp_path / "k", progress=again)
        assert is_pattern(tmp_path / "k", 20 * MIB)
        assert len(inner) >= 1
        assert all(is_pattern(tmp_path / f"other{number}", 9 * MIB, seed=2) for number in inner)

    @pytest.mark.parametrize("fault", ["broken", "wrong"])
    def test_never_counts_a_byte_twice(
        self, fake_s3: FakeS3, fake_client: s3z.Client, tmp_path: Path, fault: str
    ) -> None:
        size = 24 * MIB
        fake_s3.pattern("b", "k", size)
        fake_s3.switch(rate_total=40 * MIB)
        if fault == "broken":
            fake_s3.rule({"type": "truncate", "after": 300_000}, times=12, operation="GetObject", skip=1)
        else:
            # Found out at the end; all of it is fetched once more.
            fake_s3.rule({"type": "bit_flip", "offset": 9 * MIB}, times=1, operation="GetObject", range_min=8 * MIB)
        events: list[s3z.ProgressEvent] = []
        fake_client.download("s3://b/k", tmp_path / "k", part_size=4 * MIB, progress=events.append)
        assert is_pattern(tmp_path / "k", size)
        assert all(event.durable <= event.received <= size for event in events)
        assert (events[-1].received, events[-1].durable) == (size, size)
        if fault == "broken":
            assert events == sorted(events, key=lambda event: (event.received, event.durable))


class TestThreads:
    """Y5."""

    def test_64_on_one_client(self, fake_s3: FakeS3, fake_client: s3z.Client, tmp_path: Path) -> None:
        size = MIB + 7
        fake_s3.pattern("b", "k", size)
        start = threading.Barrier(64)
        most = [0]

        def work(number: int) -> None:
            start.wait()
            for turn in range(2):
                fake_client.download("s3://b/k", tmp_path / f"{number}-{turn}", part_size=256 << 10)
                most[0] = max(most[0], len(os.listdir("/proc/self/task")))

        before = len(os.listdir("/proc/self/task"))
        with ThreadPoolExecutor(64) as pool:
            list(pool.map(work, range(64)))
        assert all(is_pattern(tmp_path / f"{number}-{turn}", size) for number in range(64) for turn in range(2))
        assert most[0] <= before + 64 + 20, "a call starts no thread of its own"

    def test_all_to_one_destination(self, fake_s3: FakeS3, fake_client: s3z.Client, tmp_path: Path) -> None:
        """F11 within a process: the last one wins, whole."""
        for number in range(8):
            fake_s3.pattern("b", f"{number}", 3 * MIB + number, seed=number + 1)
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda n: fake_client.download(f"s3://b/{n % 8}", tmp_path / "k"), range(64)))
        number = (tmp_path / "k").stat().st_size - 3 * MIB
        assert is_pattern(tmp_path / "k", 3 * MIB + number, seed=number + 1)


SUBINTERPRETER = """
import _xxsubinterpreters as interpreters, s3z
s3z.download("s3://b/k", "before")
other = interpreters.create()
try:
    interpreters.run_string(other, '''
try:
    import s3z
    s3z.Client(region="x")
except ImportError as error:
    print("ImportError", flush=True)
''')
finally:
    interpreters.destroy(other)
s3z.download("s3://b/k", "after")
"""


def test_another_interpreter_is_refused(fake_s3: FakeS3, tmp_path: Path) -> None:
    """Y5: with ImportError, and the first one goes on."""
    pytest.importorskip("_xxsubinterpreters")
    fake_s3.pattern("b", "k", 3 * MIB)
    outcome = python(SUBINTERPRETER, env=fake_s3.environment(), cwd=tmp_path)
    assert (outcome.status, outcome.stdout, outcome.stderr) == (0, "ImportError\n", "")
    assert is_pattern(tmp_path / "after", 3 * MIB)
