"""What lies in a folder at a moment, kept so that it can be put there again."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import shutil
import stat
from pathlib import Path

# Mode, nanoseconds of the last change and content of each path; a folder has no content.
State = dict[str, tuple[int, int, bytes | None]]


class States:
    """States of a folder by their digest, kept in another folder.

    Two moments have the same state where names, modes and contents are the same: a process that
    is killed at the one leaves what a process that is killed at the other leaves.
    """

    def __init__(self, kept: Path) -> None:
        self.kept = kept
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)

    def keep(self, state: State) -> str:
        """Keep a state and return its digest."""
        digest = _digest(state)
        path = self.kept / digest
        if not path.exists():
            path.write_bytes(pickle.dumps(state))
        return digest

    def get(self, digest: str) -> State:
        """Return what was kept."""
        state: State = pickle.loads((self.kept / digest).read_bytes())
        return state

    def put(self, digest: str, folder: Path) -> None:
        """Make a folder what it was."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name, (mode, changed, content) in sorted(self.get(digest).items()):
            path = folder / name
            if content is None:
                path.mkdir()
            else:
                path.write_bytes(content)
            os.chmod(path, mode)
            os.utime(path, ns=(changed, changed))


def state_of(folder: Path) -> State:
    """Read a folder; what goes while it is read is not in it."""
    state: State = {}
    for path in sorted(folder.rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            found = path.lstat()
            if not stat.S_ISDIR(found.st_mode) and not stat.S_ISREG(found.st_mode):
                raise ValueError(f"neither a file nor a folder: {path}")
            content = None if stat.S_ISDIR(found.st_mode) else path.read_bytes()
            mode = stat.S_IMODE(found.st_mode)
            state[str(path.relative_to(folder))] = (mode, found.st_mtime_ns, content)
    return state


def _digest(state: State) -> str:
    digest = hashlib.sha256()
    for name, (mode, _, content) in sorted(state.items()):
        kind = "folder" if content is None else hashlib.sha256(content).hexdigest()
        digest.update(f"{name}\0{mode}\0{kind}\0".encode())
    return digest.hexdigest()
