"""What the commands print at their end."""

from pathlib import Path

from hub.auditing.summary import summarise_audit, summarise_conversion

FACTS = {
    "leaks": {"exact copy": 2, "patient": 1}, "leaks_kept": False, "masks": {"lung_mask": 7, "infection_mask": 0},
    "outside_layout": 3, "not_images": 1, "not_frontal": 2, "shared_keys": 4,
    "quarantined": {"empty": 1, "damaged": 1}, "bad_masks": 5,
}  # fmt: skip
NOTHING = {
    "leaks": {}, "masks": {}, "outside_layout": 0, "not_images": 0, "not_frontal": 0, "shared_keys": 0,
    "quarantined": {}, "bad_masks": 0,
}  # fmt: skip
GROUPS = {"exact_duplicates": [[], []], "near_duplicates": [], "label_conflicts": [[]]}


def test_a_conversion_says_what_was_dropped_and_left_out():
    counts = {"train": {"a": 1000, "b": 1}, "test": {"a": 1, "b": 1}}
    report = {"conversion": FACTS, "counts": counts, "warnings": ["The frame tells."], **GROUPS}
    assert summarise_conversion(Path("out"), report).splitlines() == [
        "out: train 1,001, test 2 images",
        "note: there is no validation split, which training needs",
        "dropped, because the test split holds them too: 2 by exact copy, 1 by patient",
        "groups of images that are copies: 2 of exact copies, 1 of conflicting labels; audit.json lists them",
        "lung_mask: 7 images have one",
        "left out: 3 image files outside the layout and 2 images whose DICOM tags say that they are no frontal chest "
        "X-rays and 1 files that are not images, listed in quarantine.csv",
        "note: 4 loose patient keys occur both in test and elsewhere; this does not prove a shared patient (the card "
        "explains the rules)",
        "unreadable: 2 images and 5 masks, listed in quarantine.csv",
        "warning: The frame tells.",
        "The card is out/README.md; audit.json beside it has the details.",
    ]
    kept = {"conversion": FACTS | {"leaks_kept": True}, "counts": counts, **GROUPS}
    assert "kept, although the test split holds them too: 2 by" in summarise_conversion(Path("out"), kept)


def test_where_nothing_happened_nothing_is_said():
    report = {"conversion": NOTHING, "counts": {"train": {"a": 1}, "validation": {"a": 1}, "test": {"a": 1}}}
    report |= {key: [] for key in GROUPS}
    assert len(summarise_conversion(Path("out"), report).splitlines()) == 2


def test_an_audit_counts_groups_shared_patients_and_images_of_other_datasets():
    report = {
        "images": 1234, "exact_duplicates": [[], []], "near_duplicates": [[]], "label_conflicts": [],
        "patients_across_splits": {"train/test": 3, "train/validation": 0}, "warnings": [],
        "against": {"other": {"exact": 5, "near": 6, "conflicts": 1}},
    }  # fmt: skip
    assert summarise_audit(Path("out"), report).splitlines() == [
        "1,234 images; groups: 2 of exact copies, 1 of near copies, 0 of conflicting labels",
        "train/test: 3 patients in both",
        "also in other: 5 as exact and 6 as near copies; 1 of them carry another label there",
        "The details are in out/audit.json.",
    ]
