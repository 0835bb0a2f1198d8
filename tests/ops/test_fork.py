"""Kernels in processes that come after threads have started: same results, nobody dies."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")

SCRIPT = """
    import os, sys
    os.environ["OMP_NUM_THREADS"] = "2"
    import numpy as np, torch
    from torch.utils.data import DataLoader, Dataset
    from lcplm_graph.models.config import LcPlmConfig
    from lcplm_graph.models.encoders import LcPlmEncoder
    from lcplm_graph.models.modeling import LcPlmForMaskedLM
    from lcplm_graph.splits.split import Split
    from lcplm_graph.walks.sampler import WalkSampler

    torch.manual_seed(0)
    encoder = LcPlmEncoder(LcPlmForMaskedLM(LcPlmConfig(d_model=32, n_layer=2)).eval())
    pairs = np.array([[0, 1], [1, 2], [2, 3], [0, 3]])
    sampler = WalkSampler(Split("random", 4, pairs, pairs, [[0, 2]], [1]), 5)
    proteins = ["MKTAYIAK" * 300] * 4

    def work(proteins=proteins):
        encoder.zero_grad()
        walks = sampler.walks(0, 1000)
        encoder.embed_batch(proteins, "mean_std").sum().backward()
        gradients = [p.grad.flatten() for p in encoder.parameters() if p.grad is not None]
        return encoder.embed(proteins), torch.cat(gradients), torch.from_numpy(walks)

    def check(expected, depth):
        assert all(map(torch.equal, work(), expected))
        if depth:
            fork(expected, depth - 1)

    def fork(expected, depth):
        pid = os.fork()
        if pid == 0:
            try:
                check(expected, depth)
            except BaseException:
                import traceback
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        status = os.waitpid(pid, 0)[1]
        assert status == 0, status

    class Worked(Dataset):
        def __len__(self):
            return 2

        def __getitem__(self, i):
            return work(proteins[:1])

    if __name__ == "__main__":
        work()  # both libraries start two threads
        torch.set_num_threads(1)
        expected = work()  # torch's own sums depend on the number of threads
        torch.set_num_threads(2)
        fork(expected, 1)
        wanted = work(proteins[:1])
        for context in sys.argv[1:]:
            options = {"batch_size": None, "timeout": 120, "multiprocessing_context": context}
            for found in DataLoader(Worked(), num_workers=2 if context == "fork" else 1, **options):
                torch.testing.assert_close(found[0], wanted[0])
                torch.testing.assert_close(found[1], wanted[1], rtol=1e-4, atol=1e-4)
                assert torch.equal(found[2], wanted[2]), context
        work()
        print("all equal")
"""


@pytest.mark.parametrize(
    "contexts", [("fork", "forkserver"), pytest.param(("spawn",), marks=pytest.mark.slow)]
)
def test_forked_and_started_processes_compute_the_same(tmp_path, contexts) -> None:
    script = tmp_path / "workers.py"
    script.write_text(textwrap.dedent(SCRIPT))
    done = subprocess.run(
        [sys.executable, str(script), *contexts], capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "all equal\n"
