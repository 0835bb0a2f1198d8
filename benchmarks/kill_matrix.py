"""Every write of the toolkit, stopped at every call that changes files, and run again.

    python benchmarks/kill_matrix.py                      # all jobs, every call
    python benchmarks/kill_matrix.py --job embed-h5 head --every 3

A job runs once undisturbed, which counts the calls that change files in its folder: open to write,
write, fsync, rename, remove, mkdir, rmdir, chmod, truncate.  Then, for n = 1, 2, 3, ..., it runs
in a new folder and its process ends at the n-th call without a chance to tidy up (`os._exit`, so
that nothing buffered is written).  Where the call renames a file, another run first cuts that file
to half: so it looks when a writer that does not go through Python's files (HDF5, Arrow, torch) is
killed.  The same command then runs undisturbed; it must succeed, give what the first run gave, and
leave no file that the first did not leave.  At last the disk is full from the n-th call on: that
must be one sentence of our own, and the same command with space again must succeed.
"""

from __future__ import annotations

import argparse
import builtins
import contextlib
import errno
import hashlib
import io
import json
import os
import pickle
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KILLED = 9
_SECONDS = 300
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
# Where the arguments of an audit event hold the file and the folder it is relative to.
_EVENTS = {
    "os.rename": (0, 2), "os.remove": (0, 1), "os.mkdir": (0, 2), "os.rmdir": (0, 1),
    "os.chmod": (0, 2), "os.truncate": (0, None), "os.link": (1, 3), "os.symlink": (1, 2),
}  # fmt: skip
_FREES = {"os.remove", "os.rmdir", "os.truncate"}


@dataclass(frozen=True)
class Job:
    """Something that writes files.

    Parameters
    ----------
    run : callable
        Takes the folder; what a user's command does. It may be run again in the same folder.
    result : callable, optional
        Takes the folder; what must be the same. By default the content of every file.
    before : callable, optional
        Takes the folder; what is there when the command runs, such as an older version.
    mixture : callable, optional
        Takes the folder after a kill; raises if what is there is neither whole nor refused.
    volatile : tuple of str
        Files with such a part in their path hold times or random names.
    """

    run: Callable[[Path], Any]
    result: Callable[[Path], Any] | None = None
    before: Callable[[Path], Any] | None = None
    mixture: Callable[[Path], Any] | None = None
    volatile: tuple[str, ...] = ()


class Gate:
    """Counts the calls that change files in a folder, and disturbs the process at one of them."""

    def __init__(self, folder: Path, act: str = "", at: int = 0) -> None:
        self.folder, self.act, self.at = str(folder), act, at
        self.calls: list[str] = []
        self.is_open = True

    def install(self) -> None:
        """Watch this process, to its end."""
        sys.addaudithook(self._audit)
        real_open, real_fsync = io.open, os.fsync

        def counted_open(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            opened = real_open(file, mode, *args, **kwargs)
            path = self._path(file, None)
            if set(mode) & set("wax+") and path is not None:
                write = opened.write

                def counted_write(data: Any) -> Any:
                    self._call("write", path)
                    return write(data)

                opened.write = counted_write
            return opened

        def counted_fsync(fd: Any) -> None:
            path = self._path(fd if isinstance(fd, int) else fd.fileno(), None)
            if path is not None:
                self._call("fsync", path)
            real_fsync(fd)

        builtins.open = io.open = counted_open
        os.fsync = counted_fsync

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.is_open:
            return
        if event == "open":
            if isinstance(args[0], int) or not (args[2] or 0) & _WRITES:
                return
            path = self._path(args[0], None)
        elif event in _EVENTS:
            name, folder = _EVENTS[event]
            path = self._path(args[name], None if folder is None else args[folder])
        else:
            return
        if path is not None:
            self._call(event, path)

    def _path(self, path: Any, folder: Any) -> str | None:
        if path is None:
            return None
        with contextlib.suppress(OSError, TypeError, ValueError):
            if isinstance(path, int):
                path = os.readlink(f"/proc/self/fd/{path}")
            path = os.fsdecode(path)
            if isinstance(folder, int) and folder >= 0:
                path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), path)
            path = os.path.abspath(path)
            return path if path.startswith(self.folder) else None
        return None

    def _call(self, what: str, path: str) -> None:
        if not self.is_open:
            return
        self.calls.append(what)
        if self.act == "full":
            if len(self.calls) >= self.at and what not in _FREES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        elif len(self.calls) == self.at:
            self.is_open = False
            if self.act == "cut" and os.path.isfile(path):
                os.truncate(path, os.path.getsize(path) // 2)
            os._exit(KILLED)


def tree(folder: Path, volatile: tuple[str, ...]) -> dict[str, str]:
    """Sha256 of each file by its name; locks and what is volatile by name only."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_dir() or any(part in name for part in volatile):
            continue
        is_lock = path.name.endswith(".lock")
        if not is_lock:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def in_child(work: Callable[[], Any]) -> tuple[int, Any]:
    """Run something in a fork; its exit status (of a signal, negative) and what it returned."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(read)
        _work_and_exit(work, write)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        content = pipe.read()
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), pickle.loads(content) if content else None


