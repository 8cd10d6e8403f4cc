from pathlib import Path

from himmel.training.plan import Stage, plan_stages
from himmel.training.resolve import resolve_recipe


def _stages(base: str = "nano", **overrides: str) -> dict[str, Stage]:
    changes = {key.replace("__", "."): value for key, value in overrides.items()}
    return {stage.kind: stage for stage in plan_stages(resolve_recipe("default", base=base, overrides=changes).recipe)}


def test_rows_that_differ_in_stage_2_alone_share_stage_1() -> None:
    default = _stages()
    for change in ({"model__lora_rank": "64"}, {"stage2__trains": "full"}, {"model__tokens_per_interval": "4"}):
        other = _stages(**change)
        assert other["stage1"].folder == default["stage1"].folder
        assert other["stage2"].folder != default["stage2"].folder


def test_what_stage_1_depends_on_gives_it_another_folder_and_all_share_the_projector() -> None:
    default = _stages()
    changes = [
        {"model__adapter__fusion": "concat"},
        {"model__num_anchors": "4"},
        {"stage1__alignment__objective": "mse"},
        {"stage1__seed": "99"},
        {"data__clips": "7"},
    ]
    folders = set()
    for change in changes:
        other = _stages(**change)
        folders |= {other["stage1"].folder, other["stage2"].folder}
        assert other["projector"].folder == default["projector"].folder
    assert len(folders) == 2 * len(changes)
    assert not folders & {stage.folder for stage in default.values()}


def test_stating_a_default_or_saving_more_often_changes_no_folder() -> None:
    same = _stages(
        model__adapter__hidden_size="192", stage2__optimizer__save_every="1", stage2__optimizer__log_every="1"
    )
    assert [stage.folder for stage in same.values()] == [stage.folder for stage in _stages().values()]


def test_what_is_not_trained_is_written_with_all_of_the_rows_settings() -> None:
    stages = _stages(stages="[1]", model__lora_rank="64")
    assert list(stages) == ["projector", "stage1", "start"]
    assert (stages["stage1"].config.lora_rank, stages["start"].config.lora_rank) == (16, 64)
    assert list(_stages(stages="[]", base="qwen2_5_vl")) == ["start"]
    assert list(_stages(stages="[2]")) == ["projector", "stage2"]


def test_full_fine_tuning_takes_no_lora_and_keeps_its_language_model() -> None:
    config = _stages(stage2__trains="full")["stage2"].config
    assert (config.lora_rank, config.own_language_model) == (0, True)


def test_a_stage_is_done_when_its_record_stands(tmp_path: Path) -> None:
    stage = _stages(output=str(tmp_path))["stage1"]
    stage.folder.mkdir(parents=True)
    (stage.folder / "config.json").write_text("{}")
    assert not stage.done
    (stage.folder / "stage.json").write_text("{}")
    assert stage.done


def test_times_and_fsdp_count_where_a_recipe_asks_for_them() -> None:
    plain, told, spread = (
        plan_stages(resolve_recipe("default", base="nano", overrides=changes).recipe)
        for changes in ({}, {"model.times": "text"}, {"stage2.compute.fsdp": "full_shard"})
    )
    for other in (told, spread):
        assert [one.key == two.key for one, two in zip(plain, other, strict=True)] == [True, True, False]
    assert told[-1].config.times == "text"


def test_how_attention_is_computed_counts_where_a_recipe_says_so() -> None:
    """Stages that were made before the key existed are found again."""
    plain, chosen = (
        plan_stages(resolve_recipe("default", base="nano", overrides=changes).recipe)
        for changes in ({}, {"stage2.compute.attn_implementation": "eager"})
    )
    assert [one.key == other.key for one, other in zip(plain, chosen, strict=True)] == [True, True, False]
    assert plain[-1].key == "bac921367190"
