"""Kernels in processes that were forked after threads had started: same results, nobody dies."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")

SCRIPT = """
    import os
    os.environ["OMP_NUM_THREADS"] = "2"
    import numpy as np, torch
    from lcplm_graph.models.config import LcPlmConfig
    from lcplm_graph.models.encoders import LcPlmEncoder
    from lcplm_graph.models.modeling import LcPlmForMaskedLM
    from lcplm_graph.ops.random_walk import random_walk
    from lcplm_graph.ops.random_walk.tables import make_graph, make_law

    torch.manual_seed(0)
    encoder = LcPlmEncoder(LcPlmForMaskedLM(LcPlmConfig(d_model=32, n_layer=2)).eval())
    graph = make_graph(4, np.array([[0, 1], [1, 2], [2, 3], [0, 3]]))
    proteins = ["MKTAYIAK" * 300] * 4

    def work():
        encoder.zero_grad()
        walks, _ = random_walk(graph, make_law(), seed=0, first=0, count=1000, length=5)
        encoder.embed_batch(proteins, "mean_std").sum().backward()
        gradients = [p.grad.flatten() for p in encoder.parameters() if p.grad is not None]
        return encoder.embed(proteins), torch.cat(gradients), torch.from_numpy(walks)

    work()  # both libraries start two threads
    torch.set_num_threads(1)
    expected = work()  # torch's own sums depend on the number of threads
    torch.set_num_threads(2)

    def check(depth):
        assert all(map(torch.equal, work(), expected))
        if depth:
            fork(depth - 1)

    def fork(depth):
        pid = os.fork()
        if pid == 0:
            try:
                check(depth)
            except BaseException:
                import traceback
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        status = os.waitpid(pid, 0)[1]
        assert status == 0, status

    fork(1)
    work()
    from torch.utils.data import DataLoader, Dataset

    class Embedded(Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, i):
            return encoder.embed(proteins[:1])[0]

    loaded = next(iter(DataLoader(Embedded(), num_workers=2, timeout=60)))
    torch.testing.assert_close(loaded, encoder.embed(proteins[:1]))
    print("all equal")
"""


def test_forked_processes_compute_the_same() -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT)], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "all equal\n"
