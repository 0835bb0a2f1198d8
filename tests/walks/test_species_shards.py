"""Several species of STRING as one sharded data set: real-format files from server to stage 2."""

from __future__ import annotations

import gzip
import json
import multiprocessing
import shutil
from pathlib import Path

import file_server
import numpy as np
import pytest

from lcplm_graph import StringPPI, load_encoder
from lcplm_graph.errors import DataError, InputError
from lcplm_graph.files import catalog
from lcplm_graph.models.architecture import PRESETS
from lcplm_graph.ops.random_walk.tables import WalkGraph
from lcplm_graph.pairs import pair_hashes
from lcplm_graph.splits.split import Split
from lcplm_graph.stage2 import main
from lcplm_graph.training.metrics import read_metrics
from lcplm_graph.walks import sampler as sampler_module
from lcplm_graph.walks.graph import save_graph
from lcplm_graph.walks.sampler import WalkSampler
from lcplm_graph.walks.shards import ShardedWalkStream, WalkShard, open_shards
from lcplm_graph.walks.stream import WalkStream

SIZES = {7: 60, 8: 40, 9: 25}
NAMES = ["string:7", "8", "9"]
OPTIONS = {"length": 4, "max_tokens": 200, "seed": 3, "negative_rate": 0.3}


def species_files(taxon: int, n: int) -> dict[str, bytes]:
    rng = np.random.default_rng(taxon)
    ids = [f"{taxon}.P{i:03d}" for i in range(n)]
    pairs = {(i, (i + 1) % n) for i in range(n)}
    pairs |= {(int(a), int(b)) for a, b in rng.integers(0, n, (6 * n, 2)) if a != b}
    both = sorted({(a, b) for a, b in pairs} | {(b, a) for a, b in pairs})
    letters = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
    score = lambda a, b: 150 + (31 * min(a, b) + max(a, b)) % 850  # noqa: E731
    rows = {
        f"{taxon}.protein.links.v12.0.txt.gz": ["protein1 protein2 combined_score"]
        + [f"{ids[a]} {ids[b]} {score(a, b)}" for a, b in both],
        f"{taxon}.protein.info.v12.0.txt.gz": [
            "#string_protein_id\tpreferred_name\tprotein_size\tannotation"
        ]
        + [f"{name}\tG{i}\t30\ttext" for i, name in enumerate(ids)],
        f"{taxon}.protein.sequences.v12.0.fa.gz": [
            f">{name}\nM{''.join(rng.choice(letters, int(rng.integers(10, 80))))}" for name in ids
        ],
    }
    return {name: gzip.compress(("\n".join(text) + "\n").encode()) for name, text in rows.items()}


@pytest.fixture(scope="module")
def string_files(tmp_path_factory: pytest.TempPathFactory):
    """The species' files served as STRING's, a card that points there, and an own data root."""
    with pytest.MonkeyPatch.context() as patch, file_server.running() as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "LCPLM_OFFLINE"):
            patch.delenv(name, raising=False)
        for taxon, size in SIZES.items():
            for name, content in species_files(taxon, size).items():
                server.put(name, content)
        folder = tmp_path_factory.mktemp("cards")
        (folder / "string").mkdir()
        text = (catalog.card_folder() / "string" / "card.toml").read_text()
        lines = [
            f'url = "{server.url}/{line.rsplit("/", 1)[1]}' if line.startswith("url") else line
            for line in text.splitlines()
        ]
        (folder / "string" / "card.toml").write_text("\n".join(lines))
        patch.setattr(catalog, "card_folder", lambda: folder)
        root = tmp_path_factory.mktemp("data")
        patch.setenv("LCPLM_DATA", str(root))
        open_shards(NAMES, kind="random", seed=0)
        asked = len(server.requests)
        yield server, root
        assert len(server.requests) == asked  # everything was fetched once, before the tests


