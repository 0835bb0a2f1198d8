"""What evaluations share: options, how the encoder is loaded, how a report is written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lcplm_graph.command import PageOption
from lcplm_graph.models.names import Pool, Precision
from lcplm_graph.models.shipped import DEFAULT_ENCODER

if TYPE_CHECKING:
    from lcplm_graph.evaluation.report import Report
    from lcplm_graph.models.encoders import Encoder


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(PageOption):
    """What all evaluations take.

    Parameters
    ----------
    encoder
        A name or path, see load_encoder.
    pool
        From residues to one vector a protein; default: the one the encoder recommends.
    precision
        What the encoder computes with, see lcplm embed.
    seed
        Of split, negatives, heads and bootstrap.
    device
        cpu, cuda, cuda:1, ... of the encoder; default: a GPU if there is one.
    """

    encoder: str = DEFAULT_ENCODER
    pool: Pool | None = None
    precision: Precision = "float32"
    seed: int = 0
    device: str | None = None


def loaded(options: EvaluateOptions) -> tuple[Encoder, str]:
    """Return the encoder and the name of its pooling."""
    from lcplm_graph.models.precision import load_in_precision
    from lcplm_graph.process import chosen_device

    encoder = load_in_precision(options.encoder, options.precision, chosen_device(options.device))
    return encoder, encoder.chosen_pool(options.pool)


def finish(
    report: Report,
    metric: str,
    out: str,
    page: str | None,
    sections: Mapping[str, Mapping[str, Any]] | None = None,
    files: Iterable[str | os.PathLike[str]] = (),
) -> None:
    """Save and print a report; write a page about `metric` where one is asked for.

    Command, versions, and sha256 of the `files` it is about go into ``results.json`` with it.
    """
    from lcplm_graph.provenance import command_line, file_checksums, package_versions

    report.made = {"command": command_line(), "versions": package_versions()}
    report.made |= {"sha256": found} if (found := file_checksums(files)) else {}
    path = report.save(out)
    print(report)
    print(f"\nwritten: {path.parent}/results.json and pictures")
    if page is not None:
        from lcplm_graph.evaluation.page import write_page

        print(f"report: {write_page(page, report, metric=metric, sections=sections)}")
