"""Images by split, class and origin."""

from types import SimpleNamespace

from hub.auditing.counts import count_images, count_origins, one_origin_warnings
from hub.layouts.base import Record


def images(*facts: tuple[str, str, str | None]) -> list[SimpleNamespace]:
    """Images of (split, class, origin)."""
    return [SimpleNamespace(record=Record("", "", s, label, facts={"origin": o})) for s, label, o in facts]


def test_counts_are_by_split_in_order_and_by_class():
    counted = count_images(images(("test", "b", None), ("odd", "a", None), ("train", "b", None), ("train", "b", None)))
    assert list(counted.items()) == [
        ("train", {"a": 0, "b": 2}), ("test", {"a": 0, "b": 1}), ("odd", {"a": 1, "b": 0}),
    ]  # fmt: skip


def test_a_class_of_one_origin_gets_a_warning():
    mixed = images(("train", "a", "x"), ("train", "b", "x"), ("test", "b", "y"), ("test", "b", None))
    origins = count_origins(mixed)
    assert origins == {"x": {"train": {"a": 1, "b": 1}}, "y": {"test": {"b": 1}}}
    assert one_origin_warnings(origins) == [
        "All images of class a come from x: a model may learn the machine, not the class."
    ]
    assert one_origin_warnings(count_origins(mixed[:2])) == []
    assert one_origin_warnings({}) == []
