"""Load the records of a result page, with snippets and OCR boxes."""
