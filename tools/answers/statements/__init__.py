"""What a claim states, as a small typed structure.

- `statement_types`: `ClaimStatement` and `QuestionForm`.
- `statement_reader`: a question and its claim as one statement.
- `english_statements`, `chinese_statements`: the patterns of both languages.
- `written_values`: numbers, dates, times and money in one notation.
"""