@pytest.fixture
def shards(string_files, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LCPLM_DATA", str(string_files[1]))
    return open_shards(NAMES, kind="random", seed=0)


def same(a, b) -> bool:
    return all(np.array_equal(getattr(a, k), getattr(b, k)) for k in a.__dataclass_fields__)


def test_an_epoch_starts_once_from_every_protein_of_every_species(shards) -> None:
    stream = ShardedWalkStream(shards, **OPTIONS)
    total = sum(SIZES.values())
    for epoch in (0, 5):
        tokens = stream.walks(epoch * total, (epoch + 1) * total)
        firsts = np.cumsum([0, *tokens.nodes_per_stream[:-1]])
        assert sorted(tokens.nodes[firsts]) == list(range(total))
    species = [stream.locate(i)[0] for i in range(total)]
    assert species != sorted(species)  # mixed, in proportion to size
    assert np.bincount(species).tolist() == list(SIZES.values())


def test_walks_are_those_of_the_species_in_memory(shards) -> None:
    stream = ShardedWalkStream(shards, **OPTIONS)
    for index in range(40):
        species, number = stream.locate(index)
        dataset = StringPPI(NAMES[species])
        sampler = WalkSampler(dataset.split("random", 0), 4, seed=stream._open(species).seed)
        alone = WalkStream(sampler, dataset.sequences, max_tokens=200, negative_rate=0.3)[number]
        assert same(stream[index], alone.shifted(int(stream.starts[species])))
    pairs = stream.walks(0, 40, 2)
    assert pairs.nodes_per_stream.max() == 2
    assert len(pairs.marker_positions) == (pairs.nodes_per_stream - 1).sum()


def test_walks_do_not_depend_on_the_other_species(shards) -> None:
    all_three, two = (ShardedWalkStream(chosen, **OPTIONS) for chosen in (shards, shards[1:]))
    place = {two.locate(i): i for i in range(65)}
    for index in range(125):
        species, number = all_three.locate(index)
        if species:
            other = two[place[species - 1, number]]
            np.testing.assert_array_equal(all_three[index].input_ids, other.input_ids)


def _take(rank: int, ranks: int, root: str) -> list[np.ndarray]:
    import os

    os.environ["LCPLM_DATA"] = root
    stream = ShardedWalkStream(open_shards(NAMES, kind="random", seed=0), **OPTIONS)
    return [stream.batch(b, 800).input_ids for b in range(rank, 12, ranks)]


def test_batches_are_the_same_for_any_number_of_processes(shards, string_files) -> None:
    whole = _take(0, 1, str(string_files[1]))
    with multiprocessing.get_context("fork").Pool(3) as pool:
        parts = pool.starmap(_take, [(rank, 3, str(string_files[1])) for rank in range(3)])
    for number, batch in enumerate(whole):
        np.testing.assert_array_equal(batch, parts[number % 3][number // 3])


def test_only_the_species_that_are_sampled_are_opened(shards, monkeypatch) -> None:
    opened = []
    original = sampler_module.open_graph
    monkeypatch.setattr(
        sampler_module, "open_graph", lambda folder: (opened.append(folder), original(folder))[1]
    )
    stream = ShardedWalkStream(shards, **OPTIONS)
    assert opened == []
    species, _ = stream.locate(7)
    tokens = stream[7]
    assert opened == [shards[species].folder]
    inside = (tokens.nodes >= stream.starts[species]) & (tokens.nodes < stream.starts[species + 1])
    assert inside.all()


def _resident(kind: str) -> float:
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("needs /proc")
    return int(status.read_text().partition(f"{kind}:")[2].split()[0]) / 1e3


def test_opening_maps_and_walking_copies_nothing(tmp_path) -> None:
    """A graph of 64 MB: mapped pages are the system's, shared by all ranks of a machine."""
    n, row = 400_000, 40
    indices = np.sort(np.random.default_rng(0).integers(0, n, (n, row), dtype=np.int32), axis=1)
    graph = WalkGraph(
        np.arange(n + 1) * row, indices.reshape(-1), np.empty(0, np.float32), np.empty(0),
        np.empty((0, 4), np.uint32), np.empty((0, 0), np.uint64), *([np.empty(0)] * 2),
    )  # fmt: skip
    graph = graph._replace(excluded_indptr=graph.indptr, excluded_indices=graph.indices)
    save_graph(graph, tmp_path)
    WalkSampler.open(tmp_path, 5).walks(0, 1000)  # compiled now
    mapped, own = _resident("RssFile"), _resident("RssAnon")
    sampler = WalkSampler.open(tmp_path, 5)
    assert _resident("RssFile") - mapped < 2
    assert sampler.walks(0, 1000).shape == (1000, 5)
    assert _resident("RssAnon") - own < 8


def test_stage2_trains_on_several_species(
    string_files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LCPLM_DATA", str(string_files[1]))
    monkeypatch.setitem(PRESETS, "tiny", {"d_model": 16, "n_layer": 1})
    out = tmp_path / "run"
    main(
        ["--graph", "string:7,8,9", "--encoder", "random:tiny", "--steps", "3", "--out", str(out),
         "--max-tokens", "800", "--walk-tokens", "200", "--walk-length", "4", "--split", "random",
         "--eval-pairs", "30", "--log-every", "1", "--devices", "1"]
    )  # fmt: skip
    facts = json.loads((out / "model" / "training.json").read_text())
    assert [shard["taxon"] for shard in facts["species"]] == list(SIZES)
    assert [shard["proteins"] for shard in facts["species"]] == list(SIZES.values())
    rows = read_metrics(out / "metrics.csv")
    assert [row["step"] for row in rows] == [0, 1, 2, 3]
    assert np.isfinite([rows[-1]["residue_loss"], rows[-1]["valid_relation_auroc"]]).all()
    seen = load_encoder(out).seen_edges()
    expected = []
    for name in NAMES:
        dataset = StringPPI(name)
        split = dataset.split("random", 0)
        expected.append(pair_hashes(dataset.sequences.digests(), split.train))
        taxon = int(dataset[0].taxon[0])
        assert Split.load(out / "split" / str(taxon)).fingerprint == split.fingerprint
    np.testing.assert_array_equal(seen, np.unique(np.concatenate(expected)))


def test_what_cannot_be_is_refused(shards, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="several different species"):
        ShardedWalkStream([shards[0], shards[0]], **OPTIONS)
    with pytest.raises(DataError, match=r"indptr\.npy: cannot be read as an array"):
        WalkSampler.open(tmp_path, 3)


def test_damaged_facts_of_a_species_are_refused(shards, tmp_path: Path) -> None:
    shutil.copytree(shards[0].folder, tmp_path / "shard")
    path = tmp_path / "shard" / "shard.json"
    facts = json.loads(path.read_text())
    for change, told in (
        ({"files": []}, "does not tell files"),
        ({"proteins": "60", "taxon": None}, "does not tell taxon, proteins"),
    ):
        path.write_text(json.dumps(facts | change))
        with pytest.raises(DataError, match=rf"shard.json: {told}; delete "):
            WalkShard(path.parent)
    path.write_text(json.dumps(facts | {"proteins": 7}))
    stream = ShardedWalkStream([WalkShard(path.parent)], **OPTIONS)
    with pytest.raises(DataError, match="7 proteins, its graph has 60; delete"):
        stream.walks(0, 1)
