from __future__ import annotations

from lcplm_graph.training.metrics import MetricsCsv, read_metrics


def test_rows_beyond_the_checkpoint_and_half_rows_go(tmp_path) -> None:
    path = tmp_path / "metrics.csv"
    logger = MetricsCsv(path, ["step", "loss", "auroc"], -1)
    for step in range(5):
        logger.log_metrics({"loss": step / 3}, step)
    with open(path, "a") as file:
        file.write("5,0.1")  # killed while writing
    before = path.read_text().splitlines()
    logger = MetricsCsv(path, ["step", "loss", "auroc"], 2)
    assert path.read_text().splitlines() == before[:4]
    logger.log_metrics({"loss": 1.0, "auroc": 0.5, "unknown": 3.0}, 3)
    rows = read_metrics(path)
    assert [row["step"] for row in rows] == [0, 1, 2, 3]
    assert rows[1]["loss"] == 1 / 3  # digits are kept over rewriting
    assert rows[1]["auroc"] != rows[1]["auroc"]
    assert rows[3]["auroc"] == 0.5


def test_new_run_starts_with_an_empty_table(tmp_path) -> None:
    path = tmp_path / "metrics.csv"
    MetricsCsv(path, ["step", "loss"], -1).log_metrics({"loss": 1.0}, 0)
    MetricsCsv(path, ["step", "loss"], -1)
    assert path.read_text() == "step,loss\n"
    assert read_metrics(tmp_path / "none.csv") == []
