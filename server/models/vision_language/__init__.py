"""The client of an OpenAI-compatible endpoint that serves a vision-language model.

``client``    asks: deadline, turns, retries, memory of answers; ``calls`` one of its calls
``exchange``  one HTTP request and what can go wrong with it
``endpoint``  where the model is, and the bounds on asking it
``messages``  a request in OpenAI's words; ``features`` what the server turned out not to know
``pictures``  pictures as data URLs; ``harmless`` text without special tokens
``replies``   a hostile answer, read
``breaker``   gives a failing endpoint rest; ``retries`` how long to wait; ``memory`` known answers
"""
