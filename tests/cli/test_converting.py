import json

import pytest


def test_a_dataset_is_converted_and_only_once(run, two_class_dataset, tmp_path):
    command = "convert", two_class_dataset, "--to", "voc", "--out", tmp_path / "voc", "--workers", 1, "--json"
    result = run(*command)
    assert result.code == 0 and result.last_line["classes"] == ["car", "person"]
    assert "60 samples in" in result.err and "each connected part" not in result.err
    assert (tmp_path / "voc" / "labelmap.txt").exists()
    again = run(*command)
    assert again.last_line["complete"] and "nothing was written" in again.err


def test_a_dataset_without_instances_is_named_as_such(run, make_dataset, tmp_path):
    root = make_dataset(folders=("images", "masks"))
    result = run("convert", root, "--to", "coco", "--out", tmp_path / "coco", "--workers", 1)
    assert result.code == 0 and "each connected part of a mask counts as one object" in result.out
    assert json.loads((tmp_path / "coco" / "annotations" / "instances_all.json").read_text())["images"]


def test_an_unknown_format_is_refused(run, make_dataset, tmp_path):
    result = run("convert", make_dataset(), "--to", "excel", "--out", tmp_path / "x")
    assert result.code == 2 and "coco" in result.err + result.out


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--to=coco", "--workers=0"], "Invalid --workers: got 0; must be at least 1"),
        (["--to=shards", "--workers=2"], "Invalid --workers: got 2 for shards; must be left out"),
        (["--to=folder", "--workers=2"], "Invalid --workers: got 2 for folder; must be left out"),
    ],
)
def test_workers_that_would_do_nothing_are_refused(run, make_dataset, tmp_path, flags, said):
    result = run("convert", make_dataset(), *flags, f"--out={tmp_path / 'out'}")
    assert result.code == 1 and said in result.err and not (tmp_path / "out").exists()


@pytest.mark.slow
def test_shards_and_back(run, folders, tmp_path):
    data, shards, again = tmp_path / "data", tmp_path / "shards", tmp_path / "again"
    tiny = ("--size=32x24", "--per-pair=2", "--workers=1")
    assert run("generate", *folders(), *tiny, f"--out={data}").code == 0
    made = run("convert", data, "--to=shards", f"--out={shards}", "--shard-samples=7", "--json")
    assert made.code == 0 and made.last_line == {"root": str(shards), "samples": 30, "format": "shards"}
    assert run("convert", shards, "--to=folder", f"--out={again}").code == 0
    assert (again / "manifest.parquet").read_bytes() == (data / "manifest.parquet").read_bytes()
    generated = tmp_path / "generated"
    made = run("generate", *folders(), *tiny, f"--out={generated}", "--format=shards", "--shard-samples=7", "--json")
    assert made.code == 0 and made.last_line["drawn"] == 30
    for path in shards.glob("shards/*.tar"):
        assert path.read_bytes() == (generated / "shards" / path.name).read_bytes()
    measured = run("stats", generated, "--workers=1", "--json"), run("stats", data, "--workers=1", "--json")
    assert measured[0].code == 0 and measured[0].last_line == measured[1].last_line
    assert run("preview", generated, f"--out={tmp_path / 'sheet.png'}", "--count=4").code == 0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            ["--out=s3://bucket/a", "--format=folders"],
            "Invalid --format: got folders for s3://bucket/a; must be",
        ),
        (["--out=a", "--shard-samples=5"], "Invalid --shard-samples: got 5; must be left out without --format shards"),
        (["--out=a", "--executor=ray"], "Invalid --executor: got ray; must be processes unless shards are written"),
        (["--out=a", "--address=auto"], "Invalid --address: got auto; must come with --executor ray"),
        (["--out=s4://bucket/a"], "Invalid URL: got scheme 's4' in s4://bucket/a; must be one that fsspec knows"),
    ],
)
def test_flags_that_do_not_fit_are_refused(run, folders, flags, said):
    result = run("generate", *folders(), "--size=32x24", "--limit=2", "--workers=1", *flags)
    assert result.code == 1 and said in result.err


def test_an_estimate_writes_nothing(run, folders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = *folders(), "--size=32x24", "--per-pair=2", "--workers=2", "--estimate"
    result = run("generate", *small, "--format=shards", "--shard-samples=7", "--json")
    assert result.code == 0 and not list(tmp_path.glob("*.yaml")) and result.last_line["samples"] == 30
    assert result.last_line["shards"] > 30 / 7 and result.last_line["bytes"] > 30 * 500
    assert "core-hours on this machine" in result.err and "shards of at most 7 samples" in result.err
    assert "shards" not in run("generate", *small, "--json").last_line
    missing = run("generate", *folders())
    assert missing.code == 2 and missing.err.count("Error: ") == 1 and "needs a value for --out" in missing.err
