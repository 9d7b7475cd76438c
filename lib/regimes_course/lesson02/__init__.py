"""Lesson 02: everything of it that is not prose."""
