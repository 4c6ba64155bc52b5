"""What the cards say of the numbers: limits and warnings, where they are due and only there."""

import json

import pytest

from tests.train.report.fixtures import ENTRY, card_of, evaluation_of, group, make_results, page
from train.models.pretrained import KNOWN_FILES


def test_the_first_limit_says_where_the_model_fails_elsewhere():
    results = make_results()
    results["splits"]["test"]["argmax"]["auroc"] = ENTRY | {"value": 0.95, "low": 0.9}
    elsewhere = results["external"]["others"]
    elsewhere["rules"]["argmax"]["auroc"] = ENTRY | {"value": 0.7, "low": 0.6, "high": 0.8}
    counts = elsewhere["confusion"]["operating_point"]
    assert (
        "elsewhere it does worse: AUROC 0.700 on `others`, 0.950 on test. "
        f"{counts[0][1]} of 60 NORMAL images there are called PNEUMONIA at the operating point."
        in page(card_of(results))
    )
    results["external"]["more"] = json.loads(json.dumps(elsewhere))
    results["external"]["more"]["rules"]["argmax"]["auroc"] |= {"value": 0.55, "low": 0.4}
    assert "not shown to be better than chance: AUROC 0.550 (0.400 to 0.800) on `more`" in card_of(results)
    elsewhere["rules"]["argmax"]["auroc"] |= {"value": 0.93, "low": 0.9, "high": 0.96}
    del results["external"]["more"]
    assert "AUROC is 0.930 on `others` and 0.950 on test; the intervals overlap." in card_of(results)


@pytest.mark.parametrize(("absent", "words"), [("PNEUMONIA", "are called PNEUMONIA."), ("NORMAL", "are missed.")])
def test_another_dataset_without_a_class_says_which_and_shows_what_is_left(absent, words):
    results = make_results()
    other = results["external"]["others"]
    other |= {"absent": [absent], "compared": ["train", "validation", "test"], "dropped": 3, "drop": {}}
    for rule, metrics in other["rules"].items():
        other["rules"][rule] = {"accuracy": metrics["accuracy"]}
        other["classes"][rule] |= {absent: {}}
        other["confusion"][rule][results["labels"].index(absent)] = [0, 0]
    card, evaluation = page(card_of(results)), page(evaluation_of(results))
    assert "its AUROC is not known: no other dataset had images of every class" in card
    assert "| not defined |" in card
    assert "is a copy of a training, validation or test image" in evaluation
    assert f"It has no images of {absent}, so AUROC" in evaluation
    assert "3 of its images were left out, because" in evaluation
    elsewhere = evaluation_of(results).partition("How well does it do on other datasets?")[2].partition("\n## ")[0]
    (line,) = [line for line in elsewhere.splitlines() if line.startswith("At argmax, ")]
    assert line.endswith(words) and line.count(" of ") == 1
    assert "If 10% were" not in elsewhere


def test_a_model_that_works_without_lungs_is_warned_about_and_only_then():
    assert "without seeing" not in evaluation_of(make_results())
    assert "The shortcut checks found none" in card_of(make_results())
    good = ENTRY | {"value": 0.8, "low": 0.7, "high": 0.9}
    control = {"images": 40, "changed": {"auroc": good}, "unchanged": {"auroc": good}}
    results = make_results(shortcuts={"lungs_removed": control, "frame_only": control})
    evaluation = evaluation_of(results)
    assert "**Warning.** The model can tell the classes apart without seeing the lungs: with" in evaluation
    assert "A drop does not prove that there are no shortcuts" in evaluation
    assert "does not need to see the lungs to do well: test AUROC is 0.800 with the lungs removed" in card_of(results)


