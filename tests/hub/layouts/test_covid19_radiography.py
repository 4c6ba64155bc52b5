"""The Radiography Database: classes, masks and origins."""

from tests.hub.layouts.trees import RADIOGRAPHY, by_class, radiography, read


def test_covid19_radiography_database_with_masks_and_origins(tmp_path):
    name, records = read(radiography(tmp_path))
    assert name == "covid19-radiography-database"
    assert by_class(records) == {(None, label): 3 for label in RADIOGRAPHY}
    assert [record.source for record in records if record.masks] == [f"{c}/images/{c}-2.png" for c in RADIOGRAPHY]
    assert {record.source: record.facts["origin"] for record in records if record.facts["origin"]} == {
        "Normal/images/Normal-1.png": "https://example.org/rsna"
    }
