"""A road world built in code and rendered with Cycles: where the bundled samples come from."""
