"""A full disk while an archive is unpacked is a full disk, not a damaged archive."""

from __future__ import annotations

import errno
import tarfile
import zipfile

import pytest

from lcplm_graph.datasets.homology import RemoteHomology
from lcplm_graph.datasets.ogb import OGBNProteins
from lcplm_graph.errors import WriteError


@pytest.fixture
def disk_is_full(monkeypatch):
    def extractall(self, path, *rest, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    for kind in (zipfile.ZipFile, tarfile.TarFile):
        monkeypatch.setattr(kind, "extractall", extractall)


def test_zip_of_ogb(tmp_path, disk_is_full):
    archive = tmp_path / "proteins.zip"
    with zipfile.ZipFile(archive, "w") as bundle:
        bundle.writestr("proteins/mapping/nodeidx2proteinid.csv.gz", b"")
    fasta = tmp_path / "9606.fa"
    fasta.write_text(">9606.P1\nMKA\n")
    with pytest.raises(WriteError, match="the disk is full; free some space"):
        OGBNProteins(archive, fasta, root=tmp_path)[0]


def test_tar_of_tape(tmp_path, disk_is_full):
    (tmp_path / "remote_homology_train.lmdb").mkdir()
    archive = tmp_path / "remote_homology.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "remote_homology_train.lmdb", "remote_homology_train.lmdb")
    with pytest.raises(WriteError, match="the disk is full; free some space"):
        RemoteHomology(archive, root=tmp_path)[0]
