"""Lesson 08: everything of it that is not prose."""
