"""Lesson 07: everything of it that is not prose."""
