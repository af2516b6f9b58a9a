"""How text becomes terms: one analysis for what is stored and for what is asked."""
