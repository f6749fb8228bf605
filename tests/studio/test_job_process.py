import json

import pytest

from qumade.studio.job_process import run_job


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "code"), [(["--version"], 0), (["no-such-verb"], 2)])
def test_the_exit_code_and_the_log_are_written(tmp_path, arguments, code):
    (tmp_path / "job.json").write_text(json.dumps({"arguments": arguments}))
    assert run_job(tmp_path) == code
    assert json.loads((tmp_path / "status.json").read_text()) == {"code": code}
    assert (tmp_path / "log.txt").read_bytes()
