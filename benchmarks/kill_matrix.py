"""Every write of the toolkit, stopped at every call that changes files, and run again.

    python benchmarks/kill_matrix.py                      # all jobs, every call
    python benchmarks/kill_matrix.py --job embed-h5 head --every 3

A job runs undisturbed, and before each call that changes files in its folder (open to write, write,
fsync, rename, remove, mkdir, rmdir, chmod, truncate) the folder is copied: that is what a process
leaves that is killed there, as nothing that it has buffered is written.  At each tenth call
(`--die`) a process really ends (`os._exit`), which must be no other.  Where the call renames a
file, another copy has that file cut to half: so it looks when a writer that does not go through
Python's files (HDF5, Arrow, torch) is killed.

The same command then runs in each copy; it must succeed, give what the first run gave, and leave
no file that the first did not leave.  Copies that are the same, byte by byte, are tried once.  With
`--kills 2` the second run is stopped at each of its calls, too, and so on.  At last the disk is
full from the n-th call on: that must be one sentence of our own, and the same command with space
again must succeed.
"""

from __future__ import annotations

import argparse
import builtins
import contextlib
import errno
import hashlib
import importlib
import io
import json
import os
import pickle
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kill_states import States, state_of

KILLED = 9
_SECONDS = 900
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
    inputs : callable, optional
        Makes what the job reads, once.
    """

    run: Callable[[Path], Any]
    result: Callable[[Path], Any] | None = None
    before: Callable[[Path], Any] | None = None
    mixture: Callable[[Path], Any] | None = None
    volatile: tuple[str, ...] = ()
    inputs: Callable[[], Any] | None = None


class Gate:
    """Counts the calls that change files in a folder, and disturbs the process at one of them."""

    def __init__(self, folder: Path, act: str, at: int, states: States) -> None:
        self.folder, self.act, self.at, self.states = str(folder), act, at, states
        self.calls: list[tuple[str, str]] = []
        self.seen: list[str] = []
        self.is_open = True
        self.one_at_a_time = threading.RLock()

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
        with self.one_at_a_time:
            self.calls.append((what, path))
            if self.act == "look":
                self.seen.append(self.states.keep(state_of(Path(self.folder))))
        if self.act == "full":
            if len(self.calls) >= self.at and what not in _FREES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        elif self.act == "die" and len(self.calls) == self.at:
            self.is_open = False
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
    """One job in one folder, disturbed at every call.

    Parameters
    ----------
    name : str
    job : Job
    base : pathlib.Path
        The job's folder is ``work`` in it.
    kills : int
        How often the same command may be killed before it runs undisturbed.
    """

    def __init__(self, name: str, job: Job, base: Path, kills: int = 1) -> None:
        self.name, self.job, self.folder, self.kills = name, job, base / "work", kills
        self.states = States(base / "states")
        self.faults: list[str] = []
        self.counts: Counter[str] = Counter()
        self.tried: set[str] = set()
        self.before = self._before()
        status, answer = self._run("look", fresh=True)
        if status:
            raise SystemExit(f"{name}: does not run undisturbed: {answer}")
        self.calls, self.seen, self.expected, self.files, modules = answer
        _import(modules)

    def run(self, every: int = 1, die: int = 10, full: int = 1) -> Matrix:
        """Disturb each `every`-th call, and of those fill the disk at each `full`-th."""
        for at, (what, path) in enumerate(self.calls, 1):
            number, rest = divmod(at - 1, every)
            where = f"{self.name}, at {at} ({what} {path.removeprefix(str(self.folder))})"
            if rest == 0:
                self._killed(f"{where}, killed", self.seen[at - 1])
                if number % die == 0:
                    self._died(f"{where}, died", at)
                if number % full == 0:
                    self._full(f"{where}, disk full", at)
            if what == "os.rename" and (at % every == 0 or every < 5):
                self._cut(f"{where}, cut", self.seen[at - 1], path)
        return self

    def _before(self) -> str:
        if self.job.inputs is not None:
            status, answer = in_child(self.job.inputs)
            if status:
                raise SystemExit(f"{self.name}: its inputs cannot be made: {answer}")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        if self.job.before is not None:
            in_child(lambda: self.job.before(self.folder))
        return self.states.keep(state_of(self.folder))

    def _killed(self, where: str, state: str, kill: int = 1) -> None:
        """Run the command where a kill left a state; then where another kill stopped that run."""
        self.counts["kills" if kill == 1 else "kills again"] += 1
        seen = self._again(where, state, "look" if kill < self.kills else "")
        for at, found in enumerate(seen, 1):
            self._killed(f"{where}, then at {at}", found, kill + 1)

    def _cut(self, where: str, state: str, path: str) -> None:
        self.counts["cut"] += 1
        found = self.states.get(state)
        name = os.path.relpath(path, self.folder)
        mode, changed, content = found.get(name, (0, 0, None))
        if content is not None:
            found[name] = (mode, changed, content[: len(content) // 2])
        self._again(where, self.states.keep(found))

    def _died(self, where: str, at: int) -> None:
        status, answer = self._run("die", at, fresh=True)
        self.counts["died"] += 1
        if status != KILLED:
            self.counts["ended before"] += 1
            if status:
                self._fault(where, f"ended with {status}: {answer}")
        state = self.states.keep(state_of(self.folder))
        self.counts["died elsewhere"] += state != self.seen[at - 1]
        self._again(where, state)

    def _full(self, where: str, at: int) -> None:
        status, answer = self._run("full", at, fresh=True)
        self.counts["full disks"] += 1
        if status and not _is_a_sentence(answer):
            self._fault(where, f"no sentence: {answer}")
        self._again(where, self.states.keep(state_of(self.folder)))

    def _again(self, where: str, state: str, act: str = "") -> list[str]:
        """Run the command in a state, if it is a new one; the states that it went through."""
        if state in self.tried:
            return []
        self.tried.add(state)
        self.states.put(state, self.folder)
        if self.job.mixture is not None:
            status, answer = in_child(lambda: self.job.mixture(self.folder))
            if status:
                self._fault(where, f"a mixture is left: {answer}")
        status, answer = self._run(act)
        if status:
            self._fault(where, f"the same command fails: {answer}")
            return []
        _, seen, found, files, _ = answer
        if found != self.expected:
            self._fault(where, "the result differs")
        if files - self.files:
            self._fault(where, f"left behind: {sorted(files - self.files)}")
        return seen

    def _run(self, act: str = "", at: int = 0, fresh: bool = False) -> tuple[int, Any]:
        if fresh:
            self.states.put(self.before, self.folder)
        return in_child(lambda: self._work(act, at))

    def _work(self, act: str, at: int) -> Any:
        import torch
        from tqdm import tqdm

        torch.set_num_threads(1)
        # Forks share the lock of the bars: one that ended while it held it would stop all others.
        tqdm.set_lock(threading.RLock())
        gate = Gate(self.folder, act, at, self.states)
        gate.install()
        try:
            self.job.run(self.folder)
        finally:
            gate.is_open = False
        files = tree(self.folder, self.job.volatile)
        result = self.job.result
        found = files if result is None else result(self.folder)
        return gate.calls, gate.seen, found, set(files), list(sys.modules)

    def _fault(self, where: str, what: str) -> None:
        what = what if len(what) < 2000 else f"{what[:400]} ... {what[-1600:]}"
        self.faults.append(f"{where}: {what}")

    def __str__(self) -> str:
        counts = self.counts
        told = [f"{len(self.calls)} calls", f"{counts['kills']} kills"]
        if self.kills > 1:
            told.append(f"{counts['kills again']} kills of what ran again")
        told.append(f"{counts['died']} processes ended ({counts['died elsewhere']} elsewhere)")
        told += [f"{counts['cut']} cut", f"{counts['full disks']} full disks"]
        return (
            f"{self.name}: {', '.join(told)}, {len(self.tried)} states, {len(self.faults)} faults"
        )


def _import(names: list[str]) -> None:
    """Import what a run imported, so that the next ones need not: their processes are forks."""
    for name in names:
        if name not in sys.modules:
            # Some are made by others, and have no file.
            with contextlib.suppress(Exception):
                importlib.import_module(name)


def _is_a_sentence(answer: Any) -> bool:
    """Whether an error is one of ours, of one line, that tells of the disk."""
    if answer is None:
        return False
    module, _, text, _ = answer
    return module == "lcplm_graph.errors" and "\n" not in text and (
        "full" in text or "No space left" in text
    )  # fmt: skip


def main() -> int:
    """Run the jobs one after the other; the exit status tells whether there were faults."""
    sys.path.insert(0, str(Path(__file__).parent))
    from kill_jobs import jobs, prepared

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--every", type=int, default=1, help="stop each K-th call")
    parser.add_argument("--die", type=int, default=10, help="really end at each K-th of those")
    parser.add_argument("--full", type=int, default=1, help="fill the disk at each K-th of those")
    parser.add_argument("--kills", type=int, default=1, help="kills before it runs undisturbed")
    parser.add_argument("--job", nargs="*", default=None)
    options = parser.parse_args()
    totals: Counter[str] = Counter()
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as base, prepared(Path(base)) as inputs:
        for name, job in jobs(inputs).items():
            if options.job is None or name in options.job:
                begun = time.perf_counter()
                matrix = Matrix(name, job, Path(base), options.kills)
                matrix.run(options.every, options.die, options.full)
                print(matrix, flush=True)
                for fault in matrix.faults:
                    print(f"  {fault}", flush=True)
                print(f"  {time.perf_counter() - begun:.0f} s", flush=True)
                totals.update(matrix.counts | {"calls": len(matrix.calls)})
                faults += matrix.faults
    print(json.dumps(totals), f"{len(faults)} faults")
    return min(len(faults), 1)


if __name__ == "__main__":
    sys.exit(main())
