"""Lesson 01: everything of it that is not prose."""
