from train.common.checkpoint_folder import checkpoints_of, has_checkpoint, list_checkpoints


def test_only_whole_checkpoints_count_and_the_last_comes_last(tmp_path):
    folder = checkpoints_of(tmp_path)
    assert not has_checkpoint(tmp_path)
    (folder / "step-000000012.partial").mkdir(parents=True)
    (folder / "kept-000000012.safetensors").touch()
    assert not has_checkpoint(tmp_path)
    for step in (9, 10):
        (folder / f"step-{step:09}").mkdir()
    assert has_checkpoint(tmp_path)
    assert [path.name for path in list_checkpoints(folder)] == ["step-000000009", "step-000000010"]