def test_a_model_that_follows_the_surroundings_is_warned_about_and_only_then():
    results = make_results()
    assert "follows the surroundings" not in evaluation_of(results)
    assert "looks beside the lungs" not in card_of(results)
    swap = results["swaps"]["test"] | {"surroundings": ENTRY | {"value": 0.8, "low": 0.7, "high": 0.9}}
    results["swaps"] = {"test": swap}
    assert "**Warning.** The score follows the surroundings as well: on test." in evaluation_of(results)
    assert "AUROC for the label of the surroundings is 0.800." in card_of(results)
    control = {"images": 40, "changed": {"auroc": swap["surroundings"]}, "unchanged": {"auroc": ENTRY}}
    results["shortcuts"] = {"lungs_removed": control}
    assert "is 0.800, and with the lungs removed test AUROC is 0.800." in card_of(results)


def test_whose_masks_the_swap_test_used_and_whether_training_showed_such_images_is_said():
    results = make_results()
    assert "The masks of 20 of the 80 images are not the dataset's own" in evaluation_of(results)
    assert "Training showed such images" not in evaluation_of(results)
    for swap in results["swaps"].values():
        swap |= {"own_masks": swap["images"]}
    results["recipe"]["augmentation"]["swap_surroundings"] = 0.5
    assert "not the dataset's own" not in evaluation_of(results)
    assert "Training showed such images too (`swap_surroundings = 0.5`), but none of these." in evaluation_of(results)
    assert "Not measured: it needs lung masks of two patients of each class." in evaluation_of(make_results(swaps={}))


def test_maps_that_do_not_depend_on_the_weights_are_warned_about():
    stuck = [{"stage": "head", "correlation": ENTRY | {"value": 0.9, "low": 0.85, "high": 0.95}}]
    saliency = {"lung_energy": None, "randomisation": stuck}
    assert "do not read anything" in evaluation_of(make_results(saliency=saliency))
    free = [{"stage": "head", "correlation": ENTRY | {"value": 0.1, "low": 0.0, "high": 0.2}}]
    saliency = {"lung_energy": None, "randomisation": free}
    assert "do not read anything" not in evaluation_of(make_results(saliency=saliency))


@pytest.mark.parametrize(
    ("inside", "over_area", "gain", "sentences"),
    [
        ((0.2, 0.3), (-0.3, -0.1), (-0.2, -0.1), ["An even map would have more", "own lungs less than other patients"]),
        (
            (0.7, 0.8),
            (0.1, 0.3),
            (0.1, 0.2),
            ["An even map would have less", "follow the patient's own lungs more than a map that always"],
        ),
        (
            (0.45, 0.55),
            (-0.1, 0.1),
            (-0.1, 0.1),
            ["about as much in the lungs", "not shown to follow the patient's own lungs"],
        ),
    ],
)
def test_what_grad_cam_does_in_the_lungs_is_said_as_it_is(inside, over_area, gain, sentences):
    def entry(low, high):
        return ENTRY | {"value": (low + high) / 2, "low": low, "high": high}

    results, area = make_results(), entry(0.4, 0.6)
    energy = {"inside": entry(*inside), "area": area, "gain": entry(*gain)}
    for paired in (entry(*over_area), None):  # earlier versions did not record it
        results["saliency"] |= {"box_energy": None}
        results["saliency"]["lung_energy"] |= energy | {"over_area": paired}
        evaluation = page(evaluation_of(results))
        for sentence in sentences:
            assert sentence in evaluation


def test_hiding_the_bright_region_is_claimed_to_matter_only_where_every_test_says_so():
    results = make_results()
    claim = "On test, hiding the bright region of the most likely class's map changed the score more than"
    assert claim in page(card_of(results)) and claim in page(evaluation_of(results))
    results["saliency"]["deletion"][3] |= {"difference": ENTRY | {"low": -0.01}}
    for text in (page(card_of(results)), page(evaluation_of(results))):
        assert claim not in text
        assert (
            "On test, hiding the bright region of the most likely class's map is not shown to change the score" in text
        )
    results["saliency"]["deletion"] = []
    assert (
        "Whether hiding the bright region of a map changes the score more than hiding another region was not tested"
        in (page(card_of(results)))
    )
    assert "**Hiding the bright region.** Whether it changes the score more" in page(evaluation_of(results))
    assert "On validation, hiding the bright region" in card_of(make_results(test=False))


