import pytest
import torch

from himmel.adapter import AdapterConfig, MotionAdapter, parameter_table
from himmel.settings import ENCODERS

# docs/method.md, section 4, "Parameter budget".
BUDGET = {
    "motion branch": 11.5e6,
    "residual branch": 11.5e6,
    "context branch": 14.0e6,
    "fusion": 4.8e6,
    "motion encoder": 36.2e6,
    "alignment head": 8.0e6,
}


def test_paper_size_keeps_the_budget():
    table = {row.component: row for row in parameter_table(AdapterConfig.paper())}
    for component, budget in BUDGET.items():
        row = table[component]
        assert abs(row.parameters / budget - 1) < 0.03
        assert row.report == budget
        assert row.difference == (row.parameters - budget) / budget
    assert table["stage 1 in total"].parameters == sum(table[name].parameters for name in BUDGET)
    assert table["projector"].report is None


def test_rows_add_up_to_the_real_adapter_and_allocate_nothing():
    config = AdapterConfig.nano()
    table = {row.component: row for row in parameter_table(config)}
    real = sum(p.numel() for p in MotionAdapter(config).parameters())
    assert table["stage 1 in total"].parameters + table["projector"].parameters == real
    assert 1e6 < real < 2.5e6
    assert all(row.report is None and row.difference is None for row in table.values())
    assert torch.empty(0).device.type == "cpu"


def test_a_dropped_stream_has_no_row(tiny):
    rows = [row.component for row in parameter_table(tiny(streams=("motion",)))]
    assert rows[0] == "motion branch"
    assert not any(name.startswith(("residual", "context")) for name in rows)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("make", [AdapterConfig.paper, AdapterConfig.nano])
def test_every_encoders_rows_add_up(make, encoder):
    config = make(encoder=encoder)
    with torch.device("meta"):
        adapter = MotionAdapter(config)
    table = {row.component: row.parameters for row in parameter_table(config)}
    assert table["stage 1 in total"] + table["projector"] == adapter.num_parameters()
    parts = [count for name, count in table.items() if name not in ("stage 1 in total", "projector")]
    assert sum(parts) == table["stage 1 in total"]


def test_encoders_differ_where_they_should_and_nowhere_else():
    tables = {
        one: {row.component: row for row in parameter_table(AdapterConfig.paper(encoder=one))} for one in ENCODERS
    }
    for component in ("context branch", "fusion", "alignment head", "projector"):
        assert len({table[component].parameters for table in tables.values()}) == 1
    # A linear layer and a norm: no backbone of its own.
    assert tables["shared_vit"]["motion branch"].parameters == 3584 * 768 + 3 * 768
    assert tables["none"]["motion encoder"].parameters == 0
    assert tables["siglip"]["motion branch"].parameters == pytest.approx(93e6, rel=0.01)
    assert tables["resnet18"]["motion branch"].parameters == tables["ssm"]["motion branch"].parameters
