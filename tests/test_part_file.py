"""`PartFile`: any order, any thread, once each; a crash loses no finished part (python.md)."""

from __future__ import annotations

import errno
import os
import pickle
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from support.data import MIB, is_pattern, leftovers, pattern

import s3z
from s3z import PartFile, PartState

if TYPE_CHECKING:
    from pathlib import Path

SIZE = 9 * MIB + 777
PART = MIB


def write(file: PartFile, numbers: list[int], size: int = SIZE) -> None:
    data = pattern(size)
    for number in numbers:
        start, stop = file.part_range(number)
        file.write_part(number, data[start:stop])


@pytest.mark.parametrize("part_size", [PART, 777_777, 4 * MIB, SIZE, 2 * SIZE])
def test_eight_threads_in_random_order(tmp_path: Path, part_size: int) -> None:
    data = memoryview(pattern(SIZE))
    with PartFile(tmp_path / "made/file", SIZE, part_size=part_size, durable=True) as file:
        numbers = list(range(1, file.part_count + 1))
        random.shuffle(numbers)

        def send(number: int) -> None:
            start, stop = file.part_range(number)
            file.write_part(number, data[start:stop], etag=f'"e{number}"')

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(send, numbers))
        assert file.is_complete
        assert not (tmp_path / "made/file").exists()
        result = file.publish()
    assert (result.total_bytes, result.part_count) == (SIZE, len(numbers))
    assert result.etags == {number: f"e{number}" for number in numbers}
    assert is_pattern(tmp_path / "made/file", SIZE)
    assert leftovers(tmp_path) == []


CRASH = """
import os, sys, s3z
sys.path.insert(0, sys.argv[2])
from support.data import pattern
size, part = int(sys.argv[3]), int(sys.argv[4])
data = pattern(size)
file = s3z.PartFile(sys.argv[1], size, part_size=part)
for number in map(int, sys.argv[5].split(",")):
    start, stop = file.part_range(number)
    file.write_part(number, data[start:stop])
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("part_size", [PART, 777_777])
def test_killed_half_way(tmp_path: Path, part_size: int) -> None:
    path = tmp_path / "file"
    support = os.path.dirname(__file__)
    arguments = [str(path), support, str(SIZE), str(part_size), "5,2,7,1"]
    done = subprocess.run([sys.executable, "-c", CRASH, *arguments], timeout=60, check=False)
    assert done.returncode == -9
    assert len(leftovers(tmp_path)) == 2
    with PartFile(path, SIZE, part_size=part_size) as file:
        complete = [part.number for part in file.parts() if part.state is PartState.COMPLETE]
        assert complete == [1, 2, 5, 7]
        assert file.resumed_bytes == 4 * part_size
        write(file, [part.number for part in file.parts() if part.state is PartState.PENDING])
        file.publish()
    assert is_pattern(path, SIZE)
    assert leftovers(tmp_path) == []


def test_neighbours_in_order(tmp_path: Path) -> None:
    """What was written in order is claimed as one, and still counts part by part."""
    with PartFile(tmp_path / "file", SIZE, part_size=777_777) as file:
        write(file, [1, 2, 3, 4, 5])
    with PartFile(tmp_path / "file", SIZE, part_size=777_777) as file:
        assert file.completed_count == 5
        write(file, list(range(6, file.part_count + 1)))
        file.publish()
    assert is_pattern(tmp_path / "file", SIZE)


def test_damaged_or_other_plans_are_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with PartFile(path, SIZE, part_size=PART) as file:
        write(file, [5, 2, 7])
    [temp] = tmp_path.glob(".s3z-*.part")
    with temp.open("r+b") as content:
        content.seek(PART + 5)
        content.write(b"?")
    with PartFile(path, SIZE, part_size=PART) as file:
        assert [part.number for part in file.parts() if part.state is PartState.COMPLETE] == [5, 7]
    with PartFile(path, SIZE, part_size=2 * PART) as file:
        assert file.completed_count == 0
        file.abort()
    for left in leftovers(tmp_path):
        os.unlink(left)


class TestMistakes:
    def test_twice_holes_lengths(self, tmp_path: Path) -> None:
        with PartFile(tmp_path / "file", SIZE, part_size=PART) as file:
            write(file, [1])
            with pytest.raises(ValueError, match="part 1 was written already"):
                write(file, [1])
            for number, length in ((2, PART - 1), (2, PART + 1), (10, PART), (0, PART), (11, 1), (-1, 1), (1 << 32, 1)):
                with pytest.raises(ValueError, match="part"):
                    file.write_part(number, bytes(length))
            with pytest.raises(s3z.ConfigError, match="part 2 was not written"):
                file.publish()
            write(file, list(range(2, 11)))
            file.publish()
            with pytest.raises(ValueError, match="closed"):
                file.write_part(1, bytes(PART))
        assert is_pattern(tmp_path / "file", SIZE)

    def test_arguments(self, tmp_path: Path) -> None:
        for size, part_size in ((0, PART), (-1, PART), (SIZE, 0), (SIZE, -1)):
            with pytest.raises(s3z.ConfigError):
                PartFile(tmp_path / "file", size, part_size=part_size)
        with pytest.raises(IsADirectoryError):
            PartFile(tmp_path, SIZE)
        (tmp_path / "old").write_text("old")
        with pytest.raises(FileExistsError):
            PartFile(tmp_path / "old", SIZE, overwrite=False)
        with PartFile(tmp_path / "new", 5) as file:
            with pytest.raises(TypeError, match="pickled"):
                pickle.dumps(file)
            assert repr(file) == f"<s3z.PartFile {tmp_path}/new 0 of 1 parts>"
            file.abort()
        assert leftovers(tmp_path) == []
        assert (tmp_path / "old").read_text() == "old"

    def test_exception_keeps_what_is_written(self, tmp_path: Path) -> None:
        def fail() -> None:
            with PartFile(tmp_path / "file", SIZE, part_size=PART) as file:
                write(file, [4])
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        with PartFile(tmp_path / "file", SIZE, part_size=PART) as file:
            assert file.completed_count == 1
            file.abort()
        assert leftovers(tmp_path) == []

    def test_full_disk(self, small_disk: Path) -> None:
        with pytest.raises(OSError, match="No space left") as caught:
            PartFile(small_disk / "file", SIZE, part_size=PART)
        assert caught.value.errno == errno.ENOSPC
        assert os.listdir(small_disk) == []
