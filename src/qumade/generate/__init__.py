"""The engine: workers, writers, resume, audit."""
