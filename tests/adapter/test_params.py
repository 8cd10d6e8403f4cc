import torch

from himmel.adapter import AdapterConfig, MotionAdapter, parameter_table

# Design, section 3, "Parameter budget".
BUDGET = {
    "motion branch": 11.5e6,
    "residual branch": 11.5e6,
    "context branch": 14.0e6,
    "fusion": 4.8e6,
    "motion encoder (SSM)": 36.2e6,
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
