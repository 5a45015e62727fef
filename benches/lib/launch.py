"""Start one command, wait for it, and report what it used; run by `measure.py` in a bare interpreter.

A process inherits the peak memory of whoever started it (the kernel keeps `maxrss` across exec), so the starter must be
small: this file imports built-in modules only and is run with `-I -S`, which holds its own peak at about 9 MB.
Usage: launch.py REPORT_FD TIMEOUT COMMAND...; the report is one line: status wall user system maxrss_kib.
"""

import posix
import sys
import time


def main() -> None:
    """Run the command and write the report to the given descriptor."""
    report, timeout, command = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
    started = time.perf_counter()
    child = posix.posix_spawn(
        command[0],
        command,
        posix.environ,
        file_actions=[(posix.POSIX_SPAWN_CLOSE, report)],
        setpgroup=0,
    )
    status, usage = wait(child, started + timeout)
    wall = time.perf_counter() - started
    line = f"{posix.waitstatus_to_exitcode(status)} {wall} {usage[0]} {usage[1]} {usage[2]}\n"
    posix.write(report, line.encode())


def wait(child: int, deadline: float) -> tuple[int, tuple[float, ...]]:
    """Wait for the child; end its process group after the deadline, or when this process is asked to stop."""
    import _signal as signal  # type: ignore[import-not-found]  # the plain `signal` imports enum, which costs memory

    def end(_number: int, _frame: object) -> None:
        posix.killpg(child, signal.SIGKILL)

    for number in (signal.SIGALRM, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    signal.setitimer(signal.ITIMER_REAL, max(0.001, deadline - time.perf_counter()))
    _, status, usage = posix.wait4(child, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return status, usage


if __name__ == "__main__":
    main()
