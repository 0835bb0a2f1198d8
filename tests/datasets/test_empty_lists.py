"""An empty list of files is most often a pattern that matched none; the default is None."""

from __future__ import annotations

import pytest

from lcplm_graph.datasets.go import GOFunction
from lcplm_graph.datasets.homology import RemoteHomology
from lcplm_graph.datasets.ogb import OGBNProteins
from lcplm_graph.errors import ConfigError


@pytest.mark.parametrize(
    "make",
    [
        lambda: OGBNProteins("proteins.zip", []),
        lambda: GOFunction("string_human_core", annotations=[]),
        lambda: GOFunction("string_human_core", ontology=[]),
        lambda: GOFunction("string_human_core", later_annotations=[]),
        lambda: GOFunction("string_human_core", sequences=[]),
        lambda: RemoteHomology("scope40.fasta", []),
    ],
)
def test_an_empty_list_of_files_is_refused(make):
    with pytest.raises(ConfigError, match="an empty list of files"):
        make()
