"""Lesson 03: everything of it that is not prose."""
