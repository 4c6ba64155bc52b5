"""What a folder must be before anything of it is published."""

import json
import shutil

import pyarrow.parquet as pq
import pytest

from hub.layouts.registry import LAYOUTS
from hub.publishing.preflight import verify_in_fresh_process
from space.errors import ChestXrayError
from tests.hub.pushing import push


def test_a_fresh_process_checks_a_model(run):
    (run / "guard.safetensors").unlink()
    with pytest.raises(ChestXrayError, match=r"guard\.safetensors"):
        verify_in_fresh_process(run)


def test_a_run_without_evaluation_is_not_published(hub, run):
    (run / "results.json").unlink()
    done = push("model", run, "someone/tiny")
    assert (done.returncode, "has no results.json" in done.stderr) == (2, True), done.stderr
    assert not hub.requests


@pytest.mark.parametrize("change", ["card", "shard", "split", "classes", "pattern"])
def test_a_dataset_that_its_users_would_open_otherwise_is_not_published(hub, phantoms, change):
    data, card = phantoms / "data", phantoms / "README.md"
    if change == "card":
        card.write_text(card.read_text().replace("'1': PNEUMONIA", "'1': COVID"))
    elif change == "shard":
        shutil.copy(next(data.glob("test-*")), data / "patients.parquet")
    elif change == "classes":
        path = next(data.glob("test-*"))
        table = pq.read_table(path)
        swapped = table.schema.metadata[b"huggingface"].replace(b'["NORMAL", "PNEUMONIA"]', b'["PNEUMONIA", "NORMAL"]')
        assert swapped != table.schema.metadata[b"huggingface"]
        pq.write_table(table[:20], path)
        pq.write_table(
            table[20:].replace_schema_metadata({b"huggingface": swapped}), data / "test-00001-of-00002.parquet"
        )
    elif change == "pattern":
        header, text = card.read_text().split("---\n")[1:]
        header = header[: header.index("dataset_info:")]
        card.write_text(f"---\n{header.replace('path: data/test-*', 'path: data/train-*')}---\n{text}")
        next(data.glob("test-*")).unlink()
    else:
        next(data.glob("test-*")).unlink()
    done = push("dataset", phantoms, "someone/phantoms")
    assert done.returncode == 2, done.stderr
    assert not hub.requests


def test_a_damaged_dataset_is_not_published(hub, phantoms):
    shard = next((phantoms / "data").glob("test-*.parquet"))
    shard.write_bytes(shard.read_bytes()[:-100])
    done = push("dataset", phantoms, "someone/phantoms")
    assert (done.returncode, "damaged parquet file" in done.stderr) == (2, True), done.stderr
    assert not hub.requests


def test_names_that_were_kept_do_not_become_public(hub, run, phantoms):
    results, audit = run / "results.json", phantoms / "audit.json"
    told = json.loads(results.read_text())
    told["dataset"]["audit"]["names_kept"] = True
    results.write_text(json.dumps(told))
    told = json.loads(audit.read_text())
    told["conversion"]["names_kept"] = True
    audit.write_text(json.dumps(told))
    for kind, folder in (("model", run), ("dataset", phantoms)):
        done = push(kind, folder, "someone/names", "--public")
        assert (done.returncode, "--keep-names" in done.stderr) == (2, True), done.stderr
    assert not hub.requests


@pytest.mark.parametrize("layout", ["covid19-image-dataset", "covid-qu-ex"])
def test_a_licence_that_was_not_verified_must_be_stated(hub, phantoms, layout):
    report = json.loads((phantoms / "audit.json").read_text())
    report["conversion"]["layout"] = layout
    (phantoms / "audit.json").write_text(json.dumps(report))
    done = push("dataset", phantoms, "someone/sets", "--public")
    assert (done.returncode, "state it with --licence" in done.stderr) == (2, True), done.stderr
    done = push("dataset", phantoms, "someone/sets", "--public", "--licence", "cc-by-nc-4.0")
    assert (done.returncode, "--licence cc-by-nc-4.0 is not a licence" in done.stderr) == (2, True), done.stderr
    assert not hub.requests
    done = push("dataset", phantoms, "someone/sets", "--public", "--licence", "cc-by-4.0", "--dry-run")
    assert (done.returncode, "licence cc-by-4.0: as stated" in done.stdout) == (0, True), done.stderr


def test_a_merge_is_as_unverified_as_its_sources(hub, phantoms):
    source = {"origin": "kermany", "link": LAYOUTS["chest-xray-pneumonia"].link}
    for link, code in ((source["link"], 0), (LAYOUTS["covid-qu-ex"].link, 2)):
        merge = {"license": "cc-by-4.0", "sources": [source, {"origin": "second", "link": link}]}
        (phantoms / "audit.json").write_text(json.dumps({"merge": merge}))
        done = push("dataset", phantoms, "someone/merged", "--public", "--dry-run")
        assert (done.returncode, "that of second was not verified" in done.stderr) == (code, code == 2), done.stderr


def test_a_dataset_without_a_free_licence_is_not_made_public(hub, phantoms):
    report = json.loads((phantoms / "audit.json").read_text())
    report["conversion"]["layout"] = "rsna-pneumonia-detection-challenge"
    (phantoms / "audit.json").write_text(json.dumps(report))
    done = push("dataset", phantoms, "someone/rsna", "--public")
    assert done.returncode == 2
    assert "licence of these images" in done.stderr
    assert not hub.requests
    (phantoms / "audit.json").unlink()
    done = push("dataset", phantoms, "someone/rsna", "--public")
    assert (done.returncode, "its licence is not known" in done.stderr) == (2, True)