def test_a_model_that_is_no_better_than_chance_is_called_so():
    assert "better than chance" not in card_of(make_results()) + evaluation_of(make_results())
    results = make_results()
    results["splits"]["test"]["argmax"]["auroc"] = ENTRY
    assert "Not shown to be better than chance on the test split" in card_of(results)
    assert "On the test split this model is not shown to be any better than chance" in evaluation_of(results)


def test_a_temperature_is_said_to_be_chosen_only_where_one_was():
    results = make_results()
    assert "Validation chose the checkpoint, the temperature, the operating point:" in evaluation_of(results)
    results["calibration"] |= {"temperature": 1.0, "not_fitted": "only 25 validation images"}
    evaluation = evaluation_of(results)
    assert "Validation chose the checkpoint, the operating point:" in evaluation
    assert "No temperature was fitted: only 25 validation images." in evaluation
    results["recipe"]["evaluation"]["calibration"] = "none"
    assert "The recipe asks for no calibration." in evaluation_of(results)


def test_a_calibration_that_did_harm_is_called_so():
    results = make_results()
    results["calibration"]["splits"]["test"] |= {"before": {"nll": 0.2, "brier": 0.1, "ece": 0.03}}
    assert "The ECE got worse, not better" in evaluation_of(results)
    for measured in results["calibration"]["splits"].values():
        measured["before"] = {"nll": 0.9, "brier": 0.9, "ece": 0.9}
    assert "The ECE got worse" not in evaluation_of(results)


def test_what_does_not_carry_over_to_test_is_said_with_its_direction():
    change = {"rule": "operating_point", "validation": 0.9, "test": 0.6, "worse": True}
    shift = [change | {"metric": "ece", "worse": False}, change | {"metric": "specificity"}]
    evaluation = evaluation_of(make_results(shift=shift))
    assert "- specificity: 0.900 on validation, 0.600 on test (**worse**)\n" in evaluation
    assert "- ECE: 0.900 on validation, 0.600 on test (better)\n" in evaluation
    assert "Validation flatters it: specificity at the operating point is 0.900 there and 0.600 on test." in card_of(
        make_results(shift=shift)
    )
    assert "carry over" not in evaluation_of(make_results(shift=[]))
    assert "Validation flatters it" not in card_of(make_results(shift=shift[:1]))


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ("youden", "is Youden's: sensitivity + specificity is greatest. `config.json` holds"),
        (
            "youden-worst",
            "is `youden-worst`: the lowest sensitivity or specificity of any origin is greatest. It counts",
        ),
        ("sensitivity>=0.95", "is `sensitivity>=0.95`, at the highest specificity. It counts each of these origins"),
        ("specificity>=0.9", "is `specificity>=0.9`, at the highest sensitivity. It counts each of these origins by"),
    ],
)
def test_the_rule_of_the_operating_point_is_explained(rule, sentence):
    results = make_results()
    results["operating_point"]["rule"] = rule
    results["history"][-1] |= {"origin_auroc": {"north": 0.9, "south": 0.8}}
    assert f"The rule, fixed on validation, {sentence}" in page(evaluation_of(results))
    assert ("by itself: north, south." in page(evaluation_of(results))) == (rule != "youden")


