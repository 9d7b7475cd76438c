"""Lesson 04: everything of it that is not prose."""
