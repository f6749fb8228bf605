"""`python -m qumade` is the `qumade` command."""

from qumade.cli import main

main()
