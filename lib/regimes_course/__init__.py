"""The course: what its lessons, exercises and commands are made of. The library, `regimes`, knows nothing of it."""
