"""Embedding files: formats, duplicates, refusals, and that a resumed job is the same job."""

import errno
import io
import json

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
import torch

from lcplm_graph.errors import ConfigError, DataError, InputError
from lcplm_graph.features import embed as embed_module
from lcplm_graph.features import formats
from lcplm_graph.features.embed import EmbedJob, embed_fasta
from lcplm_graph.features.engines import Recipe, local_engine
from lcplm_graph.features.formats import Embeddings, check_ids, write_npz
from lcplm_graph.features.job_folder import JobFolder
from lcplm_graph.heads.link import LinkPredictor
from lcplm_graph.models.config import LcPlmConfig
from lcplm_graph.models.encoders import LcPlmEncoder, load_encoder
from lcplm_graph.models.modeling import LcPlmForMaskedLM
from lcplm_graph.models.pooling import POOLS

LETTERS = np.array(list("ACDEFGHIKLMNPQRSTVWY"))


def tiny_encoder():
    torch.manual_seed(3)
    model = LcPlmForMaskedLM(LcPlmConfig(d_model=8, n_layer=1))
    return LcPlmEncoder(model.eval(), "tiny").eval()


@pytest.fixture
def fasta(tmp_path):
    rng = np.random.default_rng(0)
    sequences = ["".join(rng.choice(LETTERS, n)) for n in rng.integers(3, 60, 40)]
    sequences[7] = sequences[3]
    sequences[30] = sequences[3]
    path = tmp_path / "in.fasta"
    path.write_text("".join(f">p{i} text\n{s}\n" for i, s in enumerate(sequences)))
    return path, sequences


def test_without_a_pooling_the_encoder_recommends_one(fasta, tmp_path):
    path, sequences = fasta
    encoder = tiny_encoder()
    encoder.pool = "mean_std"
    job = EmbedJob(path, encoder, tmp_path / "o.npz")
    assert job.identity["pool"] == "mean_std"
    found = np.load(job.run(progress=False))["embeddings"]
    np.testing.assert_allclose(found, encoder.embed(sequences).numpy(), rtol=1e-5, atol=1e-6)
    head = LinkPredictor(encoder=encoder, channels=4)
    assert (head.pool, head.in_channels) == ("mean_std", 16)


@pytest.mark.parametrize("pool", POOLS)
def test_pooled_files_hold_what_the_encoder_says(fasta, tmp_path, pool):
    path, sequences = fasta
    encoder = tiny_encoder()
    expected = encoder.embed(sequences, pool).numpy()
    options = {"pool": pool, "max_tokens": 100, "progress": False}
    names = [f"p{i}" for i in range(40)]

    archive = np.load(embed_fasta(path, encoder, tmp_path / "o.npz", **options))
    assert archive["ids"].tolist() == names
    np.testing.assert_allclose(archive["embeddings"], expected, rtol=1e-5, atol=1e-6)

    with h5py.File(embed_fasta(path, encoder, tmp_path / "o.h5", **options)) as file:
        assert set(file) == set(names)
        assert file.attrs["encoder_fingerprint"] == encoder.fingerprint()
        np.testing.assert_array_equal([file[n][()] for n in names], archive["embeddings"])

    table = pq.read_table(embed_fasta(path, encoder, tmp_path / "o.parquet", **options))
    assert table["id"].to_pylist() == names
    np.testing.assert_array_equal(np.array(table["embedding"].to_pylist()), archive["embeddings"])
    assert json.loads(table.schema.metadata[b"lcplm_graph"])["pool"] == pool
    assert not list(tmp_path.glob("*.parts")) and not list(tmp_path.glob(".*part*"))


@pytest.mark.parametrize("half", [False, True])
def test_per_residue_files_agree_with_the_encoder_and_each_other(fasta, tmp_path, half):
    path, sequences = fasta
    encoder = tiny_encoder()
    options = {"per_residue": True, "half": half, "max_tokens": 100, "progress": False}
    archive = np.load(embed_fasta(path, encoder, tmp_path / "o.npz", **options))
    offsets = archive["offsets"]
    assert archive["embeddings"].dtype == (np.float16 if half else np.float32)
    tolerance = 2e-3 if half else 1e-5
    with h5py.File(embed_fasta(path, encoder, tmp_path / "o.h5", **options)) as file:
        for i, sequence in enumerate(sequences):
            alone = encoder.encode(encoder.tokenize([sequence]))[1:-1].detach().numpy()
            np.testing.assert_allclose(file[f"p{i}"], alone, rtol=tolerance, atol=tolerance)
            rows = archive["embeddings"][offsets[i] : offsets[i + 1]]
            np.testing.assert_array_equal(file[f"p{i}"], rows)
    table = pq.read_table(embed_fasta(path, encoder, tmp_path / "o.parquet", **options))
    np.testing.assert_array_equal(
        np.array(table["embedding"][5].as_py(), np.float32),
        archive["embeddings"][offsets[5] : offsets[6]].astype(np.float32),
    )


