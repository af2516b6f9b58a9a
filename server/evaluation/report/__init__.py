"""Report model, confidence intervals and the Markdown renderer."""
