"""Raikote's folders."""

from tests.hub.layouts.trees import COVID19, by_class, read
from tests.phantoms import write_images


def test_covid19_image_dataset(tmp_path):
    name, records = read(write_images(tmp_path, *(f"anything/{path}" for path in COVID19)))
    assert name == "covid19-image-dataset"
    assert set(by_class(records).values()) == {3}
    assert records[0].source == "train/Covid/00.png"
    assert {record.split for record in records} == {"train", "test"}
