import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from datasets import Image as Image

from space.errors import UsageError
from tests.phantoms import draw_phantom
from train.data.dataset import load_data


def test_a_dataset_without_validation_or_that_does_not_exist_is_refused(dataset_folder, tmp_path):
    with pytest.raises(UsageError, match="cannot be opened"):
        load_data("someone/some-data")
    (tmp_path / "only-test" / "data").mkdir(parents=True)
    shard = next((dataset_folder / "data").glob("test-*"))
    (tmp_path / "only-test" / "data" / shard.name).write_bytes(shard.read_bytes())
    with pytest.raises(UsageError, match="no train and no validation"):
        load_data(str(tmp_path / "only-test"))
    assert list(load_data(str(tmp_path / "only-test"), "--also", to_train=False).splits) == ["test"]


def stored(folder, labels: list[str], n: int = 8) -> str:
    """A dataset folder without a card, made by somebody else."""
    random = np.random.default_rng(0)
    texts = {"patient": Value("string"), "source": Value("string")}
    features = Features({"image": Image(), "label": ClassLabel(names=labels)} | texts)
    for split in ("train", "validation"):
        rows = {"image": [draw_phantom(random, bool(k % 2), 64, 64) for k in range(n)]}
        rows |= {
            "label": [k % len(labels) for k in range(n)],
            "patient": [""] * n,
            "source": [str(k) for k in range(n)],
        }
        (folder / "data").mkdir(parents=True, exist_ok=True)
        Dataset.from_dict(rows, features=features).to_parquet(folder / "data" / f"{split}-00000-of-00001.parquet")
    return str(folder)


def test_datasets_of_others_may_lack_a_card_but_not_classes(tmp_path):
    data = load_data(stored(tmp_path / "bare", ["a", "b", "c"], 12))
    assert (data.license, data.labels) == ("", ["a", "b", "c"])
    with pytest.raises(UsageError, match="has only one class, a"):
        load_data(stored(tmp_path / "one", ["a"]))
    for text in ("---\nlicense: [\n---\n", "---\n- 1\n---\n"):
        (tmp_path / "bare" / "README.md").write_text(text)
        with pytest.raises(UsageError, match="cannot be opened"):
            load_data(str(tmp_path / "bare"))
