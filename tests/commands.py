"""Commands as users run them: in this process where what they say counts, in one of their own where signals do.

A new Python that loads PyTorch takes four seconds of a processor before it begins to work. So processes that train
are copies of one that has loaded it already (``forkserver``). What ``python -m mien.cli`` does from the first line on
is tested by real ones: ``test_small_install.py``, ``test_output_commands.py`` and ``test_pipes_and_signals.py``.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from multiprocessing.process import BaseProcess
from pathlib import Path
from unittest.mock import patch

_LOADED = ["pytest", "mien.cli", "mien.experiment", "mien.train", "torch.distributed.run"]
_HANDLED = (signal.SIGTERM, signal.SIGHUP)  # the command sets what they do, for the rest of its process


def mien(*words: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command in this process, from its entry point on, and expect an exit code."""
    from mien.cli import main

    said, errors = io.StringIO(), io.StringIO()
    before = {number: signal.getsignal(number) for number in _HANDLED}
    ended: object = None
    try:
        with (
            patch.object(sys, "argv", ["mien", *map(str, words)]),
            redirect_stdout(said),
            redirect_stderr(errors),
            warnings.catch_warnings(),
        ):
            # Cyclopts warns of what is on purpose here: words that come from sys.argv in a test.
            warnings.filterwarnings("ignore", "Cyclopts application invoked without tokens")
            main()
    except SystemExit as end:
        ended = end.code
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    done = subprocess.CompletedProcess(list(words), int(str(ended)), said.getvalue(), errors.getvalue())
    assert done.returncode == code, done.stdout + done.stderr
    return done


class Started:
    """A process that calls a function of a test's module; what it says goes to files.

    Args:
        folder: Where ``stdout`` and ``stderr`` are written.
        call: The function, of a module's top level.
        arguments: What it is given; they must be picklable.
    """

    def __init__(self, folder: Path, call: Callable[..., object], *arguments: object) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(_LOADED)
        self._files = [folder / name for name in ("stdout", "stderr")]
        self._process: BaseProcess = context.Process(target=_in_child, args=(self._files, call, arguments))
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def stdout(self) -> str:
        return self._files[0].read_text()

    @property
    def stderr(self) -> str:
        return self._files[1].read_text()

    def ended(self) -> int | None:
        """The exit code, minus the signal that killed it; None while it runs."""
        return self._process.exitcode

    def wait(self, seconds: float = 60) -> int:
        """Wait for its end; returns the exit code."""
        self._process.join(seconds)
        code = self._process.exitcode
        if code is None:
            self._process.kill()
            raise AssertionError(f"still running after {seconds:g} s:\n{self.stderr}")
        return code


def start_mien(folder: Path, *words: object) -> Started:
    """Start the command in a process of its own; see :class:`Started`."""
    return Started(folder, _main, [str(w) for w in words])


def _in_child(files: list[Path], call: Callable[..., object], arguments: tuple[object, ...]) -> None:
    for number, file in zip((1, 2), files, strict=True):
        with open(file, "wb") as opened:
            os.dup2(opened.fileno(), number)
    # Those of the forkserver may be ignored or handled by it; a shell starts a command with none.
    for number in (*_HANDLED, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL if number in _HANDLED else signal.default_int_handler)
    call(*arguments)


def _main(words: list[str]) -> None:
    from mien.cli import main

    sys.argv = ["mien", *words]
    main()


def torchrun(folder: Path, n: int, call: Callable[..., object], *arguments: object) -> Started:
    """Start ``n`` processes as ``torchrun --standalone`` does, each of which calls a function; see :class:`Started`."""
    return Started(folder, _launch, n, call, arguments)


def _launch(n: int, call: Callable[..., object], arguments: tuple[object, ...]) -> None:
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=n, run_id="tests", rdzv_backend="c10d",
        rdzv_endpoint="localhost:0", max_restarts=0, monitor_interval=0.1, start_method="fork",
    )  # fmt: skip
    elastic_launch(config, call)(*arguments)
