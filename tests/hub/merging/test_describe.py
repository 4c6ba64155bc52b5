"""What audit.json says of how datasets became one."""

from tests.hub.converted import report_of


def test_the_audit_says_what_became_of_each_source(merged_folder):
    north, south = report_of(merged_folder)["merge"]["sources"]
    assert (north["origin"], north["hospital"], north["license"]) == ("north", "Clinic", "unknown")
    assert (south["dataset"], south["origin"]) == ("south", "South 2")
    assert south["labels"] == {"Healthy": "well", "Other": None, "Sick": "ill"}
    assert south["note"] == "Where it was taken is not known."
    assert (north["population"], south["population"]) == ("", "sailors")


def test_the_whole_is_as_bound_as_its_strictest_part_and_as_private_as_its_most_private(merged_folder):
    made = report_of(merged_folder)["merge"]
    assert (made["license"], made["names_kept"], made["masks"]) == ("other", True, {"lung_mask": 0})
    assert made["about"] == {"population": "South 2: sailors"}
    assert (made["fractions"], made["seed"], made["shared_keys"]) == ({"validation": 0.1, "test": 0.1}, 0, 0)
    assert list(made["labels"].items()) == [("well", "no finding"), ("ill", "any finding")]
