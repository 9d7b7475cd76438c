"""Lesson 05: everything of it that is not prose."""
