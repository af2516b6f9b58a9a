"""Measuring: how well what is asked for is found, with intervals, tables and a page to look at.

A run file has one thing to be measured a line, as JSON. What a line has decides how it is scored:
`relevant` is scored by `retrieval`, `answer` by `answers`.
"""
