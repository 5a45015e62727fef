"""A short run of `deep/soak.py`, and proofs that its checker is not blind (#84)."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from support.servers import ROOT

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = ROOT / "deep/soak.py"


@pytest.fixture(scope="module")
def soak() -> Any:
    spec = importlib.util.spec_from_file_location("soak", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["soak"] = module
    spec.loader.exec_module(module)
    return module


def test_fifteen_seconds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = subprocess.run(
        [
            sys.executable,
            SCRIPT,
            "--seconds",
            "15",
            "--keys",
            "4",
            "--readers",
            "2",
            "--seed",
            "84",
            "--directory",
            tmp_path,
        ],
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.stdout, done
    figures = json.loads(done.stdout.splitlines()[-1])
    with capsys.disabled():
        print(f"\n[soak: {json.dumps({**figures, 'violations': len(figures['violations'])})}]", end="")
    assert figures["violations"] == []
    assert (done.returncode, done.stderr) == (0, "")
    # A run in which nothing happened would prove nothing.
    assert figures["downloads"] > 10
    assert figures["versions"] > 10
    assert figures["retries"] > 0
    assert figures["kills"] > 0
    assert sum(figures["faults"].values()) > 20


class TestChecker:
    @pytest.mark.parametrize("size", [48, 777, 4096, 5000, 100_000])
    def test_knows_a_version(self, soak: Any, tmp_path: Path, size: int) -> None:
        (tmp_path / "k").write_bytes(soak.content("key", 7, size))
        assert soak.version_of(tmp_path / "k", "key") == 7
        with pytest.raises(soak.ViolationError):
            soak.version_of(tmp_path / "k", "other")

    @pytest.mark.parametrize("at", [0, 9, 17, 25, 33, 41, 4095, 4096 + 30, 19_999])
    def test_sees_a_wrong_byte(self, soak: Any, tmp_path: Path, at: int) -> None:
        data = bytearray(soak.content("key", 7, 20_000))
        data[at] ^= 1
        (tmp_path / "k").write_bytes(data)
        with pytest.raises(soak.ViolationError):
            soak.version_of(tmp_path / "k", "key")

    def test_sees_a_mixture_a_shift_and_a_cut(self, soak: Any, tmp_path: Path) -> None:
        one, two = soak.content("key", 1, 40_960), soak.content("key", 2, 40_960)
        for data in (
            one[:8192] + two[8192:],
            one[:-100] + two[-100:],
            one[:4096] + one[8192:12288] + one[8192:],
            one[:-1],
            one + b"\0",
            one[:8192] + bytes(4096) + one[12288:],
            soak.content("key", 1, 20_480) + one[20_480:],
        ):
            (tmp_path / "k").write_bytes(data)
            with pytest.raises(soak.ViolationError):
                soak.version_of(tmp_path / "k", "key")

    def test_history(self, soak: Any) -> None:
        writes = {1: (0.0, 1.0), 2: (2.0, 3.0), 3: (4.0, None), 4: (5.0, 6.0)}
        for reads, wrong in (
            ([(0.5, 0.7, 1)], False),
            ([(1.5, 1.6, 1), (2.5, 2.6, 1), (2.5, 2.7, 2)], False),
            ([(4.5, 4.6, 3), (4.7, 4.8, 3)], False),
            ([(2.5, 5.5, 1)], False),
            ([(3.1, 3.2, 1)], True),
            ([(6.5, 6.6, 3)], True),
            ([(1.5, 1.9, 2)], True),
            ([(1.5, 1.9, 9)], True),
            ([(2.1, 2.2, 2), (2.3, 2.4, 1)], True),
            ([(4.1, 4.2, 3), (4.3, 4.4, 2)], True),
        ):
            assert bool(soak.History(writes, reads).violations()) is wrong, reads
