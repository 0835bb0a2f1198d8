"""Embedding on a local Ray with several workers: same bytes, and kills lose and double nothing."""

import itertools
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from lcplm_graph import embed
from lcplm_graph.errors import BackendError, ConfigError
from lcplm_graph.features import embed as embed_module
from lcplm_graph.features import ray_engine as ray_module
from lcplm_graph.features.embed import EmbedJob, embed_fasta
from lcplm_graph.features.engines import Recipe, local_engine
from lcplm_graph.features.ray_engine import ray_engine
from lcplm_graph.models.composition import CompositionEncoder
from lcplm_graph.models.encoders import load_encoder

LETTERS = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
# Each imports torch: as few as the tests can do with.
WORKERS = 2


class NotingEncoder(CompositionEncoder):
    """Takes its time, and notes who computed what."""

    def __init__(self, notes):
        super().__init__()
        self.notes = notes

    def embed_batch(self, sequences, pool="mean"):
        with open(self.notes, "a") as file:
            file.write(f"{os.getpid()} {' '.join(sequences)}\n")
        time.sleep(0.03)
        return super().embed_batch(sequences, pool)


def computed(notes):
    """Process and batch of every computation begun."""
    return [line.split(" ", 1) for line in notes.read_text().splitlines()]


@pytest.fixture(scope="module")
def ray():
    """A Ray of this machine that has room for more workers than are asked for."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray = pytest.importorskip("ray")
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    ray.init(
        num_cpus=4, include_dashboard=False, log_to_driver=False,
        object_store_memory=200 << 20, logging_level="ERROR",
    )  # fmt: skip
    yield ray
    ray.shutdown()


@pytest.fixture
def fasta(tmp_path):
    rng = np.random.default_rng(0)
    sequences = ["".join(rng.choice(LETTERS, n)) for n in rng.integers(20, 200, 150)]
    sequences[7] = sequences[3]
    path = tmp_path / "in.fasta"
    path.write_text("".join(f">p{i}\n{s}\n" for i, s in enumerate(sequences)))
    return path


@pytest.fixture(autouse=True)
def _checkpoints_and_tasks_come_often(monkeypatch):
    monkeypatch.setattr(embed_module, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    monkeypatch.setattr(ray_module, "_RESIDUES_PER_TASK", 600)
    monkeypatch.setattr(ray_module, "_ROWS_PER_TASK", 600)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"pool": "mean_std"}, marks=pytest.mark.slow),
        {"per_residue": True, "half": True},
    ],
)
def test_files_are_those_of_the_local_engine(ray, fasta, tmp_path, options):
    encoder, threads = load_encoder("random:1m"), torch.get_num_threads()
    options |= {"max_tokens": 300, "progress": False}
    spread = embed_fasta(fasta, encoder, tmp_path / "r.npz", engine=ray_engine(WORKERS), **options)
    torch.set_num_threads(1)  # as in a worker; more threads may add in another order
    alone = embed_fasta(fasta, encoder, tmp_path / "l.npz", **options)
    torch.set_num_threads(threads)
    assert spread.read_bytes() == alone.read_bytes()
    assert list(tmp_path.glob("*.parts")) == []


def test_killed_workers_lose_nothing_and_double_nothing(ray, fasta, tmp_path):
    notes, plain = tmp_path / "notes", tmp_path / "plain"
    options = {"max_tokens": 300, "progress": False}
    encoder = NotingEncoder(plain)
    expected = embed_fasta(fasta, encoder, tmp_path / "l.parquet", **options).read_bytes()
    killed = []

    def killing(encoder, recipe, batches):
        for number, values in enumerate(ray_engine(WORKERS)(encoder, recipe, batches)):
            if number in (5, 20):
                # The one that noted last is at work now, or was 0.03 s ago.
                killed.append(computed(notes)[-1][0])
                os.kill(int(killed[-1]), signal.SIGKILL)
            yield values

    encoder.notes = notes
    out = embed_fasta(fasta, encoder, tmp_path / "r.parquet", engine=killing, **options)
    assert out.read_bytes() == expected
    runs = computed(notes)
    assert len({pid for pid, _ in runs}) > WORKERS  # others came for the dead
    assert len(set(killed)) == 2
    once = {batch for _, batch in computed(plain)}
    assert {batch for _, batch in runs} == once
    assert len(runs) > len(once)  # what the dead had at hand was computed again


def test_a_job_may_change_engines_on_the_way(ray, fasta, tmp_path):
    notes = tmp_path / "notes"
    options = {"max_tokens": 300, "progress": False}
    expected = embed_fasta(fasta, CompositionEncoder(), tmp_path / "l.npz", **options)
    encoder = NotingEncoder(notes)

    def first(batches, engine):
        def stopping(*arguments):
            yield from itertools.islice(engine(*arguments), batches)
            raise KeyboardInterrupt

        return stopping

    for engine in (first(20, local_engine), first(20, ray_engine(1))):
        with pytest.raises(KeyboardInterrupt):
            embed_fasta(fasta, encoder, tmp_path / "r.npz", engine=engine, **options)
    rest = []

    def counting(encoder, recipe, batches):
        return local_engine(encoder, recipe, (rest.append(b) or b for b in batches))

    job = EmbedJob(fasta, encoder, tmp_path / "r.npz", max_tokens=300)
    assert job.run(progress=False, engine=counting).read_bytes() == expected.read_bytes()
    assert len(rest) == len(job._plan.batches) - 40


@pytest.mark.slow  # a process and two workers that import torch anew
def test_a_killed_job_goes_on_with_the_local_engine(ray, fasta, tmp_path, monkeypatch):
    arguments = [str(fasta), "--encoder", "random:1m", "--max-tokens", "300"]
    command = [
        sys.executable, "-c",
        "import lcplm_graph.features.embed as e, lcplm_graph.features.ray_engine as r, sys;"
        "import lcplm_graph.embed as c; e._SECONDS_BETWEEN_CHECKPOINTS = 0.0;"
        "r._RESIDUES_PER_TASK = 300; sys.exit(c.main(sys.argv[1:]))",
        *arguments, "--out", str(tmp_path / "r.npz"), "--engine", "ray", "--workers", "2",
    ]  # fmt: skip
    address = ray.get_runtime_context().gcs_address
    done = tmp_path / "r.npz.parts" / "done.json"
    with open(tmp_path / "said", "w") as said:
        process = subprocess.Popen(
            command, env={**os.environ, "RAY_ADDRESS": address}, stdout=said, stderr=said
        )
    while not done.exists() and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, (tmp_path / "said").read_text()

    fresh = []
    original = Recipe.values
    monkeypatch.setattr(Recipe, "values", lambda *args: (fresh.extend(args[2]), original(*args))[1])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    assert embed.main([*arguments, "--out", str(tmp_path / "r.npz")]) == 0
    assert 0 < len(fresh) < 149  # 150 proteins, two of them equal; some were done
    assert embed.main([*arguments, "--out", str(tmp_path / "l.npz")]) == 0
    torch.set_num_threads(threads)
    assert (tmp_path / "r.npz").read_bytes() == (tmp_path / "l.npz").read_bytes()


def test_an_error_in_a_worker_is_the_same_error(ray, fasta, tmp_path):
    class Broken(CompositionEncoder):
        def embed_batch(self, sequences, pool="mean"):
            raise ConfigError("this encoder is broken")

    with pytest.raises(ConfigError, match="this encoder is broken"):
        embed_fasta(fasta, Broken(), tmp_path / "o.npz", engine=ray_engine(1), progress=False)


def test_more_workers_than_the_cluster_has_are_refused(ray, fasta, tmp_path):
    with pytest.raises(ConfigError, match=r"9 workers need as many CPUs, but this Ray has 4"):
        embed_fasta(
            fasta, CompositionEncoder(), tmp_path / "o.npz", engine=ray_engine(9), progress=False
        )


def test_without_ray_the_message_says_what_to_install(fasta, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BackendError, match=r"pip install 'lcplm-graph\[ray\]'"):
        ray_engine()
    arguments = [str(fasta), "--encoder", "composition", "--out", str(tmp_path / "o.npz")]
    assert embed.main([*arguments, "--workers", "2"]) == 1
    assert "--workers belongs to --engine ray" in capsys.readouterr().err
