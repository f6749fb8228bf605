import json
import os
import signal
import time

import pytest

from qumade.errors import ConfigError, QumadeError
from qumade.io.files import write_bytes
from qumade.studio.jobs import Jobs, read_log, shown_command


@pytest.fixture
def jobs(tmp_path):
    made = Jobs(tmp_path / "jobs")
    made.start()
    yield made
    for job in made.all():
        made.stop(job.number)
    made.close()


def until(jobs, number, *states, seconds=90):
    end = time.monotonic() + seconds
    while (job := jobs.get(number)).state not in states:
        assert time.monotonic() < end, (job, read_log(jobs.log(number)))
        time.sleep(0.05)
    return job


@pytest.mark.slow
def test_jobs_run_one_after_another_and_say_how_they_ended(jobs, tmp_path):
    good = jobs.add(["--version"], tmp_path)
    bad = jobs.add(["stats", str(tmp_path / "nothing")], tmp_path)
    assert (good.state, bad.state) == ("waiting", "waiting")
    assert until(jobs, bad.number, "failed").code == 1
    assert jobs.get(good.number).state == "done"
    assert "Error: " in read_log(jobs.log(bad.number)) and "nothing" in read_log(jobs.log(bad.number))
    assert [job.number for job in Jobs(jobs.folder).all()] == [1, 2], "another studio knows them too"


@pytest.mark.slow
def test_a_killed_job_is_lost_and_goes_on(jobs, world, tmp_path):
    out = tmp_path / "dataset"
    arguments = [
        "generate",
        f"--recipe={world / 'samples' / 'recipe.yaml'}",
        f"--out={out}",
        "--limit=40",
        "--workers=1",
    ]
    number = jobs.add(arguments, out).number
    until(jobs, number, "running")
    pid = json.loads((jobs.folder / "000001" / "pid.json").read_text())["pid"]
    os.killpg(pid, signal.SIGKILL)
    assert until(jobs, number, "lost").can_go_on
    jobs.go_on(number)
    assert until(jobs, number, "done", seconds=300).code == 0
    assert len(list((out / "images").iterdir())) == 40


def test_a_job_that_waits_is_dropped_and_can_wait_again(tmp_path):
    jobs = Jobs(tmp_path / "jobs")  # not started: nothing runs
    number = jobs.add(["--version"], tmp_path).number
    jobs.stop(number)
    assert jobs.get(number).state == "stopped"
    jobs.go_on(number)
    assert jobs.get(number).state == "waiting"
    with pytest.raises(ConfigError, match="got number 1, waiting; must be stopped, lost or failed"):
        jobs.go_on(number)


@pytest.mark.slow
def test_only_one_studio_starts_jobs(jobs):
    with pytest.raises(QumadeError, match="another process is running jobs"):
        Jobs(jobs.folder).start()


def test_a_process_of_the_same_number_is_not_the_job(tmp_path):
    jobs = Jobs(tmp_path / "jobs")
    number = jobs.add(["--version"], tmp_path).number
    folder = jobs.folder / "000001"
    (folder / "pid.json").write_text(json.dumps({"pid": os.getpid(), "began": "another time"}))
    assert jobs.get(number).state == "lost"
    jobs.stop(number)  # must not interrupt this test


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"arguments": 3}', "{"])
def test_a_torn_folder_is_no_job_and_is_not_written_over(tmp_path, content):
    jobs = Jobs(tmp_path / "jobs")
    folder = jobs.folder / "000007"
    folder.mkdir(parents=True)
    (folder / "job.json").write_text(content)
    assert jobs.all() == [] and jobs.get(9) is None
    assert jobs.add(["--version"], tmp_path).number == 8
    assert (folder / "job.json").read_text() == content


def refuse(name):
    """Writing as on a full disk, for files of one name."""

    def write(path, data, **options):
        if path.name == name:
            raise QumadeError(f"Invalid output: cannot write {path}: No space left on device")
        write_bytes(path, data, **options)

    return write


def test_a_job_that_cannot_be_written_is_none(tmp_path, monkeypatch):
    jobs = Jobs(tmp_path / "jobs")
    with monkeypatch.context() as patch, pytest.raises(QumadeError, match="No space left"):
        patch.setattr("qumade.studio.jobs.write_bytes", refuse("job.json"))
        jobs.add(["--version"], tmp_path)
    assert jobs.all() == [] and jobs.add(["--version"], tmp_path).number == 1


@pytest.mark.slow
def test_a_job_that_cannot_be_started_says_why_and_the_queue_goes_on(jobs, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("qumade.studio.jobs.write_bytes", refuse("pid.json"))
        bad = jobs.add(["--version"], tmp_path).number
        job = until(jobs, bad, "failed")
        assert job.error.startswith("Could not be started: ") and "No space left on device" in job.error
        assert job.can_go_on and not (jobs.folder / "000001" / "status.json").exists()
    good = jobs.add(["--version"], tmp_path).number
    assert until(jobs, good, "done").code == 0
    jobs.go_on(bad)
    assert until(jobs, bad, "done").error == ""


@pytest.mark.slow
def test_a_folder_of_jobs_that_goes_away_for_a_while_stops_nothing(jobs, tmp_path, monkeypatch):
    until(jobs, jobs.add(["--version"], tmp_path).number, "done")
    looks = []

    def lost():
        looks.append(1)
        raise OSError("no such device")

    with monkeypatch.context() as patch:
        patch.setattr(jobs, "_numbers", lost)
        time.sleep(1.6)
    assert looks
    assert until(jobs, jobs.add(["--version"], tmp_path).number, "done").code == 0


def test_the_log_is_shown_as_a_terminal_would(tmp_path):
    log = tmp_path / "log.txt"
    log.write_bytes(b"start\n 10%\r 50%\r100%\nred \x1b[31m and \xff\n")
    assert read_log(log) == "start\n100%\nred  [31m and \ufffd\n".replace("\ufffd", read_log(log)[-2])
    log.write_bytes(b"x" * 50_000 + b"end")
    assert read_log(log, 10) == "x" * 7 + "end"
    assert read_log(tmp_path / "none") == ""


def test_the_command_can_be_typed():
    assert shown_command(["train", "/a b/c", "--out=/x"]) == "qumade train '/a b/c' --out=/x"
    assert shown_command(["stats", "it's"]) == "qumade stats 'it'\"'\"'s'"
