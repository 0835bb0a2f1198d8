"""``lcplm evaluate link``: does a pair of proteins interact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lcplm_graph.errors import ConfigError
from lcplm_graph.evaluate.shared import EvaluateOptions, finish, loaded
from lcplm_graph.option_parser import several
from lcplm_graph.options import check_counts, options_given

if TYPE_CHECKING:
    from lcplm_graph.evaluation.link_pairs import LinkOptions
    from lcplm_graph.evaluation.link_task import LinkTask

_OF_A_SPLIT = ("split", "negatives", "ratio", "min_score")


@dataclass(frozen=True, kw_only=True)
class LinkCommand(EvaluateOptions):
    """Options of ``lcplm evaluate link``.

    Parameters
    ----------
    out
        Folder to write into.
    graph
        A STRING network, pairs:FILE, or with --test-pairs the published training table.
    min_score
        Edges of a smaller score are left out, in thousandths, as STRING has them: 700 for .7.
    valid_pairs
        Published validation table of id, id, 0 or 1; tabs, commas, semicolons or blanks
        between.
    test_pairs
        Published test table; the published split is kept as it is.
    sequences
        FASTA files of the proteins in the three tables.
    split
        A kind (node has C1, C2 and C3), or a saved split.json.
    negatives
        Kind of negatives that test pairs are told from.
    ratio
        Negatives drawn per positive.
    conv
        Convolution of the link model, or none; default: GraphSAGE where validation pairs have
        proteins with edges.
    decoder
        From two states to log-odds.
    predictor
        Class of the heads: link, or one that an installed package adds (lcplm_graph.heads).
    context
        walks: a row of proteins embedded inside walks beside those embedded alone; the link model
        takes the former.
    ranked
        Test pairs per class that are ranked among all proteins for MRR; 0: none. Default: 100, of
        published tables none.
    resamples
        Of the bootstrap over proteins.
    steps
        Training steps of a head; default: 200.
    members
        Heads of a row, of different seeds; the link model has at least one of each kind.
    untrained
        The row of an encoder of the same shape with random weights, which doubles what embedding
        costs where no features are kept yet.
    homologues
        The rows of interologs: known interactions of relatives, alone and beside the link model.
    allow_leakage
        Go on where test pairs are training pairs, or the encoder saw them; numbers are marked
        LEAKED.
    """

    out: str = "outputs/evaluate-link"
    graph: str = "string_human_core"
    min_score: float | None = None
    valid_pairs: str | None = None
    test_pairs: str | None = None
    sequences: list[str] = several(default=[], metavar="FASTA")
    split: str = "node"  # not the default kind: its table has all three classes
    negatives: Literal["stub_matched", "uniform", "hard", "published"] = "stub_matched"
    ratio: float = 1.0
    conv: str | None = None
    decoder: Literal["dot", "hadamard-mlp", "bilinear"] = "hadamard-mlp"
    predictor: str = "link"
    context: Literal["walks"] | None = None
    ranked: int | None = None
    resamples: int = 200
    steps: int | None = None
    members: int = 4
    untrained: bool = True
    homologues: bool = True
    allow_leakage: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self, "steps", "members", typed=True)
        check_counts(self, "resamples", least=2, typed=True)
        check_counts(self, "ranked", least=0, typed=True)
        if self.test_pairs is not None and (given := options_given(self, _OF_A_SPLIT)):
            raise ConfigError(
                f"{', '.join(given)} means nothing with --test-pairs: pairs, split and negatives "
                "are kept as they are; leave it out"
            )


def run(options: LinkCommand) -> None:
    """Evaluate, print the table and write it."""
    from lcplm_graph.evaluation.link_pairs import LinkOptions
    from lcplm_graph.heads.fit_link import LINK_FIT

    ranked = (0 if options.test_pairs else 100) if options.ranked is None else options.ranked
    link = LinkOptions(
        negatives=options.negatives,
        ratio=options.ratio,
        ranked=ranked,
        resamples=options.resamples,
        seed=options.seed,
    )
    task = _link_task(options, link)
    encoder, pool = loaded(options)
    report, curves = task.evaluate(
        encoder,
        link,
        allow_leakage=options.allow_leakage,
        pool=pool,
        conv=options.conv,
        decoder=options.decoder,
        head=options.predictor,
        context=options.context,
        fit=LINK_FIT.shown(options.steps, options.seed),
        members=options.members,
        untrained=options.untrained,
        homologues=options.homologues,
    )
    task.draw(options.out, encoder, pool, report, curves)
    sections = {"Leakage": task.leakage()} if options.report else {}
    files = task.dataset.raw_paths
    finish(report, "auroc", options.out, options.report, sections, files)


def _link_task(options: LinkCommand, link: LinkOptions) -> LinkTask:
    from lcplm_graph.evaluation.link_task import LinkTask

    given = {
        "--valid-pairs": options.valid_pairs,
        "--test-pairs": options.test_pairs,
        "--sequences": options.sequences or None,
    }
    missing = [name for name, value in given.items() if value is None]
    if missing and len(missing) < len(given):
        raise ConfigError(
            f"a published split is --graph pairs:TRAIN with --valid-pairs, --test-pairs and "
            f"--sequences; {' and '.join(missing)} is missing"
        )
    if options.valid_pairs is None or options.test_pairs is None:
        return LinkTask.of_graph(options.graph, options.split, link, options.min_score)
    return LinkTask.of_tables(
        options.graph.removeprefix("pairs:"),
        options.valid_pairs,
        options.test_pairs,
        options.sequences,
        link,
        allow_leakage=options.allow_leakage,
    )