def test_origins_have_one_table_and_hospitals_are_in_it_only_if_they_are_more_than_an_origin():
    of_a = group(10, 0.9)
    columns = {
        "origin": {"a": of_a, "b": group(20, 0.8), "c": group(30, 0.7)},
        "hospital": {"Alone": of_a, "B": group(50, 0.75)},
        "view": {"AP": group(40, 0.6)},
    }
    results = make_results(subgroups={"test": columns, "validation": {"origin": {"a": group(5, 0.5)}}})
    evaluation = evaluation_of(results)
    (table,) = (block for block in evaluation.split("\n\n") if block.startswith("| split | origin |"))
    names = [tuple(line.split(" | ")[:2]) for line in table.splitlines()[2:]]
    assert names == [("| test", "a"), ("| test", "b"), ("| test", "c"), ("| test", "B"), ("| validation", "a")]
    assert "| test | b | NORMAL 20, PNEUMONIA 20 | 0.800 (0.250 to 0.750) |" in table
    (others,) = (block for block in evaluation.split("\n\n") if block.startswith("| subgroup |"))
    assert [line.split(" | ")[0] for line in others.splitlines()[2:]] == ["| view: AP (NORMAL 40, PNEUMONIA 40)"]
    card = card_of(results)
    worst = "The worst on test is `c`: AUROC 0.700 (0.250 to 0.750), sensitivity 0.500 (0.250 to 0.750), specificity"
    assert worst in page(card)
    assert "The worst on" not in card_of(make_results(subgroups={"test": {"origin": {"a": of_a}}}))
    assert "| test | b | NORMAL 20, PNEUMONIA 20 | 0.800 (0.250 to 0.750) |" in card
    assert "sensitivity at argmax" not in card.split("by origin?")[1].split("##")[0]
    assert "never seen" not in card + evaluation
    assert "by origin" not in card_of(make_results()) + evaluation_of(make_results())


def test_a_hospital_that_was_left_out_is_named_first_on_test_then_on_development_data():
    columns = {"origin": {"a": group(10, 0.9), "b": group(20, 0.65)}, "hospital": {"B": group(20, 0.65)}}
    left_out = {"origin": {"b": group(30, 0.7)}, "hospital": {"B": group(30, 0.7)}}
    results = make_results(subgroups={"test": columns, "left-out": left_out}, external=False)
    results["recipe"]["data"] = {"leave_out": ["B"]}
    card = card_of(results)
    assert "- It never saw images of B. Its AUROC there is 0.650 (0.250 to 0.750) (test)." in card
    assert "It was not tested on another hospital" not in card
    assert "| test | b (never seen) |" in card
    assert "| test | a |" in card
    assert "| left-out | B (never seen) |" in card
    assert '"Never seen": B had no part in training, nor in the choice of the checkpoint, the temperature' in card
    assert "starting weights (" not in card
    assert "what the starting weights (`w`) were trained on" in card_of(results | {"init": "w"})
    assert "; left out of training: B; publisher" in evaluation_of(results)
    del results["subgroups"]["test"]
    assert "AUROC there is 0.700 (0.250 to 0.750) (left-out)." in card_of(results)


def test_the_card_says_what_training_started_from_and_whose_licence_is_to_be_checked():
    assert "started from" not in card_of(make_results())
    file = make_results(init="weights.safetensors", init_sha256="f00d")
    said = "`weights.safetensors`, a local file with the SHA-256 `f00d`."
    assert f"Training started from other weights: {said} Nothing here says under which licence" in page(card_of(file))
    assert "Starting weights: weights.safetensors, a local file with the SHA-256 `f00d`. Seed: 0." in evaluation_of(
        file
    )
    sha256 = next(iter(KNOWN_FILES))
    ours = make_results(init="weights.safetensors", init_sha256=sha256)
    assert f"a local file with the SHA-256 `{sha256}`. MobileNetV2 1.0 for 224 pixels, trained on" in page(
        card_of(ours)
    )
    assert "Nothing here says" not in card_of(ours)
    assert "MobileNetV2 1.0 for 224 pixels, trained on" in evaluation_of(ours)
    imagenet = make_results(init="imagenet", base_model="timm/some_net")
    assert "Weights: Apache-2.0. Training started from ImageNet weights of `timm/some_net`; check" in card_of(imagenet)
    hub = card_of(make_results(init="owner/name"))
    assert "started from other weights: `owner/name`.\n  Nothing here says" in hub


def test_the_metric_that_chose_the_weights_is_named_with_the_origins_that_it_compares():
    results = make_results()
    results["history"][-1] |= {"origin_auroc": {"north": 0.9, "south": 0.8}}
    results["selection"]["metric"] = "worst_origin_auroc"
    evaluation = page(evaluation_of(results))
    assert "the best AUROC of the worst origin, the lowest of north, south." in evaluation
    assert "best AUROC of the worst origin: epoch 2" in evaluation