def _work_and_exit(work: Callable[[], Any], write: int) -> None:
    signal.alarm(_SECONDS)
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    status = 0
    try:
        answer = work()
    except BaseException as error:  # told to the parent
        status = 1
        answer = (type(error).__module__, type(error).__name__, str(error), traceback.format_exc())
    with os.fdopen(write, "wb") as pipe:
        pickle.dump(answer, pipe)
    os._exit(status)


class Matrix:
    """One job in one folder, disturbed at every call."""

    def __init__(self, name: str, job: Job, folder: Path) -> None:
        self.name, self.job, self.folder = name, job, folder
        self.faults: list[str] = []
        self.counts: Counter[str] = Counter()
        status, answer = self._run(fresh=True)
        if status:
            raise SystemExit(f"{name}: does not run undisturbed: {answer}")
        self.calls, self.expected, self.files = answer

    def run(self, every: int = 1) -> Matrix:
        """Disturb each `every`-th call."""
        for at in range(1, len(self.calls) + 1):
            if (at - 1) % every == 0:
                self._killed(at, "kill")
                self._full(at)
            if self.calls[at - 1] == "os.rename" and (at % every == 0 or every < 5):
                self._killed(at, "cut")
        return self

    def _killed(self, at: int, act: str) -> None:
        status, answer = self._run(act, at, fresh=True)
        self.counts[act] += 1
        if status == 0:
            self.counts["ended before"] += 1
        elif status != KILLED:
            self._fault(act, at, f"ended with {status}: {answer}")
        if self.job.mixture is not None:
            status, answer = in_child(lambda: self.job.mixture(self.folder))
            if status:
                self._fault(act, at, f"a mixture is left: {answer}")
        self._again(act, at)

    def _full(self, at: int) -> None:
        status, answer = self._run("full", at, fresh=True)
        self.counts["full"] += 1
        if status and not _is_a_sentence(answer):
            self._fault("full", at, f"no sentence: {answer}")
        self._again("full", at)

    def _again(self, act: str, at: int) -> None:
        status, answer = self._run()
        if status:
            self._fault(act, at, f"the same command fails: {answer}")
            return
        _, found, files = answer
        if found != self.expected:
            self._fault(act, at, "the result differs")
        if files - self.files:
            self._fault(act, at, f"left behind: {sorted(files - self.files)}")

    def _run(self, act: str = "", at: int = 0, fresh: bool = False) -> tuple[int, Any]:
        if fresh:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            if self.job.before is not None:
                in_child(lambda: self.job.before(self.folder))
        return in_child(lambda: self._work(act, at))

    def _work(self, act: str, at: int) -> Any:
        import torch

        torch.set_num_threads(1)
        gate = Gate(self.folder, act, at)
        gate.install()
        try:
            self.job.run(self.folder)
        finally:
            gate.is_open = False
        volatile = self.job.volatile
        files = tree(self.folder, volatile)
        result = self.job.result
        return gate.calls, files if result is None else result(self.folder), set(files)

    def _fault(self, act: str, at: int, what: str) -> None:
        what = what if len(what) < 2000 else f"{what[:400]} ... {what[-1600:]}"
        self.faults.append(f"{self.name}, {act} at {at} ({self.calls[at - 1]}): {what}")

    def __str__(self) -> str:
        counts = self.counts
        return (
            f"{self.name}: {len(self.calls)} calls, {counts['kill']} kills, {counts['cut']} cut, "
            f"{counts['full']} full disks, {len(self.faults)} faults"
        )


def _is_a_sentence(answer: Any) -> bool:
    """Whether an error is one of ours, of one line, that tells of the disk."""
    module, _, text, _ = answer
    return module == "lcplm_graph.errors" and "\n" not in text and (
        "full" in text or "No space left" in text
    )  # fmt: skip


def main() -> int:
    """Run the jobs one after the other; the exit status tells whether there were faults."""
    sys.path.insert(0, str(Path(__file__).parent))
    from kill_jobs import jobs, prepared

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--job", nargs="*", default=None)
    options = parser.parse_args()
    totals: Counter[str] = Counter()
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as base, prepared(Path(base)) as inputs:
        for name, job in jobs(inputs).items():
            if options.job is None or name in options.job:
                matrix = Matrix(name, job, Path(base) / "work").run(options.every)
                print(matrix, flush=True)
                for fault in matrix.faults:
                    print(f"  {fault}", flush=True)
                totals.update(matrix.counts | {"calls": len(matrix.calls)})
                faults += matrix.faults
    print(json.dumps(totals), f"{len(faults)} faults")
    return min(len(faults), 1)


if __name__ == "__main__":
    sys.exit(main())
