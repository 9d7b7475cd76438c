"""Lesson 09: everything of it that is not prose."""
