"""Radiologists' boxes, as masks of the model's size."""

import datasets
import pytest

from train.data.boxes import BOXES, boxed_images

SIZE = (4, 8)


def split(boxes: list, kind=BOXES) -> datasets.Dataset:
    return datasets.Dataset.from_dict({"boxes": boxes}, datasets.Features(boxes=kind))


def test_boxes_become_masks_of_the_models_size():
    images = boxed_images(SIZE, split([None, [[0.5, 0.25, 0.25, 0.5], [0, 0, 0.125, 0.25]], []]))
    assert images.rows.tolist() == [1]
    assert images.inside.astype(int).tolist() == [
        [[1, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0]]
    ]


def test_images_without_boxes_and_boxes_smaller_than_a_pixel_are_left_out():
    assert boxed_images(SIZE, split([None, []])) is None
    assert boxed_images(SIZE, split([[[0.5, 0.5, 0.01, 0.01]]])) is None
    assert boxed_images(SIZE, datasets.Dataset.from_dict({"label": [0]})) is None


@pytest.mark.parametrize(
    ("boxes", "kind", "problem"),
    [
        ([[[10.0, 20.0, 5.0, 5.0]]], BOXES, "holds other numbers than shares"),
        ([[[float("nan"), 0.0, 0.5, 0.5]]], BOXES, "holds other numbers than shares"),
        (["left"], datasets.Value("string"), "column boxes is Value"),
    ],
)
def test_a_column_of_that_name_that_holds_something_else_is_not_used(boxes, kind, problem, capsys):
    assert boxed_images(SIZE, split(boxes, kind)) is None
    assert problem in capsys.readouterr().out
