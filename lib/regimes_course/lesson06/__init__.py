"""Lesson 06: everything of it that is not prose."""
