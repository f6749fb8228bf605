"""Generates datasets: the engine with its workers and writers, resuming, and the audit."""
