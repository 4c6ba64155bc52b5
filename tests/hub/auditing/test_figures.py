"""Which figures may be shown."""

from hub.conversion import Options, convert
from tests.phantoms import write_images


def test_single_images_stay_out_of_the_card_unless_asked(leaky_source, leaky_dataset, tmp_path):
    figures = {path.relative_to(leaky_dataset).as_posix() for path in leaky_dataset.rglob("*.png")}
    assert figures == {
        "figures/class_balance.png", "figures/sizes.png", "figures/mean_images.png",
        "figures/local/samples.png", "figures/local/near_duplicates.png",
    }  # fmt: skip
    assert "local" not in (leaky_dataset / "README.md").read_text()
    convert(leaky_source, tmp_path / "out", Options(with_samples=True))
    card = (tmp_path / "out" / "README.md").read_text()
    assert "](figures/samples.png)" in card
    assert "](figures/near_duplicates.png)" in card


def test_mean_images_of_few_images_stay_out_as_well(tmp_path):
    write_images(tmp_path / "in", *(f"{c}/{i}.png" for c in "ab" for i in range(12)))
    convert(tmp_path / "in", tmp_path / "out")
    figures = tmp_path / "out" / "figures"
    assert (figures / "local" / "mean_images.png").exists()
    assert not (figures / "mean_images.png").exists()
