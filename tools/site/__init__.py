"""The web book: lessons, exercises and the library's pages, with sliders that need no kernel. `python3 course.py site`."""
