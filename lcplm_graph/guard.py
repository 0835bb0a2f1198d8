"""What the process of a command does with errors, Ctrl-C, warnings and streams that fail.

Exit codes: 0, 1 for an error that the message explains, 2 for a wrong command line, 130 after
Ctrl-C, 141 where nobody reads the output any more.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from lcplm_graph.errors import Interrupted, LcPlmError, LcPlmWarning
from lcplm_graph.io import FULL
from lcplm_graph.strings import without_secrets

#: What Ctrl-C leaves behind where nothing is kept.
NOTHING_HALF = "nothing half written is left"
#: And where proteins are embedded.
KEPT_EMBEDDINGS = "embeddings computed so far are kept, and the same command takes them up"


def guarded(name: str, action: Callable[[], int | None], kept: str = NOTHING_HALF) -> int:
    """Turn expected errors, Ctrl-C and a closed pipe into a sentence and an exit code.

    Parameters
    ----------
    name : str
        Of the command, for messages; empty for all of them.
    action : callable
    kept : str
        What Ctrl-C leaves behind.
    """
    # Idle threads of OpenMP spin by default, and on busy cores take the time of those that work.
    # Read once, when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    prefix = f"lcplm {name}".rstrip()
    _open_closed_streams()
    try:
        with _short_warnings(prefix), _any_letter(), _imports_in_one_piece():
            try:
                return action() or 0
            finally:
                # Also before SystemExit of --help: afterwards no one would catch a closed pipe.
                sys.stdout.flush()
    except LcPlmError as error:
        print(f"{prefix}: {without_secrets(str(error))}", file=sys.stderr)
        return 1
    except PermissionError as error:
        # Even to ask whether a path exists is refused in a folder that may not be looked into.
        if error.filename is None:
            raise
        print(
            f"{prefix}: {error.filename}: permission denied; name a path that you may use",
            file=sys.stderr,
        )
        return 1
    except Interrupted as stop:
        print(f"{prefix}: {stop}; go on with --resume auto", file=sys.stderr)
        return 128 + stop.signum
    except KeyboardInterrupt:
        print(f"\n{prefix}: interrupted; {kept}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read the output, `head` for example, has seen enough.
        _print_no_more()
        return 141
    except OSError as error:
        # Files that we write are named by `io.written`; here is what is printed, or kept by others.
        if error.errno not in FULL:
            raise
        _print_no_more()
        where = error.filename or "what is printed or kept"
        print(f"{prefix}: cannot write {where}: {FULL[error.errno]}", file=sys.stderr)
        return 1


@contextmanager
def _imports_in_one_piece() -> Iterator[None]:
    """Let Ctrl-C wait until the module that is being loaded is there; a second one does not wait.

    Libraries in C lose it while they load, make another error of it, or end the process by it.
    """
    main, before = threading.main_thread().ident, signal.getsignal(signal.SIGINT)
    if threading.get_ident() != main or before is not signal.default_int_handler:
        yield
        return
    waiting: list[threading.Timer] = []

    def ask_again() -> None:
        waiting.clear()
        # To the main thread, which may be waiting for the system; here it would not wake it.
        signal.pthread_kill(main, signal.SIGINT)

    def interrupt(number: int, frame: FrameType | None) -> None:
        if waiting or not _is_loading(frame):
            signal.default_int_handler(number, frame)
        waiting.append(threading.Timer(0.05, ask_again))
        waiting[0].daemon = True
        waiting[0].start()

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for timer in waiting:
            timer.cancel()


def _is_loading(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code is not guarded.__code__:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def _open_closed_streams() -> None:
    """Let what is printed go nowhere if the process was started with closed streams.

    Python has none then, and the next files that are opened would take their numbers.
    """
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 -- for the rest of the process
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 -- for the rest of the process


def _print_no_more() -> None:
    """Let what is still to be flushed at the end of the process go nowhere."""
    # Where tests or notebooks catch what is printed, there is no number of a file.
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _any_letter() -> Iterator[None]:
    r"""Print letters that the terminal's encoding lacks as ``\xfc``, as stderr always does."""
    stream = sys.stdout
    reconfigure = getattr(stream, "reconfigure", None)
    utf8 = (getattr(stream, "encoding", None) or "").lower().replace("-", "") == "utf8"
    # In UTF-8 only bytes of file names can be missing, which the C locale gives back as they were.
    if reconfigure is None or (utf8 and stream.errors != "strict"):
        yield
        return
    before = stream.errors
    reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        with suppress(OSError, ValueError):  # it flushes, and may be full or closed
            reconfigure(errors=before)


@contextmanager
def _short_warnings(prefix: str) -> Iterator[None]:
    """Print our warnings as one line, without the line of code that they come from."""
    before = warnings.formatwarning

    def short(message: Any, category: type[Warning], *where: Any, **more: Any) -> str:
        if issubclass(category, LcPlmWarning):
            return f"{prefix}: warning: {without_secrets(str(message))}\n"
        return before(message, category, *where, **more)

    warnings.formatwarning = short
    try:
        yield
    finally:
        warnings.formatwarning = before


@contextmanager
def compiling_told(name: str) -> Iterator[None]:
    """Say at a terminal when kernels begin to be compiled: for seconds nothing else is seen.

    Parameters
    ----------
    name : str
        Of the command.
    """
    if not sys.stderr.isatty():
        yield
        return
    from numba.core import event
    from tqdm import tqdm

    class Teller(event.Listener):
        told = False

        def on_start(self, event: Any) -> None:
            if not self.told:
                self.told = True
                text = "compiling kernels for this processor, which it does once"
                tqdm.write(f"lcplm {name}: {text}", file=sys.stderr)

        def on_end(self, event: Any) -> None:
            """Ask for nothing; Numba wants it."""

    with event.install_listener("numba:compile", Teller()):
        yield
