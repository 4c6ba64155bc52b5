"""Pushes to a Hub that fails: what may be tried again is, and nothing is ever left half done."""

import resource
import tempfile

import pytest

from tests.hub.pushing import push, pushed

REPO = "datasets/someone/phantoms"


@pytest.fixture
def impatient(monkeypatch):
    """A client that waits half a second for an answer."""
    for module in ("retry", "repository"):
        monkeypatch.setattr(f"hub.publishing.{module}.LONGEST_SILENCE", 0.5)


@pytest.mark.parametrize(
    ("where", "status", "times"),
    [
        ("POST /api/repos/create", 500, 1),
        ("preupload", 503, 2),
        ("PUT /lfs", 500, 1),
        ("PUT /lfs", 0, 1),
        ("/commit/main", 502, 1),
        ("/commit/main", 0, 1),
        ("GET /datasets/someone", 500, 1),
    ],
)
def test_errors_that_pass_are_tried_again(hub, phantoms, where, status, times):
    hub.fail(where, status, times)
    done = push("dataset", phantoms, "someone/phantoms")
    assert done.returncode == 0, done.stderr
    assert not any(fault.times for fault in hub.faults)
    assert len(hub.repositories[REPO].commits) == 2


def test_the_hubs_wish_to_wait_is_heeded(hub, phantoms, monkeypatch):
    waits = []
    monkeypatch.setattr("hub.publishing.retry.time.sleep", waits.append)
    hub.fail("/commit/main", 429, Retry_After="17")
    done = push("dataset", phantoms, "someone/phantoms")
    assert done.returncode == 0, done.stderr
    assert 17.0 in waits


@pytest.mark.parametrize(
    ("where", "status", "code", "expected"),
    [
        ("PUT /lfs", 403, 2, "write permission"),
        ("/commit/main", 401, 2, "rejected the token"),
        ("/commit/main", 400, 1, "push again"),
        ("/commit/main", 500, 1, "push again"),
    ],
)
def test_errors_that_stay_leave_nothing_half_done_and_a_later_push_completes(
    hub, phantoms, where, status, code, expected
):
    hub.fail(where, status, times=99)
    done = push("dataset", phantoms, "someone/phantoms")
    assert (done.returncode, expected in done.stderr) == (code, True), done.stderr
    assert done.stderr.startswith("error: ") or "\nerror: " in done.stderr
    assert not hub.files(REPO)
    assert not (phantoms / "pushed.json").exists()
    hub.faults.clear()
    assert push("dataset", phantoms, "someone/phantoms").returncode == 0


def test_a_commit_whose_answer_is_lost_is_made_once(hub, phantoms, impatient):
    hub.fail("/commit/main", None, seconds=2)
    done = push("dataset", phantoms, "someone/phantoms")
    assert done.returncode == 0, done.stderr
    repository = hub.repositories[REPO]
    assert len(repository.commits) == 2
    assert pushed(phantoms)["commit"] == repository.refs["main"]
    assert done.stdout.startswith("pushed: ")


def test_slow_downloads_are_waited_for(hub, phantoms, monkeypatch):
    hub.fail("/resolve/", None, seconds=2)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_ETAG_TIMEOUT", 1)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 1)
    done = push("dataset", phantoms, "someone/phantoms")
    assert done.returncode == 0, done.stderr
    assert not any(fault.times for fault in hub.faults)


def test_a_hub_that_never_answers_ends_in_one_sentence(hub, phantoms, impatient):
    hub.fail("GET /api/datasets", None, times=99, seconds=1)
    done = push("dataset", phantoms, "someone/phantoms")
    assert done.returncode == 1
    assert "the Hub cannot be reached" in done.stderr
    assert not hub.files(REPO)


@pytest.mark.parametrize(
    ("where", "fault", "code", "expected"),
    [
        ("/api/repos/create", {"status": 200}, 1, "invalid answer"),  # such as a hotel's page
        ("/api/repos/create", {"status": 402}, 1, "402 from /api/repos/create: as the test asks"),
        ("preupload", {"status": 403}, 2, "as the test asks"),
        ("/tag/", {"status": 400}, 1, "was pushed, without the tag"),
    ],
)
def test_what_the_hub_says_is_passed_on(hub, phantoms, where, fault, code, expected):
    hub.fail(where, times=99, **fault)
    done = push("dataset", phantoms, "someone/phantoms", "--tag", "v1")
    assert (done.returncode, expected in done.stderr) == (code, True), done.stderr


def test_a_full_disk_in_the_check_says_that_the_commit_is_there(hub, phantoms):
    # A file may not grow beyond so many bytes: small ones are written still, shards are not.
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        done = push("dataset", phantoms, "someone/phantoms")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert done.returncode == 1
    assert f"error: File too large ({tempfile.gettempdir()}). Commit" in done.stderr
    commit = hub.repositories[REPO].refs["main"]
    assert f"{commit} was pushed, but not checked" in done.stderr
    assert not (phantoms / "pushed.json").exists()
    again = push("dataset", phantoms, "someone/phantoms")
    assert again.returncode == 0, again.stderr
    assert pushed(phantoms)["commit"] == commit


def test_another_owner_is_refused(hub, phantoms):
    done = push("dataset", phantoms, "others/phantoms")
    assert (done.returncode, "write permission" in done.stderr) == (2, True), done.stderr
