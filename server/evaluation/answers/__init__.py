"""Answers, measured: are they right, do they cite what shows it, do they abstain when they should.

``questions``    a question with its truth, a line of a run file; ``matching`` when an answer is it
``asking``       asks each in three settings: retrieval given, by Sightline, none
``evaluating``   the questions of a run file in all of them
``scores``       what an answer is worth; ``totals`` means with intervals; ``presenting`` tables
``judging``      an optional judge model's marks from 1 to 5
``calibration``  fits the confidence of answers and draws how well it holds
``hostile``      an album that gives orders, and how often answers follow them
``drawn``        albums and questions of the drawn world; ``place`` a server over one
"""
