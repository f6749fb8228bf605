import pytest

from qumade.cli.app import make_app
from qumade.studio.commands import COMMANDS, arguments_of
from qumade.studio.controls import Problem


@pytest.mark.parametrize("verb", COMMANDS)
def test_the_flags_exist(verb):
    known = {name for argument in make_app([verb])[verb].assemble_argument_collection() for name in argument.names}
    assert {part.flag for part in COMMANDS[verb].parts if part.flag} <= known


def test_values_become_arguments(tmp_path):
    (tmp_path / "a b.yaml").write_text("")
    arguments, out = arguments_of("generate", {"recipe": "a b.yaml", "out": "data", "samples": ""}, tmp_path)
    assert arguments == ["generate", f"--recipe={tmp_path / 'a b.yaml'}", f"--out={tmp_path / 'data'}"]
    assert out == tmp_path / "data"
    arguments, _ = arguments_of("train", {"dataset": str(tmp_path), "out": "run", "minutes": "2.5"}, tmp_path)
    assert arguments == ["train", str(tmp_path), f"--out={tmp_path / 'run'}", "--minutes=2.5"]


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"out": "x"}, "recipe"),
        ({"recipe": "nothing.yaml", "out": "x"}, "recipe"),
        ({"recipe": ".", "out": ""}, "out"),
        ({"recipe": ".", "out": "x", "samples": "-3"}, "samples"),
        ({"recipe": ".", "out": "x", "samples": "many"}, "samples"),
        ({"recipe": ".", "out": "x", "samples": "inf"}, "samples"),
    ],
)
def test_a_wrong_value_names_its_part(tmp_path, values, part):
    with pytest.raises(Problem, match=f"Invalid {part}: got ") as caught:
        arguments_of("generate", values, tmp_path)
    assert caught.value.field == part