def test_equal_sequences_are_computed_once(fasta, tmp_path, monkeypatch):
    path, _ = fasta
    encoder = tiny_encoder()
    seen = []
    original = encoder.embed_batch
    monkeypatch.setattr(
        encoder, "embed_batch", lambda s, p="mean": (seen.extend(s), original(s, p))[1]
    )
    job = EmbedJob(path, encoder, tmp_path / "o.npz")
    assert "40 proteins x 8 float32" in str(job) and "2 with the sequence of another" in str(job)
    assert job.size == 40 * 8 * 4
    archive = np.load(job.run(progress=False))
    assert len(seen) == len(set(seen)) == 38
    np.testing.assert_array_equal(archive["embeddings"][7], archive["embeddings"][3])


@pytest.mark.parametrize("per_residue", [False, True])
@pytest.mark.parametrize("after", [0, 1, 5])
def test_a_stopped_job_goes_on_and_gives_the_same_bytes(
    fasta, tmp_path, monkeypatch, after, per_residue
):
    path, _ = fasta
    monkeypatch.setattr(embed_module, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    options = {"max_tokens": 100, "per_residue": per_residue}
    whole = embed_fasta(path, tiny_encoder(), tmp_path / "whole.npz", progress=False, **options)

    class StopError(Exception):
        pass

    def stopping(encoder, recipe, batches):
        for number, values in enumerate(local_engine(encoder, recipe, batches)):
            if number == after:
                raise StopError
            yield values

    job = EmbedJob(path, tiny_encoder(), tmp_path / "o.npz", **options)
    with pytest.raises(StopError):
        job.run(progress=False, engine=stopping)
    assert not (tmp_path / "o.npz").exists()
    with open(job.parts / "values.bin", "ab") as file:
        file.write(b"torn write")

    redone = []

    def counting(encoder, recipe, batches):
        return local_engine(encoder, recipe, (redone.append(b) or b for b in batches))

    again = EmbedJob(path, tiny_encoder(), tmp_path / "o.npz", **options)
    again.run(progress=False, engine=counting)
    assert len(redone) == len(again._plan.batches) - after
    assert (tmp_path / "o.npz").read_bytes() == whole.read_bytes()


def test_another_job_in_the_same_place_is_refused(fasta, tmp_path):
    path, _ = fasta
    EmbedJob(path, tiny_encoder(), tmp_path / "o.npz")
    with pytest.raises(ConfigError, match=r"unfinished job with encoder 'tiny', not 'composition'"):
        EmbedJob(path, load_encoder("composition"), tmp_path / "o.npz")
    path.write_text(path.read_text() + ">new\nMKT\n")
    with pytest.raises(ConfigError, match="input_sha256"):
        EmbedJob(path, tiny_encoder(), tmp_path / "o.npz")


def test_bad_input_is_named(fasta, tmp_path):
    path, _ = fasta
    encoder = tiny_encoder()
    with pytest.raises(ConfigError, match=r"\.h5, \.npz, \.parquet"):
        EmbedJob(path, encoder, tmp_path / "o.txt")
    with pytest.raises(DataError, match="no such file"):
        EmbedJob(tmp_path / "none.fasta", encoder, tmp_path / "o.npz")
    slash = tmp_path / "slash.fasta"
    slash.write_text(">a/1-3\nMKT\n")
    with pytest.raises(InputError, match=r"a/1-3.*write \.npz or \.parquet"):
        EmbedJob(slash, encoder, tmp_path / "s.h5")
    encoder.max_length = 50
    with pytest.raises(InputError, match=r"at most 50 residues, but \d+ proteins are longer"):
        EmbedJob(path, encoder, tmp_path / "l.npz")
    with pytest.raises(InputError, match="max_tokens must be a whole number from 1, not 0"):
        EmbedJob(path, encoder, tmp_path / "m.npz", max_tokens=0)
    twice = tmp_path / "twice.fasta"
    twice.write_text(">a\nMKT\n>a\nMKV\n")
    with pytest.raises(DataError, match=r"line 3, record 'a'.*was there before"):
        EmbedJob(twice, encoder, tmp_path / "t.npz")
    assert not list(tmp_path.glob("*.parts"))


def test_an_output_that_cannot_be_written_is_said_before_any_work(fasta, tmp_path):
    path, _ = fasta
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(ConfigError, match=r"folder\.npz is a folder"):
        EmbedJob(path, tiny_encoder(), tmp_path / "folder.npz")
    with pytest.raises(ConfigError, match=r"o\.npz cannot be written \(Not a directory"):
        EmbedJob(path, tiny_encoder(), path / "o.npz")
    (tmp_path / "p.npz.parts").write_text("mine")
    with pytest.raises(ConfigError, match=r"written \(Not a directory: .*p\.npz\.parts"):
        EmbedJob(path, tiny_encoder(), tmp_path / "p.npz")
    assert (tmp_path / "p.npz.parts").read_text() == "mine"


def test_a_full_disk_is_said_and_what_is_done_is_kept(fasta, tmp_path, monkeypatch):
    path, _ = fasta
    job = EmbedJob(path, tiny_encoder(), tmp_path / "o.npz")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(job, "_write", full)
    with pytest.raises(ConfigError, match="cannot be written \\(No space left on device"):
        job.run(progress=False)
    again = EmbedJob(path, tiny_encoder(), tmp_path / "o.npz")
    monkeypatch.setattr(Recipe, "values", lambda *_: pytest.fail("computed again"))
    assert len(np.load(again.run(progress=False))["ids"]) == 40


class FullAfter(io.FileIO):
    """A file on a disk that has room for some bytes only."""

    room = 6000

    def write(self, data):
        self.room -= len(memoryview(data).cast("B"))
        if self.room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


def test_a_full_disk_does_not_end_the_process_in_hdf5(fasta, tmp_path, monkeypatch):
    monkeypatch.setattr(
        formats, "open", lambda path, *_, **__: FullAfter(path, "w+"), raising=False
    )
    job = EmbedJob(fasta[0], tiny_encoder(), tmp_path / "o.h5")
    with pytest.raises(ConfigError, match="cannot be written \\(No space left on device"):
        job.run(progress=False)
    assert not (tmp_path / "o.h5").exists()


def test_a_disk_that_is_full_when_values_are_flushed_is_said(fasta, tmp_path, monkeypatch):
    job = EmbedJob(fasta[0], tiny_encoder(), tmp_path / "o.npz")

    class Small(FullAfter):
        room = 10

    monkeypatch.setattr(
        job._folder, "values", lambda done: io.BufferedWriter(Small(tmp_path / "v", "w"), 1 << 20)
    )
    with pytest.raises(ConfigError, match="cannot be written \\(No space left on device"):
        job.run(progress=False)


def test_an_error_of_the_engine_is_not_taken_for_one_of_the_file(fasta, tmp_path):
    def engine(*_):
        yield from ()
        raise ConnectionError("the cluster is gone")

    with pytest.raises(ConnectionError, match="the cluster is gone"):
        EmbedJob(fasta[0], tiny_encoder(), tmp_path / "o.npz").run(progress=False, engine=engine)


def test_values_that_do_not_fit_are_refused(fasta, tmp_path):
    path, _ = fasta
    encoder = tiny_encoder()
    with torch.no_grad():
        encoder.model.bimamba.backbone.norm_f.weight.fill_(1e8)
    embed_fasta(path, encoder, tmp_path / "single.npz", progress=False)
    with pytest.raises(InputError, match="write float32 instead"):
        embed_fasta(path, encoder, tmp_path / "half.npz", half=True, progress=False)
    with torch.no_grad():
        encoder.model.bimamba.backbone.norm_f.weight.fill_(torch.nan)
    with pytest.raises(InputError, match="not finite float32"):
        embed_fasta(path, encoder, tmp_path / "nan.npz", progress=False)


def left_by(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("suffix", [".h5", ".npz", ".parquet"])
def test_a_refused_job_leaves_nothing(tmp_path, suffix):
    encoder = tiny_encoder()
    empty = pa.table({"id": pa.array([], pa.string()), "sequence": pa.array([], pa.string())})
    pq.write_table(empty, tmp_path / "empty.parquet")
    feather.write_feather(empty, str(tmp_path / "empty.arrow"))
    (tmp_path / "empty.fasta").write_text("")
    (tmp_path / "blank.fasta").write_text("\n\n")
    (tmp_path / "bad.fasta").write_text(">a\nMKT\n>b\nMK7\n")
    (tmp_path / "shards").mkdir()
    pq.write_table(empty, tmp_path / "shards" / "a.parquet")
    before = left_by(tmp_path)
    sources = ["empty.parquet", "empty.arrow", "empty.fasta", "blank.fasta", "bad.fasta", "shards"]
    for name in sources:
        for out in (tmp_path / f"o{suffix}", tmp_path / "new" / "folder" / f"o{suffix}"):
            with pytest.raises(DataError, match=name.split(".")[0]):
                embed_fasta(tmp_path / name, encoder, out, progress=False)
            assert left_by(tmp_path) == before
    (tmp_path / "good.fasta").write_text(">a\nMKT\n")
    out = embed_fasta(tmp_path / "good.fasta", encoder, tmp_path / f"o{suffix}", progress=False)
    assert left_by(tmp_path) == sorted([*before, "good.fasta", out.name])


def test_values_that_are_refused_leave_nothing_and_name_the_protein(tmp_path):
    path = tmp_path / "a.fasta"
    path.write_text(">good\nMKTAYIAK\n>bad\nWWWWWWWW\n>fine\nGGGG\n")

    def engine(encoder, recipe, batches):
        for batch in batches:
            values = recipe.values(encoder, batch).copy()
            row = 0
            for sequence in batch:
                rows = len(sequence) if recipe.pool is None else 1
                if "W" in sequence:
                    values[row] = np.nan
                row += rows
            yield values

    for per_residue in (False, True):
        job = EmbedJob(path, tiny_encoder(), tmp_path / "o.npz", per_residue=per_residue)
        with pytest.raises(InputError, match=r"float32 for 1 proteins \(for example 'bad'\)"):
            job.run(progress=False, engine=engine)
        assert left_by(tmp_path) == ["a.fasta"]


@pytest.fixture
def two(tmp_path):
    rng = np.random.default_rng(1)
    encoder = load_encoder("composition")
    made = {}
    for name in "ab":
        sequences = ["".join(rng.choice(LETTERS, 30)) for _ in range(50)]
        path = tmp_path / f"{name}.fasta"
        path.write_text("".join(f">{name}{i}\n{s}\n" for i, s in enumerate(sequences)))
        made[name] = (path, encoder.embed(sequences).numpy())
    return encoder, made


FILES = ["job.json", "done.json", "sequences.arrow", "values.bin"]


@pytest.mark.parametrize("gone", [[], *[[name] for name in FILES], FILES[1:], FILES[:2]])
@pytest.mark.parametrize("again", ["a", "b"])
def test_what_is_left_of_a_folder_is_never_taken_for_a_job(two, tmp_path, monkeypatch, gone, again):
    encoder, made = two
    out = tmp_path / "o.npz"
    job = EmbedJob(made["a"][0], encoder, out)
    # As if killed within the removal, whatever the order of the file system.
    monkeypatch.setattr(
        JobFolder, "remove", lambda self: [(self.path / name).unlink() for name in gone]
    )
    job.run(progress=False)
    monkeypatch.undo()
    for name in ("values.bin", "sequences.arrow"):
        if (job.parts / name).exists():
            content = (job.parts / name).read_bytes()
            (job.parts / name).write_bytes(content[: len(content) // 2])
    path, want = made[again]
    archive = np.load(embed_fasta(path, encoder, out, progress=False))
    np.testing.assert_array_equal(archive["embeddings"], want)
    assert archive["ids"][0] == f"{again}0"
    assert left_by(tmp_path) == ["a.fasta", "b.fasta", "o.npz"]


DAMAGES = ["short", "zeros", "gone", "of another job", "no json", "more", "fewer", "sequences"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_progress_that_does_not_hold_is_computed_again(two, tmp_path, monkeypatch, damage):
    encoder, made = two
    path, want = made["a"]
    monkeypatch.setattr(embed_module, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    job = EmbedJob(path, encoder, tmp_path / "o.npz", max_tokens=100)

    def stopping(encoder, recipe, batches):
        for number, values in enumerate(local_engine(encoder, recipe, batches)):
            if number == 10:
                raise KeyboardInterrupt
            yield values

    with pytest.raises(KeyboardInterrupt):
        job.run(progress=False, engine=stopping)
    values, done = job.parts / "values.bin", job.parts / "done.json"
    content = values.read_bytes()
    if damage == "short":
        values.write_bytes(content[:-4])
    elif damage == "zeros":
        values.write_bytes(content[:-400] + bytes(400))
    elif damage == "gone":
        values.unlink()
    elif damage == "of another job":
        done.write_text(json.dumps(json.loads(done.read_text()) | {"job": "0"}))
    elif damage == "no json":
        done.write_text("{")
    elif damage == "sequences":
        # Of the same size, as a copy of the wrong folder brings them.
        other = EmbedJob(made["b"][0], encoder, tmp_path / "b.npz").parts / "sequences.arrow"
        own = job.parts / "sequences.arrow"
        assert other.stat().st_size == own.stat().st_size
        own.write_bytes(other.read_bytes())
    else:
        number = 1000 if damage == "more" else -1
        done.write_text(json.dumps(json.loads(done.read_text()) | {"batches": number}))
    again = EmbedJob(path, encoder, tmp_path / "o.npz", max_tokens=100)
    archive = np.load(again.run(progress=False))
    np.testing.assert_array_equal(archive["embeddings"], want)


def test_two_processes_do_not_write_one_file(two, tmp_path):
    encoder, made = two
    first = EmbedJob(made["a"][0], encoder, tmp_path / "o.npz")
    second = EmbedJob(made["a"][0], encoder, tmp_path / "o.npz")
    with first._locked(), pytest.raises(InputError, match="another process is writing"):
        second.run(progress=False)
    first.run(progress=False)
    with pytest.raises(InputError, match=r"has finished or removed this job meanwhile"):
        second.run(progress=False)
    assert left_by(tmp_path) == ["a.fasta", "b.fasta", "o.npz"]


@pytest.mark.parametrize("suffix", [".h5", ".npz", ".parquet"])
def test_a_finished_file_is_known_by_what_it_was_made_of(two, tmp_path, suffix):
    encoder, made = two
    out = tmp_path / f"o{suffix}"
    embed_fasta(made["a"][0], encoder, out, progress=False)
    content = out.read_bytes()
    again = EmbedJob(made["a"][0], encoder, out, overwrite=False)
    assert again.complete and "already complete" in str(again)
    assert again.run() == out and out.read_bytes() == content
    others = [({"half": True}, "dtype 'float32', not"), ({"pool": "max"}, "pool 'mean', not 'max'")]
    for options, told in others:
        with pytest.raises(ConfigError, match=rf"there already.*{told}.*; give --overwrite"):
            EmbedJob(made["a"][0], encoder, out, overwrite=False, **options)
    with pytest.raises(ConfigError, match="input_sha256"):
        EmbedJob(made["b"][0], encoder, out, overwrite=False)
    out.write_bytes(content[: len(content) // 2])
    with pytest.raises(ConfigError, match="does not say how it was made"):
        EmbedJob(made["a"][0], encoder, out, overwrite=False)
    assert left_by(tmp_path) == ["a.fasta", "b.fasta", out.name]


def test_every_protein_is_a_dataset_of_its_own_name(fasta, tmp_path):
    path, _ = fasta
    for per_residue in (False, True):
        out = tmp_path / "o.h5"
        embed_fasta(path, tiny_encoder(), out, per_residue=per_residue, progress=False)
        seen = []
        with h5py.File(out) as file:
            file.visititems(lambda name, item, seen=seen: seen.append(name))
            assert len({h5py.h5o.get_info(file[name].id).addr for name in file}) == 40
            np.testing.assert_array_equal(file["p7"], file["p3"])
        assert sorted(seen) == sorted(f"p{i}" for i in range(40))


@pytest.mark.parametrize("name", ["/", "a/b", "/a", "a/", ".", "a\0b"])
def test_names_that_hdf5_would_change_are_refused(name):
    with pytest.raises(InputError, match="cannot name a dataset"):
        check_ids("o.h5", ["fine", name])


@pytest.mark.parametrize("long", [1, 100, 10_000])
def test_ids_take_the_room_of_their_letters(tmp_path, long):
    ids = ["i" * long, *(f"p{i}" for i in range(2000))]
    values = np.zeros((len(ids), 1), np.float32)
    write_npz(tmp_path / "o.npz", Embeddings(ids, values, np.arange(len(ids)), None, {}))
    assert (tmp_path / "o.npz").stat().st_size < 1_000_000
    if long <= 100:
        assert np.load(tmp_path / "o.npz")["ids"].tolist() == ids
    else:
        with np.load(tmp_path / "o.npz") as archive:
            read = archive["ids"]
        assert read.shape == (2001,) and read[0] == ids[0] and read[-1] == ids[-1]
    with pytest.raises(InputError, match="would take 8.0 GB to read"):
        check_ids("o.npz", ["i" * 1_000_000, *ids[1:]])
